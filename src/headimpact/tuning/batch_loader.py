"""Gives the Trainer the planned batches, each from a cache or from the processor, a part of each in every process."""

from collections.abc import Sequence
from typing import Any

import torch
from accelerate import PartialState
from torch.utils.data import DataLoader

from headimpact.core.errors import OptionError
from headimpact.models.loading import LoadedModel
from headimpact.models.response_spans import IGNORED_LABEL
from headimpact.selection.selection import Selection
from headimpact.tuning.examples import TuningExample
from headimpact.tuning.language_inputs import LanguageInputCache, encode_batch
from headimpact.tuning.prefix_cache import PrefixCache

Cache = LanguageInputCache | PrefixCache
"""What may be kept from step to step and from arm to arm."""


def batch_loader(
    batches: list[list[int]],
    loaded: LoadedModel,
    examples: Sequence[TuningExample],
    *,
    cache: Cache | None,
    processes: PartialState,
) -> "DataLoader[dict[str, Any]]":
    """Make a loader of this process's part of the planned batches, in the planned order.

    A process for which a batch has no example takes part with one from which nothing is learned.

    Args:
        batches: Places of the examples, batch by batch.
        loaded: Model and processor.
        examples: The training set.
        cache: What is kept; without it the processor runs for every batch.
        processes: Those that train together.

    Returns:
        Gives `{"inputs": ..., "labels": ...}`.
    """

    def to_mapping(indices: list[int]) -> dict[str, Any]:
        own = indices[processes.process_index :: processes.num_processes]
        given = own or indices[:1]
        batch = cache.batch(given) if cache is not None else encode_batch(loaded, [examples[index] for index in given])
        labels = batch.labels if own else torch.full_like(batch.labels, IGNORED_LABEL)
        return {"inputs": batch.inputs, "labels": labels}

    indices = range(1 + max(max(batch) for batch in batches))
    return DataLoader(indices, batch_sampler=batches, collate_fn=to_mapping)  # type: ignore[arg-type]


def check_cache(
    cache: Cache, loaded: LoadedModel, examples: Sequence[TuningExample], selection: Selection, *, bf16: bool
) -> None:
    """Refuse a cache of something else, or one that begins above a tuned layer.

    Args:
        cache: What was kept.
        loaded: The model that is tuned.
        examples: The training set.
        selection: Which layers or heads are tuned.
        bf16: Whether the training computes in bfloat16.

    Raises:
        OptionError: If it is.
    """
    if not cache.serves(loaded, examples):
        raise OptionError(
            "The cache is of another model or list of examples; expected those that are tuned on. Make one cache per "
            "model and list, and pass the same list."
        )
    if cache.bf16 != bf16:
        raise OptionError(
            f"The cache was made with bf16={cache.bf16}, the options say bf16={bf16}; expected the same. Make the "
            "cache with the number format of the training."
        )
    if isinstance(cache, PrefixCache) and cache.layer_idx > min(selection.layers, default=cache.layer_idx):
        raise OptionError(
            f"The prefix cache begins at layer {cache.layer_idx}, above the lowest tuned layer, "
            f"{min(selection.layers)}; expected that layer or an earlier one. Make a cache for it."
        )
