"""What chosen rows may not see of a call's keys, looked up once for all layers under the same mask."""

import dataclasses
import weakref
from collections.abc import Callable, Hashable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headimpact.attention.interception import AttentionCall
from headimpact.attention.visibility import Visibility, sees_any

LOWEST = torch.finfo(torch.float32).min
"""Logit of a hidden key."""

_KEPT_BYTES = 4 * 2**20


@dataclasses.dataclass(frozen=True, eq=False)
class Sight:
    """What some rows see of some keys.

    Attributes:
        span: The keys, counted from the first of these, outside which every row sees every key.
        hidden: Keys of the span that a row does not see, or None.
        bias: What is added to the logits of the span, or None.
        sees: Which heads see any of the keys from any of the rows; None for all.
    """

    span: slice
    hidden: Bool[Tensor, "batch heads_or_one queries span"] | None
    bias: Float[Tensor, "batch heads_or_one queries span"] | None
    sees: Bool[Tensor, "batch heads_or_one"] | None

    @classmethod
    def of(cls, seen: Tensor | None, bias: Tensor | None) -> "Sight":
        """Cut what `Visibility.look` gives down to the keys where it changes anything.

        Args:
            seen: Seen or not; None where all is.
            bias: What is added to the logits; None for nothing.
        """
        sees = sees_any(seen, bias)
        hidden = None if seen is None else seen.logical_not()
        marked = hidden if bias is None else bias != 0
        if marked is None:
            return cls(slice(0, 0), None, None, sees)
        span = _span(marked)
        if span.stop == span.start:
            return cls(span, None, None, sees)
        return cls(
            span,
            None if hidden is None else hidden[..., span].contiguous(),
            None if bias is None else bias[..., span].contiguous(),
            sees,
        )

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        return sum(part.nbytes for part in (self.hidden, self.bias, self.sees) if part is not None)


def _span(marked: Bool[Tensor, "batch heads queries keys"]) -> slice:
    """Give the range of keys that are marked for any row; all of them on a GPU, which would have to be waited for."""
    if marked.is_cuda:
        return slice(0, marked.shape[3])
    places = marked.flatten(0, 2).any(dim=0).nonzero()
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)


class Sights:
    """Sights of one forward pass's calls, kept for the layers to come as far as a budget goes."""

    def __init__(self, *, max_bytes: int = _KEPT_BYTES) -> None:
        """Begin without any.

        Args:
            max_bytes: Most bytes that are kept.
        """
        self._left = max_bytes
        self._kept: dict[Hashable, tuple[Callable[[], Any], Sight]] = {}

    def look(
        self,
        call: AttentionCall,
        rule: Visibility,
        batch: slice,
        queries: Int[Tensor, "batch queries"],
        keys: Callable[[], Int[Tensor, "batch keys"]],
        *,
        name: Hashable,
    ) -> Sight:
        """Say what some queries see of some keys.

        Args:
            call: An attention call.
            rule: Its rule.
            batch: Batch rows.
            queries: Query positions per row.
            keys: Gives key positions per row, where they have to be looked at.
            name: Stands for these rows, queries and keys, in every call of the pass.
        """
        mask = call.attention_mask
        shape = call.query.shape[2], call.key.shape[2]
        key = (name, id(mask), rule.is_causal, rule.offset, rule.window, shape)
        if key in self._kept:
            mask_then, known = self._kept[key]
            if mask_then() is mask:  # one that is gone may have left its number to another
                return known
        rows = torch.arange(call.query.shape[0], device=call.query.device)[batch]
        found = Sight.of(*rule.look(rows, queries, keys()))
        if found.nbytes <= self._left:
            self._left -= found.nbytes
            self._kept[key] = ((lambda: None) if mask is None else weakref.ref(mask), found)
        return found
