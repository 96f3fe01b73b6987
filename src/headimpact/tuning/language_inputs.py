"""What enters the language model, computed once per example and reused by every step and every arm.

Vision tower, projector and token embeddings are frozen, so their output for an example never changes.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from jaxtyping import Int
from torch import Tensor, nn

from headimpact.core.errors import OptionError, UnsupportedModelError
from headimpact.models.loading import LoadedModel
from headimpact.models.prompts import encode
from headimpact.models.response_spans import IGNORED_LABEL
from headimpact.tuning.examples import TuningExample

_BLOCK = 16
_GIBIBYTE = 2**30


@dataclasses.dataclass(frozen=True)
class TuningBatch:
    """One batch, ready for the model.

    Attributes:
        inputs: What the model is called with.
        labels: Tokens of the answers, -100 elsewhere.
    """

    inputs: dict[str, Any]
    labels: Int[Tensor, "batch keys"]


@dataclasses.dataclass(frozen=True)
class _Row:
    """One example without padding: its language inputs and labels, sequence axis last but for features."""

    inputs: dict[str, Tensor]
    labels: Int[Tensor, " keys"]

    def num_bytes(self) -> int:
        """Count the bytes held."""
        return sum(value.nbytes for value in self.inputs.values()) + self.labels.nbytes


def encode_batch(loaded: LoadedModel, examples: Sequence[TuningExample]) -> TuningBatch:
    """Run the processor on some examples, padded on the right, with labels on the answers.

    Args:
        loaded: Model and processor.
        examples: The batch.

    Returns:
        Inputs on the model's device, and labels.
    """
    encoded = encode(
        loaded,
        [example.load_image() for example in examples],
        [example.prompt for example in examples],
        [example.answer for example in examples],
        padding_side="right",
    )
    return TuningBatch(inputs=dict(encoded.inputs), labels=cast("Tensor", encoded.labels))


class LanguageInputCache:
    """Language inputs of one list of examples for one model, filled as they are asked for.

    Examples are encoded in fixed blocks of neighbours, so that what is kept depends on the list alone and not
    on the order, the seed or the arm that asked first. Rows are kept without padding in the machine's memory.
    """

    def __init__(
        self, loaded: LoadedModel, examples: Sequence[TuningExample], *, max_bytes: int = 4 * _GIBIBYTE
    ) -> None:
        """Make an empty cache.

        Args:
            loaded: The base model; its vision tower and embeddings must stay as they are.
            examples: The training set; the same list must be tuned on.
            max_bytes: Memory that the kept rows may take.

        Raises:
            UnsupportedModelError: If the family gives no language inputs (see `offers_language_inputs`).
        """
        if loaded.family.language_inputs is None:
            raise UnsupportedModelError(
                f"Language inputs of {loaded.family.model_type!r} cannot be kept: more than embeddings and a mask "
                "enters its decoder. Tune without keeping them."
            )
        self._language_inputs = loaded.family.language_inputs
        self._loaded = loaded
        self._examples = tuple(examples)
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._rows: dict[int, _Row] = {}

    @property
    def num_bytes(self) -> int:
        """Count the bytes that are held."""
        return self._num_bytes

    def __len__(self) -> int:
        """Count the examples that are held."""
        return len(self._rows)

    def serves(self, model: nn.Module, examples: Sequence[TuningExample]) -> bool:
        """Say whether this cache was made for a base model and a list of examples."""
        return (
            model is self._loaded.model
            and len(examples) == len(self._examples)
            and all(given is held for given, held in zip(examples, self._examples, strict=True))
        )

    def batch(self, indices: Sequence[int]) -> TuningBatch:
        """Give a batch by the examples' places in the list, padded on the right.

        Args:
            indices: Places of the examples.

        Returns:
            Inputs of the language model on its device, and labels.

        Raises:
            OptionError: If the whole list would outgrow `max_bytes`; known after the first block.
            UnsupportedModelError: If the family's inputs cannot be kept row by row.
        """
        for index in indices:
            if index not in self._rows:
                self._fill(index // _BLOCK)
        return _stack([self._rows[index] for index in indices], self._loaded.device)

    def _fill(self, block: int) -> None:
        """Encode one block of examples and keep its rows.

        Raises:
            OptionError: If the whole list would outgrow the memory allowed.
        """
        members = range(block * _BLOCK, min((block + 1) * _BLOCK, len(self._examples)))
        encoded = encode_batch(self._loaded, [self._examples[index] for index in members])
        model = self._loaded.model
        with _evaluating(model), torch.no_grad():
            inputs = self._language_inputs(self._loaded.family.backbone(model), encoded.inputs)
        rows = _split({name: value.cpu() for name, value in inputs.items()}, encoded.labels.cpu())
        self._num_bytes += sum(row.num_bytes() for row in rows)
        self._rows.update(zip(members, rows, strict=True))
        expected = self._num_bytes / len(self._rows) * len(self._examples)
        if expected > self._max_bytes:
            raise OptionError(
                f"Kept language inputs would outgrow their memory: about {expected / _GIBIBYTE:.2f} GiB for "
                f"{len(self._examples)} examples, at most {self._max_bytes / _GIBIBYTE:.2f} GiB allowed. "
                "Tune without keeping them, or on fewer examples (--limit)."
            )


def offers_language_inputs(loaded: LoadedModel) -> bool:
    """Say whether a model's family can give the language model's inputs apart from the rest."""
    return loaded.family.language_inputs is not None


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Switch a model's dropout off for a block."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _batch_axis(name: str, value: Tensor) -> int:
    """Find the batch axis: first, but second for positions with an axis of their own (time, row, column)."""
    return 1 if name == "position_ids" and value.ndim == 3 else 0


def _split(inputs: Mapping[str, Tensor], labels: Int[Tensor, "batch keys"]) -> list[_Row]:
    """Cut a right-padded batch into rows without padding.

    Raises:
        UnsupportedModelError: If some input has no batch and sequence axis side by side.
    """
    mask = inputs["attention_mask"]
    for name, value in inputs.items():
        axis = _batch_axis(name, value)
        if tuple(value.shape[axis : axis + 2]) != tuple(mask.shape):
            raise UnsupportedModelError(
                f"Language input {name!r} has shape {tuple(value.shape)}; expected batch and sequence "
                f"{tuple(mask.shape)} side by side, to be kept row by row. Tune without keeping them."
            )
    rows = []
    for row, length in enumerate(mask.sum(dim=1).tolist()):
        kept = {
            name: value.select(_batch_axis(name, value), row).narrow(_batch_axis(name, value), 0, length).clone()
            for name, value in inputs.items()
        }
        rows.append(_Row(inputs=kept, labels=labels[row, :length].clone()))
    return rows


def _stack(rows: Sequence[_Row], device: torch.device) -> TuningBatch:
    """Pad rows on the right to the longest and stack them."""
    longest = max(len(row.labels) for row in rows)
    inputs = {}
    for name, first in rows[0].inputs.items():
        axis = 1 if name == "position_ids" and first.ndim == 2 else 0
        padded = [_pad(row.inputs[name], axis, longest, 0) for row in rows]
        inputs[name] = torch.stack(padded, dim=axis).to(device, non_blocking=True)
    labels = torch.stack([_pad(row.labels, 0, longest, IGNORED_LABEL) for row in rows])
    return TuningBatch(inputs=inputs, labels=labels.to(device, non_blocking=True))


def _pad(value: Tensor, axis: int, length: int, filler: int) -> Tensor:
    """Lengthen a tensor along one axis."""
    missing = list(value.shape)
    missing[axis] = length - value.shape[axis]
    return torch.cat([value, value.new_full(missing, filler)], dim=axis)
