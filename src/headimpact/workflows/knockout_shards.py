"""Fills a knockout run's shards: the part that takes hours, stops and goes on."""

import dataclasses
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from headimpact.comparison.knockouts import KnockoutSamples
from headimpact.core.errors import DataFormatError, RunFailedError
from headimpact.core.provenance import hash_texts
from headimpact.core.shards import missing_indices, read_arrays, read_record, refuse_missing, shard_path, write_arrays
from headimpact.data.dataset import KeyObjectDataset
from headimpact.data.sample import Sample
from headimpact.selection.knockout_sets import HeadSet, KnockoutSets
from headimpact.workflows.knockout_configs import KnockoutConfig
from headimpact.workflows.score_shards import own_responses
from headimpact.workflows.stopping import split_samples

if TYPE_CHECKING:
    from headimpact.models.batching import BatchSize
    from headimpact.models.loading import LoadedModel
    from headimpact.workflows.head_causes import Silencing

SCHEMA = "knockout_samples/1"
MEANS_SCHEMA = "image_means/1"
SAMPLES_FOLDER, MEANS_FOLDER = "samples", "means"
ARRAYS = ("plain", "rises", "gates", "naming")
TRIAL_SETS = 4
"""Sets that the first batch is run under to tell how long all of them will take."""

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class KnockoutWork:
    """What is to be measured.

    Attributes:
        dataset: The pictures that judge.
        sets: Heads silenced together.
        prompt: What is asked about every picture.
        config: Options; `out` is the run's folder.
    """

    dataset: KeyObjectDataset
    sets: KnockoutSets
    prompt: str
    config: KnockoutConfig

    @property
    def blocks(self) -> list[Sequence[Sample]]:
        """The pictures of each shard."""
        return split_samples(self.dataset.samples, self.config.shard_size)

    def cost(self) -> dict[str, int]:
        """Count the passes through the model, in pictures: forward, backward, and answers written."""
        pictures = len(self.dataset)
        means = int(self.config.knockout == "mean")
        return {
            "forward": pictures * (1 + len(self.sets.sets) + means),
            "backward": 0 if self.config.without_gates else pictures,
            "answers": pictures * (1 + len(self.sets.arm_columns())) if self.config.generate else 0,
        }


def describe_cost(work: KnockoutWork) -> str:
    """Say what the work costs."""
    cost, pictures, sets = work.cost(), len(work.dataset), len(work.sets.sets)
    parts = [f"{cost['forward']} forward passes of a picture ({pictures} x {sets} sets of heads, and plain)"]
    if cost["backward"]:
        parts.append(f"{cost['backward']} backward passes")
    if cost["answers"]:
        parts.append(f"{cost['answers']} answers")
    return f"cost: {', '.join(parts)}"


def fill_knockout_shards(loaded: "LoadedModel", work: KnockoutWork) -> KnockoutSamples:
    """Measure every picture of the missing shards, then read all of them.

    Args:
        loaded: The model.
        work: What is to be measured.

    Returns:
        All pictures, in the order of the data set.

    Raises:
        HeadImpactError: If the model cannot run under knockouts, or shards that are there are of another run.
    """
    identity, folder, blocks = _identity(loaded, work), work.config.out / SAMPLES_FOLDER, work.blocks
    missing = missing_indices(folder, len(blocks), schema=SCHEMA, identity=identity)
    if missing:
        _fill(loaded, work, {index: blocks[index] for index in missing}, identity)
    return _read_all(folder, len(blocks), identity)


def _fill(
    loaded: "LoadedModel", work: KnockoutWork, blocks: Mapping[int, Sequence[Sample]], identity: Mapping[str, Any]
) -> None:
    """Measure some blocks, each into its shard."""
    from headimpact.models.batching import BatchSize

    size = BatchSize(work.config.batch_size)
    how = _silencing(loaded, work, identity, size)
    folder, remaining = work.config.out / SAMPLES_FOLDER, sum(map(len, blocks.values()))
    if len(blocks) > 1:
        _announce(loaded, work, next(iter(blocks.values())), remaining, how, size)
    with tqdm(total=remaining, desc="knockout", unit="picture", leave=False) as bar:
        for index in blocks:
            arrays = _measure(loaded, work, blocks[index], how, size)
            record = {"image_ids": [sample.image_id for sample in blocks[index]]}
            write_arrays(shard_path(folder, index), arrays, schema=SCHEMA, identity=identity, record=record)
            bar.update(len(blocks[index]))


def by_layer(heads: HeadSet) -> dict[int, list[int]]:
    """Sort heads into their layers.

    Example:
        >>> by_layer(((2, 0), (2, 3), (5, 1)))
        {2: [0, 3], 5: [1]}
    """
    found: dict[int, list[int]] = {}
    for layer_idx, head_idx in heads:
        found.setdefault(layer_idx, []).append(head_idx)
    return found


def _measure(
    loaded: "LoadedModel", work: KnockoutWork, samples: Sequence[Sample], how: "Silencing", size: "BatchSize"
) -> dict[str, np.ndarray]:
    """Measure the pictures of one shard."""
    from headimpact.workflows.head_causes import measure_gate_gradients, measure_losses, measure_naming

    responses, sets = _responses(loaded, work, samples), [by_layer(heads) for heads in work.sets.sets]
    found = measure_losses(loaded, samples, responses, sets, prompt=work.prompt, batch_size=size, how=how)
    gates = np.zeros((len(samples), 0, 0), dtype=np.float32)
    if not work.config.without_gates:
        gates = measure_gate_gradients(loaded, samples, responses, prompt=work.prompt, batch_size=size)
    naming = np.zeros((len(samples), 0), dtype=np.float32)
    if work.config.generate:
        arms = [sets[column] for column in work.sets.arm_columns()]
        length = work.config.max_new_tokens
        naming = measure_naming(
            loaded, samples, arms, prompt=work.prompt, batch_size=size, max_new_tokens=length, how=how
        )
    return {"plain": found.plain, "rises": found.rises, "gates": gates, "naming": naming}


def _responses(loaded: "LoadedModel", work: KnockoutWork, samples: Sequence[Sample]) -> list[str]:
    """Give the answers whose loss counts: the first reference captions, or the model's own.

    Raises:
        RunFailedError: If the model has no answer to a picture.
    """
    config = work.config
    if config.response == "reference":
        return [sample.captions[0] for sample in samples]
    length = config.max_new_tokens
    said = own_responses(loaded, samples, prompt=work.prompt, batch_size=config.batch_size, max_new_tokens=length)
    silent = [sample.image_id for sample, text in zip(samples, said, strict=True) if not text]
    if silent:
        raise RunFailedError(
            f"The model's own answer to picture {silent[0]!r} is empty, so it has no loss. Use --response reference, "
            "or pictures and a --prompt that it answers."
        )
    return said


def _silencing(
    loaded: "LoadedModel", work: KnockoutWork, identity: Mapping[str, Any], size: "BatchSize"
) -> "Silencing":
    """Say how heads are silenced; means are measured over all pictures first and kept in the run's folder."""
    from headimpact.workflows.head_causes import Silencing, measure_image_means

    config, responses_only = work.config, work.config.rows == "response"
    if config.knockout != "mean":
        return Silencing(config.knockout, responses_only)
    folder = config.out / MEANS_FOLDER
    path = shard_path(folder, 0)
    if missing_indices(folder, 1, schema=MEANS_SCHEMA, identity=identity):
        samples = work.dataset.samples
        found = measure_image_means(
            loaded,
            samples,
            _responses(loaded, work, samples),
            prompt=work.prompt,
            batch_size=size,
            responses_only=responses_only,
        )
        arrays = {f"layer_{layer_idx}": values for layer_idx, values in found.items()}
        write_arrays(path, arrays, schema=MEANS_SCHEMA, identity=identity, record={"layers": sorted(found)})
    layers = read_record(path, schema=MEANS_SCHEMA)["layers"]
    arrays = read_arrays(path, tuple(f"layer_{layer_idx}" for layer_idx in layers), schema=MEANS_SCHEMA)
    return Silencing("mean", responses_only, {layer: arrays[f"layer_{layer}"] for layer in layers})


def _announce(
    loaded: "LoadedModel",
    work: KnockoutWork,
    block: Sequence[Sample],
    remaining: int,
    how: "Silencing",
    size: "BatchSize",
) -> None:
    """Run the first batch under a few sets, which is not kept, and say how long all of them will take."""
    from headimpact.workflows.head_causes import measure_losses

    batch, every = block[: work.config.batch_size], [by_layer(heads) for heads in work.sets.sets]
    some = every[:: max(1, len(every) // TRIAL_SETS)][:TRIAL_SETS]
    started = time.monotonic()
    responses = [sample.captions[0] for sample in batch]
    measure_losses(loaded, batch, responses, some, prompt=work.prompt, batch_size=size, how=how)
    a_pass = (time.monotonic() - started) / len(batch) / (1 + len(some))
    passes = 1 + len(every) + (0 if work.config.without_gates else 3)  # a backward pass is about two forward ones
    beside = ", and what the answers take" if work.config.generate else ""
    _LOG.info("about %.1f min for %d pictures%s", a_pass * passes * remaining / 60, remaining, beside)


def _identity(loaded: "LoadedModel", work: KnockoutWork) -> dict[str, Any]:
    """List everything that decides a picture's numbers, so that shards of another run are never mixed in."""
    config = work.config
    sets = hash_texts(f"{heads};" for heads in work.sets.sets)
    texts = hash_texts(f"{sample.captions[0]};" for sample in work.dataset)
    return {
        "model": loaded.name,
        "revision": loaded.revision,
        "adapter": None if loaded.adapter is None else str(loaded.adapter),
        "dtype": loaded.dtype_name,
        "quantization": loaded.quantization,
        "prompt": work.prompt,
        "image_ids": work.dataset.fingerprint,
        "texts": texts,
        "sets": sets,
        "knockout": config.knockout,
        "rows": config.rows,
        "gates": not config.without_gates,
        "response": config.response,
        "max_new_tokens": config.max_new_tokens if config.generate or config.response == "own" else None,
        "batch_size": config.batch_size,
        "shard_size": config.shard_size,
    }


def _read_all(folder: Path, count: int, identity: Mapping[str, Any]) -> KnockoutSamples:
    """Read all shards of a run.

    Raises:
        DataFormatError: If one is missing or broken.
    """
    image_ids: list[str] = []
    parts: dict[str, list[np.ndarray]] = {name: [] for name in ARRAYS}
    for index in range(count):
        path = shard_path(folder, index)
        refuse_missing(path, index, count)
        image_ids += read_record(path, schema=SCHEMA, identity=identity)["image_ids"]
        for name, array in read_arrays(path, ARRAYS, schema=SCHEMA).items():
            parts[name].append(array)
    try:
        return KnockoutSamples(tuple(image_ids), **{name: np.concatenate(found) for name, found in parts.items()})
    except ValueError as error:
        raise DataFormatError(
            f"Shards in {folder} do not fit together: {error}. Run again with --overwrite."
        ) from error
