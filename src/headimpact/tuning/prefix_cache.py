"""What enters the lowest tuned layer, computed once per example and kept on disk; later epochs run the layers above.

Below that layer nothing changes in training: vision tower, embeddings and first layers give the same states in every
epoch, and to every arm whose lowest tuned layer is the same or a later one. A file holds the rows of a block of
examples, as safetensors that are mapped into memory, under a name that is the hash of their pictures and texts, in a
folder that is named by the hash of everything below the layer. So what is found was made from the same; whatever
differs is made anew, and a run that was killed goes on with the first block that is not there.
"""

import dataclasses
import logging
import shutil
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from PIL.Image import Image
from torch import Tensor, nn

from headimpact.core.artifacts import write_json
from headimpact.core.errors import OptionError, UnsupportedModelError
from headimpact.core.provenance import hash_options
from headimpact.models.decoder_cut import starting_at, take_layer_inputs
from headimpact.models.loading import LoadedModel
from headimpact.models.response_losses import response_losses
from headimpact.tuning.examples import TuningExample
from headimpact.tuning.language_inputs import autocast, encode_batch, evaluating
from headimpact.tuning.prefix_identity import describe_prefix, hash_examples, refuse_random_pictures
from headimpact.tuning.row_files import read_row, write_rows
from headimpact.tuning.rows import TuningBatch, split_rows, stack_rows

SCHEMA = "prefix_cache/1"
_BLOCK = 16
_GIGABYTE = 10**9
_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class CachingCost:
    """What a cache took since it was made.

    Attributes:
        examples: Examples that were computed.
        found: Examples that were there already.
        seconds: Wall time.
        bytes: Size on disk of all of them.
    """

    examples: int = 0
    found: int = 0
    seconds: float = 0.0
    bytes: int = 0


class PrefixCache:
    """The states that enter one layer, of one list of examples for one model, on disk.

    Examples are computed in fixed blocks of neighbours, so that what is kept depends on the list alone.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        examples: Sequence[TuningExample],
        *,
        layer_idx: int,
        folder: Path,
        max_bytes: float = 32 * _GIGABYTE,
        bf16: bool = False,
    ) -> None:
        """Find the cache's place; nothing is computed yet, but the weights below the layer are hashed.

        Args:
            loaded: The base model, or one with an adapter on this layer or later ones.
            examples: The training set.
            layer_idx: The first layer that is not kept: the lowest that is tuned, or an earlier one.
            folder: Where caches are; shared by models, layers and data sets without harm.
            max_bytes: Disk space that this list may take.
            bf16: Compute the states in bfloat16 (autocast), as the training will.

        Raises:
            OptionError: If the model has no such layer, or some weights are not in memory.
            UnsupportedModelError: If the model is quantised in another way than to 4 bits.
        """
        if not loaded.is_row_by_row:
            raise UnsupportedModelError(
                f"The prefix of a model in {loaded.quantization} cannot be kept: an example's states depend on the "
                "batch that it is in; expected a model in 4bit, or not quantised. Tune without --prefix-cache."
            )
        num_layers = int(loaded.config.get_text_config().num_hidden_layers)
        if not 0 <= layer_idx < num_layers:
            raise OptionError(f"Layer {layer_idx} is not in the model; expected one of 0 to {num_layers - 1}.")
        self.layer_idx = layer_idx
        self.bf16 = bf16
        self._loaded = loaded
        self._examples = tuple(examples)
        self._max_bytes = max_bytes
        self._facts = describe_prefix(loaded, layer_idx)
        self._description = {**self._facts, "autocast": bf16}
        self._folder = folder / hash_options(self._description)
        self._files: dict[int, Path] = {}
        self.cost = CachingCost()

    def serves(self, loaded: LoadedModel, examples: Sequence[TuningExample]) -> bool:
        """Say whether a model is the same below the layer, and a list of examples the same.

        Args:
            loaded: A model, with or without an adapter.
            examples: The list.
        """
        return (
            len(examples) == len(self._examples)
            and all(given is held for given, held in zip(examples, self._examples, strict=True))
            and (loaded.model is self._loaded.model or describe_prefix(loaded, self.layer_idx) == self._facts)
        )

    def fill(self, indices: Iterable[int], *, share: tuple[int, int] = (0, 1)) -> None:
        """Compute the blocks of some examples that are not there yet.

        The first block is the measure: what the rest will take, of time and of disk, is said before it is begun.

        Args:
            indices: Places of the examples in the list.
            share: This process's number, and how many share the blocks; they must fill the whole afterwards.

        Raises:
            OptionError: If the list would outgrow `max_bytes` or the disk, or pictures change from look to look.
            UnsupportedModelError: If the family's decoder cannot be cut.
            RunFailedError: If a file cannot be written.
        """
        blocks = sorted({index // _BLOCK for index in indices})
        start, made, found = time.perf_counter(), 0, 0
        own = blocks[share[0] :: share[1]]
        for place, block in enumerate(own):
            if block in self._files:
                continue
            examples = self._members(block)
            pictures = [example.load_image() for example in examples]
            path = self._folder / f"{hash_examples(examples, pictures)}.safetensors"
            if not self._files:
                refuse_random_pictures(examples, pictures)
            if path.is_file():
                found += len(examples)
            else:
                before = time.perf_counter()
                self._compute(examples, pictures, path)
                if not made:
                    taken = time.perf_counter() - before
                    self._announce(path.stat().st_size, taken, len(examples), done=own[: place + 1], own=own, of=blocks)
                made += len(examples)
            self._files[block] = path
        self.cost = CachingCost(
            examples=self.cost.examples + made,
            found=self.cost.found + found,
            seconds=self.cost.seconds + time.perf_counter() - start,
            bytes=sum(path.stat().st_size for path in self._files.values()),
        )

    def batch(self, indices: Sequence[int]) -> TuningBatch:
        """Give a batch by the examples' places in the list, padded on the right; runs inside `running` only.

        Args:
            indices: Places of examples that were filled.

        Returns:
            What the model is called with, on its device, and labels.

        Raises:
            OptionError: If an example was not filled.
            RunFailedError: If a file is broken.
        """
        missing = [index for index in indices if index // _BLOCK not in self._files]
        if missing:
            raise OptionError(f"Examples {missing} are not in the prefix cache. Call fill with their places first.")
        rows = [read_row(self._files[index // _BLOCK], index % _BLOCK) for index in indices]
        return stack_rows(rows, self._loaded.device)

    def running(self, model: nn.Module) -> AbstractContextManager[None]:
        """Let a model take this cache's batches while the block runs.

        Args:
            model: The model, with or without an adapter on this layer or later ones.
        """
        return starting_at(self._loaded.family, model, self.layer_idx)

    def losses(self, loaded: LoadedModel, indices: Sequence[int], *, batch_size: int = 8) -> Tensor:
        """Give an arm's mean loss of each example's answer, from the kept states.

        Args:
            loaded: The base model, or one with an adapter on this layer or later ones.
            indices: Places of examples that were filled.
            batch_size: Rows per forward pass.

        Returns:
            One loss per example, as `response_losses` gives them from pictures and texts.

        Raises:
            OptionError: If the model differs below the layer, or an example was not filled.
        """
        if not self.serves(loaded, self._examples):
            raise OptionError(
                f"The prefix cache is of another model: {loaded.name!r} differs below layer {self.layer_idx}, or has "
                "an adapter there. Fill a cache with this model, at its lowest tuned layer."
            )
        found = []
        with torch.no_grad(), evaluating(loaded.model), self.running(loaded.model):
            for first in range(0, len(indices), batch_size):
                batch = self.batch(indices[first : first + batch_size])
                found.append(response_losses(loaded.model, batch.inputs, batch.labels))
        return torch.cat(found)

    def _members(self, block: int) -> tuple[TuningExample, ...]:
        """Give the examples of a block."""
        return self._examples[block * _BLOCK : (block + 1) * _BLOCK]

    def _compute(self, examples: Sequence[TuningExample], pictures: Sequence[Image], path: Path) -> None:
        """Run one block as far as the layer and write its rows."""
        encoded = encode_batch(self._loaded, examples, pictures=pictures)
        with torch.no_grad(), evaluating(self._loaded.model), autocast(self._loaded.device, self.bf16):
            states = take_layer_inputs(self._loaded, encoded.inputs, self.layer_idx)
        write_json(self._folder / "prefix.json", self._description, schema=SCHEMA)
        write_rows(path, split_rows(states.per_token, encoded.labels, per_row=states.per_row))

    def _announce(
        self, size: int, seconds: float, measured: int, *, done: Sequence[int], own: Sequence[int], of: Sequence[int]
    ) -> None:
        """Say what all blocks will take, measured on one of this process's own.

        Raises:
            OptionError: If it is more than is allowed or free.
        """
        count, mine, ready = (sum(len(self._members(block)) for block in blocks) for blocks in (of, own, done))
        expected, rest = size / measured * count, size / measured * (count - ready)
        free = shutil.disk_usage(self._folder).free
        _LOG.info(
            "Prefix cache: what enters layer %d is kept for %d examples, about %.2f GB in %s; computing the other %d "
            "takes about %.0f s (%d took %.1f s)",
            self.layer_idx, count, expected / _GIGABYTE, self._folder, mine - ready,
            seconds / measured * (mine - ready), measured, seconds,
        )  # fmt: skip
        if expected > self._max_bytes or rest > free:
            raise OptionError(
                f"Prefix cache would outgrow its place: about {expected / _GIGABYTE:.2f} GB for {count} examples; "
                f"{self._max_bytes / _GIGABYTE:.2f} GB are allowed and {free / _GIGABYTE:.2f} GB free in "
                f"{self._folder.parent}. Raise --prefix-cache-gb, choose another --prefix-cache-dir, or pass "
                "--prefix-cache off."
            )
