"""Score: a model and a data folder become head scores, block by block, beside their chance level.

In: pictures with key objects and captions. Out: shards of per-picture scores (`samples/`), the figures that
are a pure function of them (`head_scores.*`), and a few pictures' maps for the report (`examples/`).
"""

import dataclasses
import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from headimpact.data.dataset import KeyObjectDataset
from headimpact.data.sample import Sample
from headimpact.scoring.aggregation import check_layer_rule
from headimpact.scoring.head_scores import JSON_FILE, HeadScores
from headimpact.scoring.head_statistics import build_head_scores
from headimpact.scoring.sample_scores import PictureScores, SampleScores
from headimpact.scoring.shards import missing_shards, read_shards, write_shard
from headimpact.workflows.answers import print_answer
from headimpact.workflows.configs import ScoreConfig
from headimpact.workflows.dataset import prompt_for, read_split, write_split
from headimpact.workflows.opening import check_model, find_adapter, open_model
from headimpact.workflows.run_folder import find_run, started_run, write_provenance
from headimpact.workflows.score_answer import describe_scores, rank_layers
from headimpact.workflows.score_options import NO_OPTIONS, check_options, measurement_options, shard_identity

if TYPE_CHECKING:
    from headimpact.models.batching import BatchSize
    from headimpact.models.loading import LoadedModel
    from headimpact.workflows.head_measurement import DonorMasks

WORK = ("*samples/shard_*",)
"""Files of a run that are worth keeping when it fails."""

_LOG = logging.getLogger(__name__)


def score_command(config: ScoreConfig) -> None:
    """Score every head and write everything.

    Raises:
        HeadImpactError: If an input is wrong; nothing is written then.
    """
    check_options(config)
    adapter = None if config.adapter is None else find_adapter(config.adapter)
    if find_run(config, done_file=JSON_FILE) and not config.dry_run:
        _print_scores(HeadScores.read(config.out), config, note=f"finished already: {config.out}")
        return
    dataset = read_split(config, split=config.split, seed=config.seed)
    prompt = prompt_for(config, dataset)
    if config.dry_run:
        check_model(config)
        print_answer(
            ["dry run, nothing was written", f"pictures: {len(dataset)}", f"prompt: {prompt}"],
            {"pictures": len(dataset), "skipped": dataset.skipped, "prompt": prompt},
            as_json=config.json,
        )
        return
    loaded = open_model(config, adapter=adapter)
    with started_run(config, work=WORK):
        scores = score_folder(loaded, dataset, config=config, prompt=prompt)
    _print_scores(scores, config)


def _print_scores(scores: HeadScores, config: ScoreConfig, *, note: str | None = None) -> None:
    """Say what a run found."""
    print_answer(
        [*([note] if note else []), *describe_scores(scores), f"scores: {config.out}"],
        {
            "counts": dict(scores.counts),
            "layers_by_score": rank_layers(scores),
            "warnings": list(scores.warnings),
            "out": str(config.out),
        },
        as_json=config.json,
    )


def score_folder(loaded: "LoadedModel", dataset: KeyObjectDataset, *, config: ScoreConfig, prompt: str) -> HeadScores:
    """Score a loaded model into a run's folder; shards that are there already are not made again.

    Args:
        loaded: The model.
        dataset: The pictures.
        config: Options; `out` is the run's folder, claimed already.
        prompt: What is asked about every picture.

    Returns:
        The scores; they are in the folder too.

    Raises:
        HeadImpactError: If the model cannot be scored or no picture says anything.
    """
    from headimpact.workflows.head_measurement import DonorMasks, check_on_sample

    check_layer_rule(config.layer_aggregation, heads=loaded.family.architecture(loaded.config).num_heads)
    check = check_on_sample(loaded, dataset[0], dataset[0].captions[0], prompt=prompt)
    donors = DonorMasks.of(dataset.samples, donors=config.donors, seed=config.seed)
    scores = _score_model(loaded, dataset, donors, config=config, prompt=prompt, folder=config.out / "samples")
    if config.baseline == "untrained":
        from headimpact.models.loading import untrained_twin

        twin = _score_model(
            untrained_twin(loaded, config.seed),
            dataset,
            donors,
            config=config,
            prompt=prompt,
            folder=config.out / "untrained_samples",
        )
        scores = dataclasses.replace(scores, baseline=twin)
    scores = dataclasses.replace(
        scores.with_skipped(dataset.skipped), warnings=(*scores.warnings, *text_warnings(loaded, dataset))
    )
    _keep_examples(loaded, dataset.samples[: config.examples], config=config, prompt=prompt)
    write_split(config.out, dataset, split=config.split)
    write_provenance(config.out, command="score", capture_self_check=dataclasses.asdict(check), **scores.provenance)
    scores.write(config.out)
    return HeadScores.read(config.out)


def _score_model(
    loaded: "LoadedModel",
    dataset: KeyObjectDataset,
    donors: "DonorMasks",
    *,
    config: ScoreConfig,
    prompt: str,
    folder: Path,
) -> HeadScores:
    """Fill the missing shards and reduce all of them."""
    from headimpact.models.batching import BatchSize

    batch_size = BatchSize(config.batch_size)
    identity = shard_identity(loaded, dataset, config=config, prompt=prompt)
    blocks = split_samples(dataset.samples, config.shard_size)
    missing = missing_shards(folder, len(blocks), identity=identity)
    started, done = time.monotonic(), 0
    with tqdm(total=len(dataset), desc=f"score {folder.name}", unit="picture", leave=False) as bar:
        bar.update(len(dataset) - sum(len(blocks[index]) for index in missing))
        for index in missing:
            write_shard(
                folder,
                index,
                _score_block(loaded, blocks[index], donors, config=config, prompt=prompt, batch_size=batch_size),
                identity=identity,
            )
            bar.update(len(blocks[index]))
            if not done:
                _announce(time.monotonic() - started, len(blocks[index]), sum(len(blocks[i]) for i in missing))
            done += len(blocks[index])
    samples = read_shards(folder, len(blocks), identity=identity)
    if not samples.image_ids:
        shutil.rmtree(folder)  # nothing in it is worth keeping; the next call says why
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
            "image_backend": type(loaded.processor.image_processor).__name__,
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
) -> SampleScores:
    """Score the pictures of one shard."""
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
    return SampleScores.from_pictures(
        [found for found in measured if isinstance(found, PictureScores)],
        skipped=skipped,
        shape=(sizes.num_layers, sizes.num_heads),
    )


def _keep_examples(loaded: "LoadedModel", samples: Sequence[Sample], *, config: ScoreConfig, prompt: str) -> None:
    """Keep the maps of a few pictures; those without a response are left out."""
    from headimpact.workflows.example_maps import write_examples_of

    responses = responses_for(loaded, samples, config=config, prompt=prompt) if samples else []
    spoken = [(sample, texts[0]) for sample, texts in zip(samples, responses, strict=True) if texts]
    if spoken:
        write_examples_of(
            loaded,
            [sample for sample, _ in spoken],
            [text for _, text in spoken],
            options=measurement_options(config),
            prompt=prompt,
            out=config.out / "examples",
        )


def responses_for(
    loaded: "LoadedModel", samples: Sequence[Sample], *, config: ScoreConfig, prompt: str
) -> list[tuple[str, ...]]:
    """Give the texts whose tokens look: reference captions, or the model's own greedy answers.

    Returns:
        Per picture its texts; none where the model's own answer is empty.
    """
    if config.response == "reference":
        return [sample.captions[: config.captions_per_image] for sample in samples]
    from headimpact.evaluation.generation import generate_responses
    from headimpact.workflows.evaluation import response_requests

    requests = response_requests(samples, prompt=prompt)
    blocks = [requests[start : start + config.batch_size] for start in range(0, len(requests), config.batch_size)]
    said = {
        prediction.image_id: prediction.prediction
        for _, predictions in generate_responses(loaded, blocks, max_new_tokens=config.max_new_tokens)
        for prediction in predictions
    }
    return [(said[sample.image_id],) if said[sample.image_id] else () for sample in samples]


def split_samples(samples: Sequence[Sample], size: int) -> list[Sequence[Sample]]:
    """Cut pictures into blocks of one shard each."""
    return [samples[start : start + size] for start in range(0, len(samples), size)]


def text_warnings(loaded: "LoadedModel", dataset: KeyObjectDataset) -> tuple[str, ...]:
    """Warn where the captions are text that the embedded model has never seen."""
    from headimpact.models.checkpoints import CHECKPOINTS

    if loaded.name not in CHECKPOINTS or dataset.info.get("task"):
        return ()
    return (
        f"The text is outside what this model knows: {loaded.name!r} was trained on generated scenes only, and these "
        "captions are not of that kind. The numbers show that the tool runs on such data, nothing about the pictures.",
    )


def _announce(seconds: float, pictures: int, remaining: int) -> None:
    """Say after the first block how long the rest will take and how much memory is in use."""
    import resource

    total = seconds / pictures * (remaining - pictures)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    if total > 20:
        _LOG.info("about %.0f min more for %d pictures; memory so far %.1f GiB", total / 60, remaining - pictures, peak)
