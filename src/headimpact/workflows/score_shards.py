"""Fills a scoring run's shards and reduces them: the part that takes hours, stops, goes on and is shared out."""

import dataclasses
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from headimpact.data.dataset import KeyObjectDataset
from headimpact.data.sample import Sample
from headimpact.scoring import SCORES
from headimpact.scoring.agreement import score_agreement
from headimpact.scoring.head_scores import HeadScores
from headimpact.scoring.head_statistics import build_head_scores
from headimpact.scoring.sample_scores import SampleScores
from headimpact.scoring.shards import missing_shards, read_own_scores, read_shards, write_shard
from headimpact.selection.budget import default_layer_count
from headimpact.workflows.configs import ScoreConfig
from headimpact.workflows.processes import Processes
from headimpact.workflows.score_options import NO_OPTIONS, measured_names, measurement_options, shard_identity

if TYPE_CHECKING:
    from headimpact.models.batching import BatchSize
    from headimpact.models.loading import LoadedModel
    from headimpact.workflows.head_measurement import DonorMasks

_LOG = logging.getLogger(__name__)


def fill_all_shards(
    loaded: "LoadedModel", dataset: KeyObjectDataset, *, config: ScoreConfig, prompt: str, processes: Processes
) -> list[HeadScores]:
    """Score this process's part of the missing shards, of the model and, where asked for, of its untrained twin.

    Returns:
        The model's scores and its twin's, reduced from all shards; nothing but in the main process.
    """
    from headimpact.workflows.head_measurement import DonorMasks

    donors = DonorMasks.of(dataset.samples, donors=config.donors, seed=config.seed)
    models = {"samples": loaded}
    if config.baseline == "untrained":
        from headimpact.models.loading import untrained_twin

        models["untrained_samples"] = untrained_twin(loaded, config.seed)
    found = []
    for name, model in models.items():
        targets = _targets(model, dataset, config=config, prompt=prompt, folder=config.out / name)
        blocks = split_samples(dataset.samples, config.shard_size)
        missing = sorted({index for target in targets for index in target.missing(len(blocks))})
        processes.wait()  # until all have looked, before any writes
        own = {index: blocks[index] for index in processes.share(missing)}
        _fill_shards(model, own, donors, config=config, prompt=prompt, targets=targets)
        processes.wait()
        if processes.is_main:
            first, *others = [_reduce_shards(model, dataset, len(blocks), target, config=config) for target in targets]
            found.append(dataclasses.replace(first, others={other.score: other for other in others}))
            if model is loaded and sum(target.score in SCORES for target in targets) > 1:
                _write_agreement(targets, len(blocks), found[0], config=config)
    return found


def _write_agreement(targets: Sequence["_Target"], count: int, scores: HeadScores, *, config: ScoreConfig) -> None:
    """Write how far the run's scores agree; a pure function of the shards, as they are."""
    score_agreement(
        {target.score: read_own_scores(target.folder, count) for target in targets if target.score in SCORES},
        k=default_layer_count(len(scores.architecture.attention_layers)),
        layer_aggregation=config.layer_aggregation,
        resamples=config.bootstrap,
        seed=config.seed,
    ).write(config.out)


@dataclasses.dataclass(frozen=True)
class _Target:
    """Where one score's shards lie, and what decides their numbers."""

    score: str
    folder: Path
    identity: Mapping[str, Any]

    def missing(self, count: int) -> list[int]:
        """List the blocks that are not there yet."""
        return missing_shards(self.folder, count, identity=self.identity)


def _targets(
    loaded: "LoadedModel", dataset: KeyObjectDataset, *, config: ScoreConfig, prompt: str, folder: Path
) -> tuple[_Target, ...]:
    """Give the run's own score the folder itself and every further one a folder in it."""
    names = measured_names(config)
    return tuple(
        _Target(
            score=name,
            folder=folder if name == names[0] else folder / name,
            identity=shard_identity(loaded, dataset, score=name, config=config, prompt=prompt),
        )
        for name in names
    )


def _fill_shards(
    loaded: "LoadedModel",
    blocks: Mapping[int, Sequence[Sample]],
    donors: "DonorMasks",
    *,
    config: ScoreConfig,
    prompt: str,
    targets: Sequence[_Target],
) -> None:
    """Score some blocks, each into its shards."""
    from headimpact.models.batching import BatchSize
    from headimpact.workflows.causal_scores import announce_causes

    batch_size = BatchSize(config.batch_size)
    remaining = sum(map(len, blocks.values()))
    announce_causes(loaded, [target.score for target in targets], pictures=remaining)
    if remaining > config.shard_size:
        first = next(iter(blocks.values()))[: config.batch_size]
        started = time.monotonic()
        _score_block(loaded, first, donors, config=config, prompt=prompt, batch_size=batch_size)  # not kept: a trial
        announce_run(time.monotonic() - started, len(first), remaining, device=str(loaded.device))
    with tqdm(total=remaining, desc=f"score {targets[0].folder.name}", unit="picture", leave=False) as bar:
        for index, pictures in blocks.items():
            samples = _score_block(loaded, pictures, donors, config=config, prompt=prompt, batch_size=batch_size)
            for target in targets:
                write_shard(target.folder, index, samples[target.score], identity=target.identity)
            bar.update(len(pictures))


def _reduce_shards(
    loaded: "LoadedModel",
    dataset: KeyObjectDataset,
    count: int,
    target: _Target,
    *,
    config: ScoreConfig,
) -> HeadScores:
    """Reduce all shards of one score of a model."""
    identity = target.identity
    samples = read_shards(target.folder, count, identity=identity)
    if not samples.image_ids:
        shutil.rmtree(target.folder)  # nothing in it is worth keeping; the next call says why
    return build_head_scores(
        samples,
        loaded.family.architecture(loaded.config),
        layer_aggregation=config.layer_aggregation,
        draws=config.draws,
        bootstrap=config.bootstrap,
        seed=config.seed,
        options={name: identity[name] for name in identity if name not in NO_OPTIONS},
        provenance={
            **loaded.describe(),
            "data_fingerprint": dataset.fingerprint,
            "seed": config.seed,
        },
    )


def _score_block(
    loaded: "LoadedModel",
    samples: Sequence[Sample],
    donors: "DonorMasks",
    *,
    config: ScoreConfig,
    prompt: str,
    batch_size: "BatchSize",
) -> dict[str, SampleScores]:
    """Score the pictures of one block, by name of the score."""
    from headimpact.workflows.causal_scores import add_causes
    from headimpact.workflows.head_measurement import measure_pictures

    responses = responses_for(loaded, samples, config=config, prompt=prompt)
    spoken = [(sample, texts) for sample, texts in zip(samples, responses, strict=True) if texts]
    skipped = {sample.image_id: "no_response" for sample, texts in zip(samples, responses, strict=True) if not texts}
    measured = measure_pictures(
        loaded,
        [sample for sample, _ in spoken],
        [texts for _, texts in spoken],
        prompt=prompt,
        donors=donors,
        options=measurement_options(config),
        batch_size=batch_size,
    )
    for (sample, _), found in zip(spoken, measured, strict=True):
        if isinstance(found, str):
            skipped[sample.image_id] = found
    sizes = loaded.family.architecture(loaded.config)
    kept = [(pair, found) for pair, found in zip(spoken, measured, strict=True) if not isinstance(found, str)]
    scored = add_causes(loaded, kept, names=measured_names(config), prompt=prompt, batch_size=batch_size)
    return {
        name: SampleScores.from_pictures(
            [found[name] for found in scored], skipped=skipped, shape=(sizes.num_layers, sizes.num_heads)
        )
        for name in measured_names(config)
    }


def responses_for(
    loaded: "LoadedModel", samples: Sequence[Sample], *, config: ScoreConfig, prompt: str
) -> list[tuple[str, ...]]:
    """Give the texts whose tokens look: reference captions, or the model's own greedy answers.

    Returns:
        Per picture its texts; none where the model's own answer is empty.
    """
    if config.response == "reference":
        return [sample.captions[: config.captions_per_image] for sample in samples]
    said = own_responses(
        loaded, samples, prompt=prompt, batch_size=config.batch_size, max_new_tokens=config.max_new_tokens
    )
    return [(text,) if text else () for text in said]


def own_responses(
    loaded: "LoadedModel", samples: Sequence[Sample], *, prompt: str, batch_size: int, max_new_tokens: int
) -> list[str]:
    """Give the model's own greedy answer to every picture; it may be empty."""
    from headimpact.evaluation.generation import generate_responses
    from headimpact.workflows.evaluation import response_requests

    requests = response_requests(samples, prompt=prompt)
    blocks = [requests[start : start + batch_size] for start in range(0, len(requests), batch_size)]
    said = {
        prediction.image_id: prediction.prediction
        for _, predictions in generate_responses(loaded, blocks, max_new_tokens=max_new_tokens)
        for prediction in predictions
    }
    return [said[sample.image_id] for sample in samples]


def split_samples(samples: Sequence[Sample], size: int) -> list[Sequence[Sample]]:
    """Cut pictures into blocks of one shard each."""
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def announce_run(seconds: float, pictures: int, remaining: int, *, device: str) -> None:
    """Say before a long run how long it will take and how much memory a batch took, a GPU's where there is one."""
    import resource

    import torch

    total = seconds / pictures * remaining
    if total <= 20:
        return
    is_gpu = device.startswith("cuda")
    peak = (
        torch.cuda.max_memory_allocated(device) if is_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    )
    _LOG.info(
        "about %.1f min for %d pictures; memory of the %s so far %.1f GiB",
        total / 60,
        remaining,
        "GPU" if is_gpu else "process",
        peak / 2**30,
    )
