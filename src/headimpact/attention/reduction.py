"""From queries and keys to attention on image tokens: the softmax of a few rows, without the whole matrix.

For each query row t and image token j the weight is exp(logit[t, j] - log sum over all keys of exp(logit[t, .])).
What is held at any time is a block, bounded in bytes whatever the length and the batch. Where a block has room for all
keys of some heads, their weights are reduced over the rows first and the image tokens picked last:

    rows   [ logits of all keys ] -> weights -> mean over rows -> [ 1 x all keys ] -> image tokens

Otherwise the sum runs over the keys block by block, and the image tokens' logits are computed once more:

                 all keys (blocks)                    image tokens (blocks)
    rows   [ logits ][ logits ][ logits ]     rows   [ logits ] -> weights -> mean over rows -> [ 1 x block ]
              running maximum and sum  ----------------^

Source: the running maximum and sum are the online softmax of Milakov & Gimelshein 2018 (arXiv 1805.02867).
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headimpact.attention.interception import AttentionCall
from headimpact.attention.sight import LOWEST, Sight
from headimpact.attention.visibility import Visibility
from headimpact.attention.wanted import WantedPositions

REDUCTIONS = ("mean", "max")
"""How the rows of one response become one map."""

_ROWS_AT_ONCE = 512
"""Query rows times grouped heads in one block; more would leave too little of the budget to the keys."""

_CACHE_NUMBERS = 2**19
"""How many float32 numbers a block should hold at most, so that they stay in a core's own cache: 2 MiB."""


@dataclasses.dataclass(frozen=True)
class _Block:
    """A part of the work: some batch rows and query rows, whose heads then go a few at a time."""

    batch: slice
    rows: slice
    groups_at_once: int
    keys_at_once: int


@dataclasses.dataclass(frozen=True, eq=False)
class ReducedRows:
    """What the wanted rows of one attention call give to the image tokens.

    Attributes:
        maps: Attention reduced over the rows, in [0, 1].
        sees_parts: Which heads see any of the keys of each part of them; how they are divided is the maker's affair.
        peaks: Share of the rows whose highest weight over all keys is at this image token; None if not asked for.
    """

    maps: Float[Tensor, "batch heads image_tokens"]
    sees_parts: Bool[Tensor, "batch heads parts"]
    peaks: Float[Tensor, "batch heads image_tokens"] | None

    @property
    def sees(self) -> Bool[Tensor, "batch heads"]:
        """Which heads see any of the keys at all."""
        return self.sees_parts.any(dim=-1)


def reduce_rows(
    call: AttentionCall, wanted: WantedPositions, *, reduction: str, chunk_bytes: int, with_peaks: bool = False
) -> ReducedRows:
    """Compute the attention of the wanted rows to the wanted keys, reduced over the rows, in float32.

    Args:
        call: Queries, keys, mask and options of one attention call.
        wanted: Positions, on the call's device.
        reduction: One of `REDUCTIONS`.
        chunk_bytes: About how many bytes may be held at a time besides the result.
        with_peaks: Find each row's highest weight over all keys too; of equal ones the first counts.

    Returns:
        Maps, sight and, where asked for, peaks.

    Raises:
        UnsupportedModelError: If the call's weights are no plain softmax (see `Visibility.of`).
    """
    rule = Visibility.of(call)
    shape = (call.query.shape[0], call.query.shape[1])
    maps = torch.zeros(*shape, wanted.keys.shape[1], dtype=torch.float32, device=call.query.device)
    sees = torch.zeros(shape, dtype=torch.bool, device=call.query.device)
    peaks = torch.zeros_like(maps) if with_peaks else None
    with torch.no_grad(), torch.autocast(device_type=call.query.device.type, enabled=False):
        for block in _plan(call, wanted, chunk_bytes):
            rows = _Rows(call, wanted, rule, block)
            keys, shares = wanted.keys[block.batch], wanted.weights[block.batch, block.rows]
            sees[block.batch] |= rows.sees()
            for groups, heads in rows.groups():
                held = maps[block.batch, heads]
                for part, weights in rows.weights(groups):
                    if reduction == "mean":
                        reduced = torch.matmul(shares[:, None, None, None], weights).flatten(1, 2).squeeze(2)
                        held[..., part] += _image_tokens(reduced, keys[:, part])
                    else:
                        reduced = _image_tokens(weights.amax(dim=3).flatten(1, 2), keys[:, part])
                        held[..., part] = torch.maximum(held[..., part], reduced)
                if peaks is not None:
                    found = rows.peaks(groups, shares)
                    peaks[block.batch, heads] += found.gather(2, keys[:, None, :].expand(-1, found.shape[1], -1))
    return ReducedRows(maps, sees[..., None], peaks)


def peaks_at(
    place: Int[Tensor, "batch heads rows"], shares: Float[Tensor, "batch rows"], num_keys: int
) -> Float[Tensor, "batch heads keys"]:
    """Give every key the shares of the rows that have their highest weight there.

    Args:
        place: Key of each row's highest weight.
        shares: What each row counts for.
        num_keys: Length of the result.
    """
    found = torch.zeros(*place.shape[:2], num_keys, device=place.device)
    return found.scatter_add_(2, place, shares[:, None].expand_as(place).contiguous())


def _image_tokens(reduced: Tensor, keys: Int[Tensor, "batch image_tokens"]) -> Tensor:
    """Pick the image tokens where all keys were reduced; else what was reduced is the image tokens already."""
    if reduced.shape[2] == keys.shape[1]:
        return reduced
    return reduced.gather(2, keys[:, None, :].expand(-1, reduced.shape[1], -1))


class _Rows:
    """The query rows of one block, scaled and in float32, ready to meet keys."""

    def __init__(self, call: AttentionCall, wanted: WantedPositions, rule: Visibility, block: _Block) -> None:
        """Gather the rows of all heads."""
        self._call, self._wanted, self._rule, self._block = call, wanted, rule, block
        self._num_groups = call.key.shape[1]
        self._per_group = call.query.shape[1] // self._num_groups
        self._keys = wanted.keys[block.batch]
        self._positions = wanted.queries[block.batch, block.rows]
        head_dim, scaling = call.query.shape[3], call.options.get("scaling")
        batch = torch.arange(call.query.shape[0], device=call.query.device)[block.batch]
        picked = call.query[batch[:, None], :, self._positions].transpose(1, 2)
        picked = picked.to(torch.float32, memory_format=torch.contiguous_format, copy=True)
        self._queries = picked.mul_(head_dim**-0.5 if scaling is None else scaling).view(
            len(batch), self._num_groups, -1, head_dim
        )

    def groups(self) -> Iterator[tuple[slice, slice]]:
        """Go through the key/value heads, a few at a time.

        Yields:
            Key/value heads, and the query heads that share them.
        """
        step = self._block.groups_at_once
        for start in range(0, self._num_groups, step):
            stop = min(start + step, self._num_groups)
            yield slice(start, stop), slice(start * self._per_group, stop * self._per_group)

    def weights(self, groups: slice) -> Iterator[tuple[slice, Float[Tensor, "batch groups per_group queries keys"]]]:
        """Compute the weights of these rows at the image tokens, block by block, or once at all keys if they fit.

        Args:
            groups: Key/value heads.

        Yields:
            Which of the image tokens, and the weights at just these or at all keys.
        """
        num_keys, step = self._call.key.shape[2], self._block.keys_at_once
        tokens = self._keys.shape[1]
        if step >= num_keys and num_keys != tokens:
            yield slice(0, tokens), self._slab(groups, 0, num_keys).softmax(dim=-1)
            return
        total = self._log_total(groups)
        for start in range(0, tokens, step):
            part = slice(start, min(start + step, tokens))
            yield part, self._at_tokens(groups, part).sub_(total[..., None]).exp_()

    def sees(self) -> Bool[Tensor, "batch heads_or_one"]:
        """Say which heads see any of the image tokens."""
        step, tokens = self._block.keys_at_once, self._keys.shape[1]
        parts = [self._look_at_tokens(slice(start, min(start + step, tokens))).sees for start in range(0, tokens, step)]
        found = torch.ones((len(self._keys), 1), dtype=torch.bool, device=self._keys.device)
        known = [part for part in parts if part is not None]
        return functools.reduce(torch.logical_or, known) if len(known) == len(parts) else found

    def peaks(self, groups: slice, shares: Float[Tensor, "batch queries"]) -> Float[Tensor, "batch heads keys"]:
        """Give every key the shares of the rows whose highest logit is there, slab by slab.

        Raises:
            ValueError: If there are no keys.
        """
        num_keys, step = self._call.key.shape[2], self._block.keys_at_once
        best = highest = None
        for start in range(0, num_keys, step):
            peak, place = self._slab(groups, start, min(start + step, num_keys)).max(dim=-1)
            if best is None or highest is None:
                best, highest = place, peak
            else:
                best = torch.where(peak > highest, place + start, best)
                highest = torch.maximum(peak, highest)
        if best is None:
            raise ValueError("An attention call without keys has no rows to reduce.")
        return peaks_at(best.flatten(1, 2), shares, num_keys)

    def _log_total(self, groups: slice) -> Float[Tensor, "batch groups per_group queries"]:
        """Compute the logarithm of each row's softmax denominator over all keys, slab by slab.

        Raises:
            ValueError: If there are no keys.
        """
        highest = total = None
        num_keys, step = self._call.key.shape[2], self._block.keys_at_once
        for start in range(0, num_keys, step):
            logits = self._slab(groups, start, min(start + step, num_keys))
            peak = logits.amax(dim=-1).clamp_min_(LOWEST)
            if highest is not None and total is not None:
                peak = torch.maximum(peak, highest)
                total = total * (highest - peak).exp_()
            fresh = logits.sub_(peak[..., None]).exp_().sum(dim=-1)
            total = fresh if total is None else total + fresh
            highest = peak
        if highest is None or total is None:
            raise ValueError("An attention call without keys has no rows to reduce.")
        return highest + total.log()

    def _slab(self, groups: slice, start: int, stop: int) -> Float[Tensor, "batch groups per_group queries keys"]:
        """Compute the masked logits of these rows at neighbouring keys."""
        slab = self._call.key[self._block.batch, groups, start:stop]
        return self._masked(self._logits(groups, slab), self._look_at_slab(start, stop), groups)

    def _at_tokens(self, groups: slice, part: slice) -> Float[Tensor, "batch groups per_group queries keys"]:
        """Compute the masked logits of these rows at some image tokens."""
        keys = self._call.key[self._block.batch, groups]
        places = self._keys[:, None, part, None].expand(-1, keys.shape[1], -1, keys.shape[3])
        return self._masked(self._logits(groups, keys.gather(2, places)), self._look_at_tokens(part), groups)

    def _logits(self, groups: slice, keys: Tensor) -> Tensor:
        """Multiply rows and keys."""
        logits = torch.matmul(self._queries[:, groups], keys.float().transpose(2, 3))
        return logits.view(*logits.shape[:2], self._per_group, -1, logits.shape[3])

    def _masked(
        self, logits: Float[Tensor, "batch groups per_group queries keys"], sight: Sight, groups: slice
    ) -> Float[Tensor, "batch groups per_group queries keys"]:
        """Cap and mask raw logits in place."""
        softcap = self._call.options.get("softcap")
        if softcap is not None:
            logits.div_(softcap).tanh_().mul_(softcap)
        if sight.hidden is not None:
            logits[..., sight.span].masked_fill_(self._by_group(sight.hidden, groups), LOWEST)
        if sight.bias is not None:
            logits[..., sight.span] += self._by_group(sight.bias, groups)
        return logits

    def _by_group(self, mask: Tensor, groups: slice) -> Tensor:
        """Bring a mask's axis of heads into groups."""
        return (
            mask[:, :, None]
            if mask.shape[1] == 1
            else mask.view(len(mask), self._num_groups, -1, *mask.shape[2:])[:, groups]
        )

    def _look_at_slab(self, start: int, stop: int) -> Sight:
        """Say what these rows see of neighbouring keys."""

        def keys() -> Tensor:
            return torch.arange(start, stop, device=self._keys.device).expand(len(self._keys), -1)

        return self._look(keys, (start, stop))

    def _look_at_tokens(self, part: slice) -> Sight:
        """Say what these rows see of some image tokens."""
        return self._look(lambda: self._keys[:, part], ("image tokens", part.start, part.stop))

    def _look(self, keys: Callable[[], Int[Tensor, "batch keys"]], name: tuple[str | int, ...]) -> Sight:
        """Say what these rows see of some keys."""
        batch, rows = self._block.batch, self._block.rows
        whole = (*name, batch.start, batch.stop, rows.start, rows.stop)
        return self._wanted.sights.look(self._call, self._rule, batch, self._positions, keys, name=whole)


def _plan(call: AttentionCall, wanted: WantedPositions, chunk_bytes: int) -> Iterator[_Block]:
    """Cut the work into blocks whose keys (float32), logits, weights and masks together stay within the budget.

    A block holds the rows of all heads and, per batch row and key/value head, a slab of keys, their logits, and about
    twice as much again for weights, masks and intermediate results. Where all keys of a head fit, no more heads are
    taken at once than fit a processor's cache.

    Yields:
        Blocks that together cover everything once.
    """
    batch, num_heads, _, head_dim = call.query.shape
    num_groups, num_keys = call.key.shape[1:3]
    per_group = num_heads // num_groups
    budget = max(chunk_bytes // 4, 1)
    num_rows = wanted.queries.shape[1]
    rows = max(1, min(num_rows, _ROWS_AT_ONCE // per_group, budget // (8 * num_heads * head_dim)))
    per_key = 2 * head_dim + 3 * per_group * rows
    left = budget - 2 * num_heads * rows * head_dim
    keys = max(1, min(num_keys, left // per_key))
    units = max(1, min(left, _CACHE_NUMBERS) // (keys * per_key))
    groups = min(num_groups, units)
    batch_rows = max(1, min(units // num_groups, left // (2 * num_heads * rows * head_dim)))
    for first in range(0, batch, batch_rows):
        for row in range(0, num_rows, rows):
            yield _Block(
                batch=slice(first, min(first + batch_rows, batch)),
                rows=slice(row, min(row + rows, num_rows)),
                groups_at_once=groups,
                keys_at_once=keys,
            )
