"""Captures attention on image tokens during an ordinary forward pass.

In: a model's attention modules, which rows look, which keys are image tokens. Out: one map per layer and
head, reduced on the spot; the model computes what it would have computed anyway and is left as it was.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from headimpact.attention.interception import AttentionCall, observe_attention
from headimpact.attention.reduction import REDUCTIONS, ReducedRows, reduce_rows
from headimpact.attention.wanted import WantedPositions
from headimpact.core.errors import OptionError, RunFailedError
from headimpact.core.registry import unknown_name_message

CHUNK_BYTES = 16 * 2**20
"""About how much the capture holds at a time beyond the model's own tensors and the maps."""

WAITING_BYTES = 12 * 2**20
"""Queries and keys that wait on a GPU to be reduced together, and their copy side by side as much again."""


class CapturedMaps:
    """Attention on image tokens, filled layer by layer while the model runs."""

    def __init__(self, layer_indices: Sequence[int], num_keys: Sequence[int]) -> None:
        """Expect some layers.

        Args:
            layer_indices: Layers to come, in rising order.
            num_keys: Image tokens of each batch row.
        """
        self.layer_indices = tuple(layer_indices)
        self._num_keys = tuple(num_keys)
        self._found: dict[int, ReducedRows] = {}
        self.finish: Callable[[], None] | None = None
        """Brings in layers that wait to be reduced together."""

    @property
    def maps(self) -> list[Float[Tensor, "layers heads image_tokens"]]:
        """Attention weights in float32, per batch row; layers in the order of `layer_indices`.

        Raises:
            RunFailedError: If a layer's attention did not run inside the block.
        """
        return self._by_row([self._found[layer].maps for layer in self._complete()])

    @property
    def peaks(self) -> list[Float[Tensor, "layers heads image_tokens"]]:
        """Share of the rows whose highest weight over all keys is at each image token, per batch row, as `maps`.

        Raises:
            RunFailedError: If a layer's attention did not run inside the block.
            ValueError: If peaks were not asked for.
        """
        found = [self._found[layer].peaks for layer in self._complete()]
        known = [layer for layer in found if layer is not None]
        if len(known) < len(found):
            raise ValueError("Peaks were not captured; ask capture_attention for them.")
        return self._by_row(known)

    @property
    def sees_image(self) -> list[Bool[Tensor, "layers heads"]]:
        """Which heads could see any image token from any of the rows, per batch row.

        Raises:
            RunFailedError: If a layer's attention did not run inside the block.
        """
        layers = _on_one_device([self._found[layer].sees_parts for layer in self._complete()])
        return list(torch.stack(layers, dim=1).any(dim=-1))

    def add(self, layer: int, reduced: ReducedRows) -> None:
        """Keep one layer's result.

        Args:
            layer: Which layer.
            reduced: What its rows give to the image tokens.

        Raises:
            RunFailedError: If the layer already ran inside the block.
        """
        if layer in self._found:
            raise RunFailedError(
                f"Layer {layer} ran twice inside one capture. Expected one forward pass per capture, without "
                "generation and without gradient checkpointing."
            )
        self._found[layer] = reduced

    def _by_row(self, layers: Sequence[Tensor]) -> list[Tensor]:
        """Stack layers for each batch row, without the padding of its image tokens."""
        stacked = torch.stack(_on_one_device(layers), dim=1)
        return [row[..., :count] for row, count in zip(stacked, self._num_keys, strict=True)]

    def _complete(self) -> tuple[int, ...]:
        """List the layers, refusing gaps.

        Raises:
            RunFailedError: If a layer's attention did not run inside the block.
        """
        if self.finish is not None:
            self.finish()
        missing = [layer for layer in self.layer_indices if layer not in self._found]
        if missing:
            raise RunFailedError(
                f"Attention of layers {', '.join(map(str, missing))} was not captured: the model did not run inside "
                "the block, or it does not call attention through transformers (compiled or replaced modules)."
            )
        return self.layer_indices


def _on_one_device(layers: Sequence[Tensor]) -> list[Tensor]:
    """Bring tensors of all layers to the first one's device."""
    return [layer.to(layers[0].device) for layer in layers]


@contextlib.contextmanager
def capture_attention(
    modules: Mapping[int, nn.Module],
    *,
    queries: Sequence[Tensor],
    keys: Sequence[Tensor],
    reduction: str = "mean",
    chunk_bytes: int = CHUNK_BYTES,
    with_peaks: bool = False,
) -> Iterator[CapturedMaps]:
    """Capture how chosen rows attend to chosen keys during one forward pass inside the block.

    The model's own attention function computes the output; beside it, only the softmax rows asked for are
    computed again, in float32, in blocks, and reduced at once: no `output_attentions`, no switch to eager,
    no matrix of all rows. Grouped-query heads, padding, sliding windows, soft-capping and explicit masks are
    honoured. Whatever happens inside, the model is left as it was.

    Args:
        modules: Layer to attention module, as `ModelFamily.attention_modules` gives them.
        queries: Query positions per batch row, padding counted; at least one each.
        keys: Key positions of the image tokens per batch row, padding counted; at least one each.
        reduction: `mean` or `max` over a row's query positions.
        chunk_bytes: About how many bytes may be held at a time beyond the model's own and the maps.
        with_peaks: Capture where each row's highest weight over all keys is, too.

    Yields:
        What is captured; complete once the forward pass has run.

    Raises:
        OptionError: If a batch row has no queries or keys, the lists differ in length, the reduction is unknown,
            or a position lies outside the sequence.
        UnsupportedModelError: If attention does not go through transformers' interface, or is no plain softmax.
        RunFailedError: If a layer runs twice inside the block.
    """
    _check_positions(modules, queries, keys, reduction)
    wanted = {torch.device("cpu"): WantedPositions.pad(list(queries), list(keys))}
    captured = CapturedMaps(sorted(modules), [len(row) for row in keys])

    fused = fused_reduction()
    queue = None if fused is None else fused.LayerQueue(captured.add, max_bytes=WAITING_BYTES)
    captured.finish = None if queue is None else queue.flush

    def observe(layer: int, call: AttentionCall) -> None:
        device = call.query.device
        if device not in wanted:
            wanted[device] = wanted[torch.device("cpu")].to(device)
        _check_call(call, wanted[torch.device("cpu")])
        reduce = functools.partial(
            reduce_call, wanted=wanted[device], reduction=reduction, chunk_bytes=chunk_bytes, with_peaks=with_peaks
        )
        if fused is not None and queue is not None and call.query.is_cuda and fused.serves(call):
            queue.add(layer, call, reduce)
        else:
            captured.add(layer, reduce(call))

    with observe_attention(modules, observe):
        yield captured


def reduce_call(
    call: AttentionCall, wanted: WantedPositions, *, reduction: str, chunk_bytes: int, with_peaks: bool
) -> ReducedRows:
    """Reduce one call's rows: in kernels of our own where it is on a GPU and of a kind that they know.

    Args:
        call: One attention call.
        wanted: Positions, on the call's device.
        reduction: `mean` or `max`.
        chunk_bytes: About how many bytes may be held at a time besides the result.
        with_peaks: Find each row's highest weight over all keys, too.

    Returns:
        What the rows give to the image tokens.

    Raises:
        UnsupportedModelError: If the call's weights are no plain softmax.
    """
    fused = fused_reduction() if call.query.is_cuda else None
    if fused is not None and fused.serves(call):
        reduced: ReducedRows = fused.reduce_rows_fused(call, wanted, reduction=reduction, with_peaks=with_peaks)
        return reduced
    return reduce_rows(call, wanted, reduction=reduction, chunk_bytes=chunk_bytes, with_peaks=with_peaks)


@functools.cache
def fused_reduction() -> ModuleType | None:
    """Import the kernels where there is a GPU for them; Triton comes with torch for CUDA."""
    if not torch.cuda.is_available():
        return None
    try:
        from headimpact.attention import fused_reduction as module  # noqa: PLC0415 - needs Triton
    except ImportError:
        return None
    return module


def _check_positions(
    modules: Mapping[int, nn.Module], queries: Sequence[Tensor], keys: Sequence[Tensor], reduction: str
) -> None:
    """Refuse what cannot be captured before the model runs.

    Raises:
        OptionError: If positions are missing or the reduction is unknown.
    """
    if reduction not in REDUCTIONS:
        raise OptionError(unknown_name_message("reduction", reduction, REDUCTIONS))
    if not modules:
        raise OptionError("No attention modules to capture. Pass those of ModelFamily.attention_modules.")
    if len(queries) != len(keys) or not queries:
        raise OptionError(
            f"Queries and keys belong to different batches: {len(queries)} and {len(keys)} rows; expected as many "
            "as the batch has, at least one."
        )
    for row, (looking, looked_at) in enumerate(zip(queries, keys, strict=True)):
        if len(looking) == 0 or len(looked_at) == 0:
            raise OptionError(
                f"Nothing to capture in batch row {row}: {len(looking)} query and {len(looked_at)} key positions. "
                "Leave the row out of the batch."
            )


def _check_call(call: AttentionCall, wanted: WantedPositions) -> None:
    """Refuse a call that does not hold the positions asked for.

    Raises:
        OptionError: If batch or positions do not fit the call.
    """
    batch, _, num_queries, _ = call.query.shape
    num_keys = call.key.shape[2]
    lowest, last_query, last_key = wanted.span
    if batch != len(wanted.queries) or lowest < 0 or last_query >= num_queries or last_key >= num_keys:
        raise OptionError(
            f"Positions outside the sequence: asked for {len(wanted.queries)} rows, queries up to "
            f"{last_query} and keys up to {last_key}; the model ran on {batch} rows of "
            f"{num_queries} queries and {num_keys} keys. Capture one forward pass over the whole sequence."
        )
