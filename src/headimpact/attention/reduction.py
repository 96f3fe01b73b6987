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
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headimpact.attention.interception import AttentionCall
from headimpact.attention.visibility import Visibility, sees_any

REDUCTIONS = ("mean", "max")
"""How the rows of one response become one map."""

_ROWS_AT_ONCE = 512
"""Query rows times grouped heads in one block; more would leave too little of the budget to the keys."""

_LOWEST = torch.finfo(torch.float32).min


@dataclasses.dataclass(frozen=True, eq=False)
class WantedPositions:
    """Which positions look and which are looked at, per batch row; ragged lists as padded tensors.

    Padding repeats the last position, so it changes neither a maximum nor whether anything is seen.

    Attributes:
        queries: Query positions `[batch, queries]`.
        weights: Share of each query in the mean, 0 for padding, `[batch, queries]`.
        keys: Key positions `[batch, image_tokens]`.
    """

    queries: Int[Tensor, "batch queries"]
    weights: Float[Tensor, "batch queries"]
    keys: Int[Tensor, "batch image_tokens"]

    @classmethod
    def pad(cls, queries: Sequence[Tensor], keys: Sequence[Tensor]) -> "WantedPositions":
        """Make padded tensors of ragged lists without empty entries.

        Args:
            queries: Query positions per batch row.
            keys: Key positions per batch row.
        """
        length = max(len(row) for row in queries)
        weights = torch.zeros(len(queries), length)
        for row, positions in enumerate(queries):
            weights[row, : len(positions)] = 1.0 / len(positions)
        return cls(queries=_repeat_last(queries), weights=weights, keys=_repeat_last(keys))

    @functools.cached_property
    def span(self) -> tuple[int, int, int]:
        """Lowest position of all, last query position, last key position."""
        lowest = min(int(self.queries.min()), int(self.keys.min()))
        return lowest, int(self.queries.max()), int(self.keys.max())

    def to(self, device: torch.device) -> "WantedPositions":
        """Copy to a device.

        Args:
            device: Where the attention call's tensors are.
        """
        return WantedPositions(
            queries=self.queries.to(device), weights=self.weights.to(device), keys=self.keys.to(device)
        )


@dataclasses.dataclass(frozen=True)
class _Block:
    """A part of the work: some batch rows, key/value heads and query rows."""

    batch: slice
    groups: slice
    rows: slice
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
    visibility = Visibility.of(call)
    shape = (call.query.shape[0], call.query.shape[1])
    maps = torch.zeros(*shape, wanted.keys.shape[1], dtype=torch.float32, device=call.query.device)
    sees = torch.zeros(shape, dtype=torch.bool, device=call.query.device)
    peaks = torch.zeros_like(maps) if with_peaks else None
    per_group = shape[1] // call.key.shape[1]
    with torch.no_grad(), torch.autocast(device_type=call.query.device.type, enabled=False):
        for block in _plan(call, wanted, chunk_bytes):
            rows = _Rows(call, wanted, visibility, block)
            heads = slice(block.groups.start * per_group, block.groups.stop * per_group)
            held, keys = maps[block.batch, heads], wanted.keys[block.batch]
            shares = wanted.weights[block.batch, None, None, block.rows]
            for part, weights, totals in rows.weights(keys):
                if reduction == "mean":
                    # Dividing each row's share is the same as dividing the row, and no pass over the keys.
                    reduced = torch.matmul((shares / totals).unsqueeze(3), weights).flatten(1, 2).squeeze(2)
                    held[..., part] += _image_tokens(reduced, keys[:, part])
                else:
                    reduced = weights.div_(totals.unsqueeze(4)).amax(dim=3).flatten(1, 2)
                    held[..., part] = torch.maximum(held[..., part], _image_tokens(reduced, keys[:, part]))
                sees[block.batch, heads] |= rows.sees(keys[:, part])
            if peaks is not None:
                found = rows.peaks(wanted.weights[block.batch, block.rows])
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

    def __init__(self, call: AttentionCall, wanted: WantedPositions, visibility: Visibility, block: _Block) -> None:
        """Gather the rows."""
        self._call, self._visibility, self._block = call, visibility, block
        device = call.query.device
        num_heads, num_groups = call.query.shape[1], call.key.shape[1]
        self._per_group = num_heads // num_groups
        self._batch = torch.arange(call.query.shape[0], device=device)[block.batch]
        self._groups = torch.arange(num_groups, device=device)[block.groups]
        heads = torch.arange(num_heads, device=device).view(num_groups, self._per_group)[block.groups]
        self._heads = heads
        self._positions = wanted.queries[block.batch, block.rows]
        scaling = call.options.get("scaling")
        picked = call.query[self._batch[:, None, None], heads.flatten()[None, :, None], self._positions[:, None, :]]
        self._queries = (
            picked.float()
            .mul(call.query.shape[-1] ** -0.5 if scaling is None else scaling)
            .view(len(self._batch), len(self._groups), -1, call.query.shape[-1])
        )

    def weights(
        self, keys: Int[Tensor, "batch image_tokens"]
    ) -> Iterator[tuple[slice, Float[Tensor, "batch groups per_group queries keys"], Tensor]]:
        """Compute the weights of these rows at the image tokens, block by block, or once at all keys if they fit.

        Args:
            keys: The image tokens.

        Yields:
            Which of the image tokens, the weights at just these or at all keys, and what each row is still to be
            divided by, `[batch, groups, per_group, queries]`.
        """
        num_keys, step = self._call.key.shape[2], self._block.keys_at_once
        if step >= num_keys and num_keys != keys.shape[1]:
            logits = self._slab(0, num_keys)
            weights = logits.sub_(logits.amax(dim=-1, keepdim=True).clamp_min_(_LOWEST)).exp_()
            yield slice(0, keys.shape[1]), weights, weights.sum(dim=-1)
            return
        total = self.log_total()
        for start in range(0, keys.shape[1], step):
            part = slice(start, start + step)
            yield part, self.logits(keys[:, part]).sub_(total[..., None]).exp_(), torch.ones_like(total)

    def _slab(self, start: int, stop: int) -> Float[Tensor, "batch groups per_group queries keys"]:
        """Compute the masked logits of these rows at neighbouring keys."""
        keys = torch.arange(start, stop, device=self._positions.device).expand(len(self._batch), -1)
        slab = self._call.key[self._block.batch, self._block.groups, start:stop].float()
        return self._masked(torch.matmul(self._queries, slab.transpose(2, 3)), keys)

    def logits(self, keys: Int[Tensor, "batch keys"]) -> Float[Tensor, "batch groups per_group queries keys"]:
        """Compute the masked logits of these rows at some keys."""
        picked = self._call.key[self._batch[:, None, None], self._groups[None, :, None], keys[:, None, :]]
        return self._masked(torch.matmul(self._queries, picked.float().transpose(2, 3)), keys)

    def log_total(self) -> Float[Tensor, "batch groups per_group queries"]:
        """Compute the logarithm of each row's softmax denominator over all keys, block by block.

        Raises:
            ValueError: If there are no keys.
        """
        highest = total = None
        num_keys, step = self._call.key.shape[2], self._block.keys_at_once
        for start in range(0, num_keys, step):
            logits = self._slab(start, min(start + step, num_keys))
            peak = logits.amax(dim=-1).clamp_min_(_LOWEST)
            if highest is not None and total is not None:
                peak = torch.maximum(peak, highest)
                total = total * (highest - peak).exp_()
            fresh = logits.sub_(peak[..., None]).exp_().sum(dim=-1)
            total = fresh if total is None else total + fresh
            highest = peak
        if highest is None or total is None:
            raise ValueError("An attention call without keys has no rows to reduce.")
        return highest + total.log()

    def peaks(self, shares: Float[Tensor, "batch queries"]) -> Float[Tensor, "batch heads keys"]:
        """Give every key the shares of the rows whose highest logit is there, slab by slab.

        Raises:
            ValueError: If there are no keys.
        """
        num_keys, step = self._call.key.shape[2], self._block.keys_at_once
        best = highest = None
        for start in range(0, num_keys, step):
            peak, place = self._slab(start, min(start + step, num_keys)).max(dim=-1)
            if best is None or highest is None:
                best, highest = place, peak
            else:
                best = torch.where(peak > highest, place + start, best)
                highest = torch.maximum(peak, highest)
        if best is None:
            raise ValueError("An attention call without keys has no rows to reduce.")
        return peaks_at(best.flatten(1, 2), shares, num_keys)

    def sees(self, keys: Int[Tensor, "batch keys"]) -> Bool[Tensor, "batch heads"]:
        """Say which of these heads see any of the keys."""
        seen = sees_any(*self._visibility.look(self._batch, self._positions, keys))
        if seen is None:
            return self._heads.new_ones((len(self._batch), self._heads.numel()), dtype=torch.bool)
        seen = seen if seen.shape[1] == 1 else seen[:, self._heads.flatten()]
        return seen.expand(-1, self._heads.numel())

    def _masked(self, logits: Tensor, keys: Tensor) -> Float[Tensor, "batch groups per_group queries keys"]:
        """Cap and mask raw logits in place."""
        logits = logits.view(*logits.shape[:2], self._per_group, -1, logits.shape[-1])
        softcap = self._call.options.get("softcap")
        if softcap is not None:
            logits.div_(softcap).tanh_().mul_(softcap)
        seen, bias = self._visibility.look(self._batch, self._positions, keys)
        if seen is not None:
            logits.masked_fill_(self._by_group(seen).logical_not(), _LOWEST)
        if bias is not None:
            logits.add_(self._by_group(bias))
        return logits

    def _by_group(self, mask: Tensor) -> Tensor:
        """Bring a mask's axis of heads into groups."""
        return mask[:, :, None] if mask.shape[1] == 1 else mask[:, self._heads]


def _plan(call: AttentionCall, wanted: WantedPositions, chunk_bytes: int) -> Iterator[_Block]:
    """Cut the work into blocks whose keys (float32), logits and masks together stay within the budget.

    A block holds, per batch row and key/value head: the rows' queries, a slab of keys, their logits, and
    about as much again as the logits for masks and intermediate results.

    Yields:
        Blocks that together cover everything once.
    """
    batch, num_heads, _, head_dim = call.query.shape
    num_groups, num_keys = call.key.shape[1:3]
    per_group = num_heads // num_groups
    budget = max(chunk_bytes // 4, 1)
    num_rows = wanted.queries.shape[1]
    rows = min(num_rows, max(1, _ROWS_AT_ONCE // per_group))
    per_key = 2 * head_dim + 3 * per_group * rows
    fixed = 3 * per_group * rows * head_dim
    keys = max(1, min(num_keys, (budget - fixed) // per_key))
    units = max(1, budget // (fixed + keys * per_key))
    groups = min(num_groups, units)
    batch_rows = max(1, units // num_groups)
    for first in range(0, batch, batch_rows):
        for group in range(0, num_groups, groups):
            for row in range(0, num_rows, rows):
                yield _Block(
                    batch=slice(first, min(first + batch_rows, batch)),
                    groups=slice(group, min(group + groups, num_groups)),
                    rows=slice(row, min(row + rows, num_rows)),
                    keys_at_once=keys,
                )


def _repeat_last(lists: Sequence[Tensor]) -> Int[Tensor, "batch positions"]:
    """Fill ragged rows up with their last entry."""
    length = max(len(row) for row in lists)
    filled = [torch.cat([row, row[-1:].expand(length - len(row))]) for row in lists]
    return torch.stack(filled).long().cpu()
