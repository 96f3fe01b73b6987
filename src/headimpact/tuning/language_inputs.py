"""What enters the language model, computed once per example and reused by every step and every arm.

Vision tower, projector and token embeddings are frozen, so their output for an example never changes.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from PIL.Image import Image
from torch import Tensor, nn

from headimpact.core.errors import OptionError, UnsupportedModelError
from headimpact.models.loading import LoadedModel
from headimpact.models.prompts import encode
from headimpact.tuning.examples import TuningExample
from headimpact.tuning.rows import TuningBatch, TuningRow, split_rows, stack_rows

_BLOCK = 16
_GIBIBYTE = 2**30


def encode_batch(
    loaded: LoadedModel, examples: Sequence[TuningExample], *, pictures: Sequence[Image] | None = None
) -> TuningBatch:
    """Run the processor on some examples, padded on the right, with labels on the answers.

    Args:
        loaded: Model and processor.
        examples: The batch.
        pictures: Their pictures, where they are loaded already.

    Returns:
        Inputs on the model's device, and labels.
    """
    encoded = encode(
        loaded,
        [example.load_image() for example in examples] if pictures is None else pictures,
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
        self,
        loaded: LoadedModel,
        examples: Sequence[TuningExample],
        *,
        max_bytes: int = 4 * _GIBIBYTE,
        bf16: bool = False,
    ) -> None:
        """Make an empty cache.

        Args:
            loaded: The base model; its vision tower and embeddings must stay as they are.
            examples: The training set; the same list must be tuned on.
            max_bytes: Memory that the kept rows may take.
            bf16: Compute them in bfloat16 (autocast), as the training will.

        Raises:
            UnsupportedModelError: If the model gives no language inputs (see `offers_language_inputs`).
        """
        if loaded.family.language_inputs is None:
            raise UnsupportedModelError(
                f"Language inputs of {loaded.family.model_type!r} cannot be kept: more than embeddings and a mask "
                "enters its decoder. Tune without keeping them."
            )
        if not loaded.is_row_by_row:
            raise UnsupportedModelError(
                f"Language inputs of a model in {loaded.quantization} cannot be kept: an example's depend on the batch "
                "that it is in; expected a model in 4bit, or not quantised. Tune without keeping them."
            )
        self._language_inputs = loaded.family.language_inputs
        self.bf16 = bf16
        self._loaded = loaded
        self._examples = tuple(examples)
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._rows: dict[int, TuningRow] = {}

    @property
    def num_bytes(self) -> int:
        """Count the bytes that are held."""
        return self._num_bytes

    def __len__(self) -> int:
        """Count the examples that are held."""
        return len(self._rows)

    def serves(self, loaded: LoadedModel, examples: Sequence[TuningExample]) -> bool:
        """Say whether this cache was made for a base model and a list of examples."""
        return (
            loaded.model is self._loaded.model
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
        return stack_rows([self._rows[index] for index in indices], self._loaded.device)

    def _fill(self, block: int) -> None:
        """Encode one block of examples and keep its rows.

        Raises:
            OptionError: If the whole list would outgrow the memory allowed.
        """
        members = range(block * _BLOCK, min((block + 1) * _BLOCK, len(self._examples)))
        encoded = encode_batch(self._loaded, [self._examples[index] for index in members])
        model = self._loaded.model
        with evaluating(model), torch.no_grad(), autocast(self._loaded.device, self.bf16):
            inputs = self._language_inputs(self._loaded.family.backbone(model), encoded.inputs)
        rows = split_rows(inputs, encoded.labels)
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
    """Say whether a model can give the language model's inputs apart, and an example's are the same in every batch."""
    return loaded.family.language_inputs is not None and loaded.is_row_by_row


def autocast(device: torch.device, bf16: bool) -> torch.autocast:
    """Compute in bfloat16 while a block runs, or as the model is.

    Args:
        device: Where the model is.
        bf16: Whether to.

    Returns:
        A context manager.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16)


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch a model's dropout off for a block.

    Args:
        model: Any model.

    Yields:
        Nothing.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
