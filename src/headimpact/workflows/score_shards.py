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
from headimpact.scoring.stability import Stability
from headimpact.selection.budget import default_layer_count
from headimpact.workflows.configs import ScoreConfig
from headimpact.workflows.processes import Processes
from headimpact.workflows.score_options import NO_OPTIONS, measured_names, measurement_options, shard_identity
from headimpact.workflows.stopping import Portion, cut_portions, describe_look, judge_run

if TYPE_CHECKING:
    from headimpact.models.batching import BatchSize
    from headimpact.models.loading import LoadedModel
    from headimpact.workflows.donor_masks import DonorMasks

_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class _Target:
    """Where one score's shards lie, and what decides their numbers."""

    score: str
    folder: Path
    identity: Mapping[str, Any]

    def missing(self, count: int) -> list[int]:
        """List the blocks that are not there yet."""
        return missing_shards(self.folder, count, identity=self.identity)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FilledShards:
    """What has been scored, ready to be reduced.

    Attributes:
        models: The model and, where asked for, its untrained twin, each with the places of its shards.
        dataset: The pictures that were scored; fewer than given where the run stopped as stable.
        blocks: Number of their blocks.
        stability: Looks at a growing number of them, in the main process; None where they cannot be judged.
    """

    models: tuple[tuple["LoadedModel", Sequence[_Target]], ...]
    dataset: KeyObjectDataset
    blocks: int
    stability: Stability | None


def fill_all_shards(
    loaded: "LoadedModel", dataset: KeyObjectDataset, *, config: ScoreConfig, prompt: str, processes: Processes
) -> FilledShards:
    """Score this process's part of the missing shards, of the model and, where asked for, of its untrained twin.

    Returns:
        What there is when every process is done.
    """
    planned = cut_portions(dataset, config)
    count = sum(len(portion.blocks) for portion in planned)

    def fill(model: "LoadedModel", portion: Portion, targets: Sequence[_Target]) -> None:
        missing = {index for target in targets for index in target.missing(count)} & portion.blocks.keys()
        processes.wait()  # until all have looked, before any writes
        own = {index: portion.blocks[index] for index in processes.share(sorted(missing))}
        _fill_shards(model, own, portion.donors, config=config, prompt=prompt, targets=targets)
        processes.wait()

    targets = _targets(loaded, dataset, config=config, prompt=prompt, folder=config.out / "samples")
    models = [(loaded, targets)]
    used: list[Portion] = []
    stability = None
    for portion in planned:
        fill(loaded, portion, targets)
        used.append(portion)
        if processes.is_main:
            stability = _look(dataset, used, targets[0], config=config)
        if config.until_stable and processes.hear(stability is not None and stability.stable_at is not None):
            break
    if config.baseline == "untrained":
        from headimpact.models.loading import untrained_twin

        twin = untrained_twin(loaded, config.seed)
        targets = _targets(twin, dataset, config=config, prompt=prompt, folder=config.out / "untrained_samples")
        models.append((twin, targets))
        for portion in used:
            fill(twin, portion, targets)
    return FilledShards(
        models=tuple(models),
        dataset=dataset.subset(sample.image_id for portion in used for sample in portion.samples),
        blocks=sum(len(portion.blocks) for portion in used),
        stability=stability,
    )


def reduce_all_shards(filled: FilledShards, *, config: ScoreConfig) -> HeadScores:
    """Reduce all shards of a run.

    Returns:
        The model's scores, the further ones of the run and the untrained twin's beside them.
    """
    found = []
    for model, targets in filled.models:
        first, *others = [_reduce_shards(model, filled.dataset, filled.blocks, t, config=config) for t in targets]
        found.append(dataclasses.replace(first, others={other.score: other for other in others}))
    scores, *twins = found
    targets = filled.models[0][1]
    if sum(target.score in SCORES for target in targets) > 1:
        _write_agreement(targets, filled.blocks, scores, config=config)
    return scores.with_baseline(twins[0]) if twins else scores


def _write_agreement(targets: Sequence["_Target"], count: int, scores: HeadScores, *, config: ScoreConfig) -> None:
    """Write how far the run's scores agree; a pure function of the shards, as they are."""
    score_agreement(
        {target.score: read_own_scores(target.folder, count) for target in targets if target.score in SCORES},
        k=default_layer_count(len(scores.architecture.attention_layers)),
        layer_aggregation=config.layer_aggregation,
        resamples=config.bootstrap,
        seed=config.seed,
    ).write(config.out)


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


def _look(
    dataset: KeyObjectDataset, used: Sequence[Portion], target: _Target, *, config: ScoreConfig
) -> Stability | None:
    """Judge the choice by the pictures of some portions, and say so where the run may stop."""
    samples = read_shards(target.folder, sum(len(portion.blocks) for portion in used), identity=target.identity)
    pictures = sum(len(portion.samples) for portion in used)
    stability = judge_run(samples, dataset, config=config, pictures=pictures)
    if config.until_stable and stability is not None and stability.looks:
        _LOG.info("%s", describe_look(stability, stability.looks[-1]))
    return stability


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
    if remaining > config.shard_size and not config.until_stable:
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
        loaded.architecture,
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
    sizes = loaded.architecture
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
