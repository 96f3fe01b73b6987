"""Which keys a query position may see, under every way in which transformers says so.

implementation   mask it gets                       what it adds itself
eager            4-D additive (or bool), or None    nothing
sdpa             4-D bool or additive, or None      causal where it got None, aligned at the first key
flex_attention   BlockMask or 4-D additive          nothing
flash (any)      2-D padding, or None               causal, aligned at the last key; sliding window
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers.utils.generic import is_flash_attention_requested

from headimpact.attention.interception import EAGER, AttentionCall
from headimpact.core.errors import UnsupportedModelError

_EXPLICIT = (EAGER, "flex_attention")
"""Implementations that see every key unless their mask says otherwise."""


@dataclasses.dataclass(frozen=True, eq=False)
class Visibility:
    """Rule of one attention call: which keys each query position sees, and with which bias.

    Attributes:
        mask: 4-D mask `[batch or 1, heads or 1, queries, keys]`, bool (True is seen) or additive, or None.
        padding: 2-D mask `[batch, keys]`, True for real tokens, or None.
        mask_mod: Function (batch, head, query, key) -> seen, of a `BlockMask`, or None.
        is_causal: Keys after the query's own place are hidden.
        offset: Key position of query 0.
        window: A query sees its own place and the `window - 1` before it; None for all.
    """

    mask: Tensor | None = None
    padding: Tensor | None = None
    mask_mod: Callable[..., Tensor] | None = None
    is_causal: bool = False
    offset: int = 0
    window: int | None = None

    @classmethod
    def of(cls, call: AttentionCall) -> "Visibility":
        """Read the rule from a call.

        Args:
            call: An attention call.

        Raises:
            UnsupportedModelError: If the call has attention sinks, a position bias or a paged cache, or its
                implementation is unknown and got no mask.
        """
        _refuse_unknown_terms(call)
        mask = call.attention_mask
        if hasattr(mask, "mask_mod"):
            return cls(mask_mod=mask.mask_mod)
        num_queries, num_keys = call.query.shape[2], call.key.shape[2]
        if is_flash_attention_requested(requested_attention_implementation=call.implementation):
            window = call.options.get("sliding_window")
            return cls(
                padding=None if mask is None else mask[:, :num_keys].bool(),
                is_causal=_is_causal(call),
                offset=num_keys - num_queries,
                window=window if window is not None and num_keys > window else None,
            )
        if mask is not None:
            return cls(mask=mask[..., :num_keys])
        if call.implementation in _EXPLICIT:
            return cls()
        if call.implementation != "sdpa":
            raise UnsupportedModelError(
                f"Unknown attention implementation {call.implementation!r} got no mask, so it is not known which keys "
                "it sees. Pass --attn-implementation sdpa or eager."
            )
        return cls(is_causal=num_queries > 1 and _is_causal(call))

    def look(
        self, batch: Int[Tensor, " batch"], queries: Int[Tensor, "batch queries"], keys: Int[Tensor, "batch keys"]
    ) -> tuple[Bool[Tensor, "batch heads queries keys"] | None, Float[Tensor, "batch heads queries keys"] | None]:
        """Say what some queries see of some keys.

        Args:
            batch: Batch rows.
            queries: Query positions per row.
            keys: Key positions per row.

        Returns:
            Seen or not, and what is added to the logits; each None where it changes nothing; the axis of heads
            has length 1 where all heads see the same.
        """
        row, query, key = batch[:, None, None, None], queries[:, None, :, None], keys[:, None, None, :]
        if self.mask is not None:
            heads = torch.arange(self.mask.shape[1], device=batch.device)[None, :, None, None]
            picked = self.mask[row if self.mask.shape[0] > 1 else torch.zeros_like(row), heads, query, key]
            # The bias keeps its dtype: what counts as hidden is that format's lowest number.
            return (picked, None) if picked.dtype == torch.bool else (None, picked)
        if self.mask_mod is not None:
            return self.mask_mod(row, torch.zeros_like(row), query, key), None
        seen: Tensor | None = None
        if self.is_causal:
            seen = key <= query + self.offset
        if self.window is not None:
            near = key > query + self.offset - self.window
            seen = near if seen is None else seen & near
        if self.padding is not None:
            real = self.padding[row, key]
            seen = real if seen is None else seen & real
        return seen, None


def sees_any(seen: Tensor | None, bias: Tensor | None) -> Bool[Tensor, "batch heads"] | None:
    """Say which heads see at least one of the keys from at least one of the queries; None for all of them.

    Args:
        seen: As `Visibility.look` gives it.
        bias: As `Visibility.look` gives it; below half its format's lowest number counts as hidden.
    """
    if bias is not None:
        seen = bias > torch.finfo(bias.dtype).min / 2
    return None if seen is None else seen.flatten(2).any(dim=2)


def _is_causal(call: AttentionCall) -> bool:
    """Give the causality that the call, or else its module, states."""
    stated: Any = call.options.get("is_causal")
    return bool(getattr(call.module, "is_causal", True) if stated is None else stated)


def _refuse_unknown_terms(call: AttentionCall) -> None:
    """Refuse calls whose weights are no plain softmax of logits and mask.

    Raises:
        UnsupportedModelError: If the call has sinks, a position bias or a paged cache.
    """
    reasons = {
        "attention sinks (a learned extra key)": call.options.get("s_aux") is not None or hasattr(call.module, "sinks"),
        "a position bias": call.options.get("position_bias") is not None,
        "a paged cache": call.options.get("cache") is not None,
    }
    for reason, found in reasons.items():
        if found:
            raise UnsupportedModelError(
                f"Attention weights cannot be recomputed: {type(call.module).__name__} has {reason}, which this "
                "version does not know. Use a model without it."
            )
