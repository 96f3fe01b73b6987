"""The same reduction as in `reduction.py`, in one or two GPU kernels a layer (`kernels/attention_rows.py`).

A reduction out of ready-made operations writes and reads its logits about ten times and starts some thirty kernels a
layer, which on a GPU takes longer than the layer itself. Needs Triton, which comes with torch for CUDA; where it is
missing, `reduction.py` does the work.
"""

import contextlib
import dataclasses
import logging
from collections.abc import Callable

import torch
from torch import Tensor
from triton.errors import TritonError

from headimpact.attention.interception import AttentionCall
from headimpact.attention.reduction import ReducedRows, peaks_at
from headimpact.attention.visibility import Visibility
from headimpact.attention.wanted import WantedPositions
from headimpact.kernels.attention_rows import reduced_maps, row_totals

_logger = logging.getLogger(__name__)

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
LARGEST_HEAD = 256
"""Largest head dimension whose tiles fit a multiprocessor's memory."""

_KEYS_AT_ONCE = 64
_PROGRAMS = 512
"""Programs that keep a GPU busy; with fewer rows than that, the keys are divided."""

_MOST_PARTS = 16
_FEW_TILES = 8192
"""Tiles, of rows by keys, that a GPU gets through in the time that it takes to start a second kernel."""

_NO_MASK, _BOOL_MASK, _ADDITIVE_MASK = 0, 1, 2


_refused: set[tuple[torch.device, torch.dtype, int]] = set()
"""GPU, number format and head dimension for which Triton made no kernel, for want of memory on the chip above all."""


def serves(call: AttentionCall) -> bool:
    """Say whether the kernels know this call's kind of numbers and of mask.

    Args:
        call: An attention call.
    """
    return (
        call.query.dtype in DTYPES
        and call.key.dtype == call.query.dtype
        and call.query.shape[3] <= LARGEST_HEAD
        and not hasattr(call.attention_mask, "mask_mod")
        and _size_of(call) not in _refused
    )


def _size_of(call: AttentionCall) -> tuple[torch.device, torch.dtype, int]:
    """Give what decides whether a tile fits."""
    return call.query.device, call.query.dtype, call.query.shape[3]


def reduce_rows_fused(
    call: AttentionCall, wanted: WantedPositions, *, reduction: str, with_peaks: bool = False
) -> ReducedRows:
    """Compute what `reduce_rows` computes.

    Args:
        call: Queries, keys, mask and options of one attention call that `serves` admits, or of several with the same
            mask and options, one after another in the batch.
        wanted: Positions of one call, on its device.
        reduction: `mean` or `max`.
        with_peaks: Find each row's highest weight over all keys too; of equal ones the first counts.

    Returns:
        Maps, sight and, where asked for, peaks.

    Raises:
        UnsupportedModelError: If the call's weights are no plain softmax (see `Visibility.of`).

    Source: partial maxima and sums of parts of the keys are joined as in flash decoding (Dao, Haziza, Massa, Sizov
    2023, a blog post of the PyTorch project), after Milakov & Gimelshein 2018 (arXiv 1805.02867).
    """
    query, key = call.query.detach(), call.key.detach()
    batch, heads, _, head_dim = query.shape
    num_keys, rows, tokens = key.shape[2], wanted.queries.shape[1], wanted.keys.shape[1]
    work = _Work.plan(batch * heads, rows, num_keys, tokens, with_peaks=with_peaks)
    maps = query.new_empty((batch, heads, tokens), dtype=torch.float32)
    sees = query.new_empty((batch, heads, work.token_blocks), dtype=torch.int8)
    mask, kind, rule = _mask_of(call)
    scaling, softcap = call.options.get("scaling"), call.options.get("softcap")
    shared = (
        query, key, mask, wanted.queries, *query.stride(), *key.stride(), *_mask_strides(mask, kind),
        head_dim**-0.5 if scaling is None else float(scaling), 1.0 if softcap is None else float(softcap),
        rule.offset, rule.window or 0, rows, num_keys, len(wanted.queries), heads, heads // key.shape[1], head_dim,
    )  # fmt: skip
    shape = {
        "PARTS": work.parts, "ROWS_AT_ONCE": work.rows_at_once, "KEYS_AT_ONCE": _KEYS_AT_ONCE,
        "HEAD_BLOCK": max(16, 1 << (head_dim - 1).bit_length()), "MASK": kind, "IS_CAUSAL": rule.is_causal,
        "HAS_WINDOW": rule.window is not None, "HAS_SOFTCAP": softcap is not None,
    }  # fmt: skip
    peaks = None
    with _on(query):
        totals = maps  # a pointer that is never followed
        if not work.in_one:
            totals = query.new_empty((2, batch, heads, rows, work.parts), dtype=torch.float32)
            highest_at = totals.new_empty(totals.shape[1:] if with_peaks else (1,), dtype=torch.int32)
            grid = (batch * heads, work.row_blocks, work.parts)
            row_totals[grid](*shared, totals, highest_at, WITH_PEAKS=with_peaks, **shape)
            if with_peaks:
                peaks = _peaks(totals[0], highest_at, wanted, num_keys)
        reduced_maps[(batch * heads, work.token_blocks)](
            *shared, wanted.weights, wanted.keys, totals, maps, sees, tokens, work.token_blocks,
            IS_MEAN=reduction == "mean", IN_ONE=work.in_one, **shape,
        )  # fmt: skip
    return ReducedRows(maps, sees.view(torch.bool), peaks)


class LayerQueue:
    """Calls of several layers that wait for each other, to be reduced together.

    On a GPU, short inputs leave little to compute: starting kernels takes the time, and a few layers' calls cost as
    much as one. A call of other shapes, mask or options than those that wait, or one too many for the budget, sends
    them off; one that is too large for the budget does not wait.
    """

    def __init__(self, done: Callable[[int, ReducedRows], None], *, max_bytes: int) -> None:
        """Begin without calls.

        Args:
            done: Takes each layer and its result.
            max_bytes: Most bytes of queries and keys that wait.
        """
        self._done = done
        self._max_bytes = max_bytes
        self._kind: object = None
        self._layers: list[int] = []
        self._calls: list[AttentionCall] = []
        self._reduce: Callable[[AttentionCall], ReducedRows] | None = None

    def add(self, layer: int, call: AttentionCall, reduce: Callable[[AttentionCall], ReducedRows]) -> None:
        """Let a call wait.

        Args:
            layer: Whose call it is.
            call: A call that `serves` admits.
            reduce: Reduces it, or several of its kind one after another in the batch.
        """
        held = call.query.nbytes + call.key.nbytes
        kind = _kind_of(call)
        if kind != self._kind or (len(self._calls) + 1) * held > self._max_bytes:
            self.flush()
        self._kind, self._reduce = kind, reduce
        self._layers.append(layer)
        # Values are of no use here and would be kept alive.
        self._calls.append(dataclasses.replace(call, value=call.key, weights=None))
        if held > self._max_bytes:
            self.flush()

    def flush(self) -> None:
        """Reduce what waits; the plain way, from here on, where Triton makes no kernel of this size for this GPU."""
        layers, calls, reduce = self._layers, self._calls, self._reduce
        self._layers, self._calls = [], []
        if not calls or reduce is None:
            return
        joined = calls[0]
        if len(calls) > 1:
            query, key = (torch.cat([getattr(call, name) for call in calls]) for name in ("query", "key"))
            joined = dataclasses.replace(joined, query=query, key=key)
        try:
            found = reduce(joined)
        except TritonError as error:
            _refused.add(_size_of(joined))
            _logger.warning(
                "No kernel for heads of %d numbers in %s on this GPU (%s: %s); attention is reduced without, which is "
                "slower.", joined.query.shape[3], joined.query.dtype, type(error).__name__, error,
            )  # fmt: skip
            for layer, call in zip(layers, calls, strict=True):
                self._done(layer, reduce(call))
            return
        batch = calls[0].query.shape[0]
        for place, layer in enumerate(layers):
            own = slice(place * batch, (place + 1) * batch)
            peaks = None if found.peaks is None else found.peaks[own]
            self._done(layer, ReducedRows(found.maps[own], found.sees_parts[own], peaks))


def _kind_of(call: AttentionCall) -> object:
    """Give what calls must share to be reduced together."""
    told = tuple(call.options.get(name) for name in ("scaling", "softcap", "sliding_window", "is_causal"))
    return (
        call.implementation, type(call.module), getattr(call.module, "is_causal", None), told, id(call.attention_mask),
        call.query.shape, call.key.shape, call.query.dtype, call.query.device,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Work:
    """How the work is divided.

    Attributes:
        rows_at_once: Rows of a tile.
        row_blocks: Tiles that hold all rows.
        token_blocks: Tiles that hold all image tokens.
        parts: In how many parts the keys go, a power of two: more where few rows would leave the GPU idle.
        in_one: Every program of the maps finds its rows' totals again by itself. More to compute, but one kernel to
            start: where there is little to compute, starting it is what takes the time.
    """

    rows_at_once: int
    row_blocks: int
    token_blocks: int
    parts: int
    in_one: bool

    @classmethod
    def plan(cls, heads: int, rows: int, num_keys: int, tokens: int, *, with_peaks: bool) -> "_Work":
        """Divide the work of some heads, all batch rows counted."""
        rows_at_once = 16 if rows <= 16 else 32
        row_blocks, token_blocks, key_blocks = (
            -(-rows // rows_at_once), -(-tokens // _KEYS_AT_ONCE), -(-num_keys // _KEYS_AT_ONCE)
        )  # fmt: skip
        tiles = heads * row_blocks * token_blocks * key_blocks
        wished = _PROGRAMS // (heads * row_blocks)
        parts = 1 << (max(1, min(wished, key_blocks // 2, _MOST_PARTS)).bit_length() - 1)
        return cls(rows_at_once, row_blocks, token_blocks, parts, in_one=tiles <= _FEW_TILES and not with_peaks)


def _mask_of(call: AttentionCall) -> tuple[Tensor, int, Visibility]:
    """Bring what the call's implementation got as a mask into one form."""
    rule = Visibility.of(call)
    if rule.padding is not None:
        return rule.padding[:, None, None, :].view(torch.uint8), _BOOL_MASK, rule
    if rule.mask is None:
        return call.query, _NO_MASK, rule  # a pointer that is never followed
    if rule.mask.dtype == torch.bool:
        return rule.mask.view(torch.uint8), _BOOL_MASK, rule
    return rule.mask, _ADDITIVE_MASK, rule


def _mask_strides(mask: Tensor, kind: int) -> tuple[int, int, int, int]:
    """Give steps over batch, heads, queries and keys; 0 along an axis that all share."""
    if kind == _NO_MASK:
        return (0, 0, 0, 0)
    steps = [step if size > 1 else 0 for step, size in zip(mask.stride(), mask.shape, strict=True)]
    return (steps[0], steps[1], steps[2], steps[3])


def _on(tensor: Tensor) -> contextlib.AbstractContextManager[object]:
    """Make a tensor's GPU the current one, which is where kernels start."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else contextlib.nullcontext()


def _peaks(highest: Tensor, highest_at: Tensor, wanted: WantedPositions, num_keys: int) -> Tensor:
    """Join the parts' highest places, the first of equal ones, and give each its row's share."""
    calls = highest.shape[0] // len(wanted.queries)
    shares, keys = wanted.weights.repeat(calls, 1), wanted.keys.repeat(calls, 1)
    is_highest = highest == highest.amax(dim=-1, keepdim=True)
    place = torch.where(is_highest, highest_at, num_keys).amin(dim=-1).long()
    return peaks_at(place, shares, num_keys).gather(2, keys[:, None, :].expand(-1, place.shape[1], -1))
