"""Score: a model and a data folder become head scores, block by block, beside their chance level.

In: pictures with key objects and captions. Out: shards of per-picture scores (`samples/`), the figures that
are a pure function of them (`head_scores.*`), and a few pictures' maps for the report (`examples/`).
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from headimpact.data.dataset import KeyObjectDataset
from headimpact.data.sample import Sample
from headimpact.scoring.aggregation import check_layer_rule
from headimpact.scoring.agreement import AGREEMENT_FILE, ScoreAgreement
from headimpact.scoring.head_scores import JSON_FILE, HeadScores
from headimpact.scoring.stability import STABILITY_FILE, Stability, plan_looks
from headimpact.workflows.answers import print_answer
from headimpact.workflows.configs import ScoreConfig
from headimpact.workflows.dataset import prompt_for, read_split, write_split
from headimpact.workflows.opening import check_model, find_adapter, open_model
from headimpact.workflows.processes import Processes
from headimpact.workflows.run_folder import find_run, started_run, write_provenance
from headimpact.workflows.score_answer import describe_scores, pictures_by_kind, rank_layers, rank_layers_by_others
from headimpact.workflows.score_options import check_options, measurement_options
from headimpact.workflows.score_shards import fill_all_shards, reduce_all_shards, responses_for
from headimpact.workflows.stopping import check_choice, describe_stability

if TYPE_CHECKING:
    from headimpact.models.loading import LoadedModel

WORK = ("*samples/shard_*", "*samples/*/shard_*")
"""Files of a run that are worth keeping when it fails."""


def score_command(config: ScoreConfig) -> None:
    """Score every head and write everything; under `accelerate launch` the processes share the shards.

    Raises:
        HeadImpactError: If an input is wrong; nothing is written then.
    """
    processes = Processes(cpu=config.device == "cpu")
    if config.dry_run:
        plan_scoring(config, processes)
        return
    is_finished = run_scoring(config, processes)
    if processes.is_main:
        _print_scores(config, note=f"finished already: {config.out}" if is_finished else None)


def plan_scoring(config: ScoreConfig, processes: Processes) -> None:
    """Check every input and say what would be scored.

    Raises:
        HeadImpactError: If an input is wrong.
    """
    check_options(config)
    if config.adapter is not None:
        find_adapter(config.adapter)
    if processes.is_main:
        find_run(config, done_file=JSON_FILE)
        dataset = read_split(config, split=config.split, seed=config.seed)
        check_model(config)
        _print_plan(dataset, config, prompt=prompt_for(config, dataset))


def run_scoring(config: ScoreConfig, processes: Processes) -> bool:
    """Score into the run's folder, unless that is finished.

    Args:
        config: Options.
        processes: Those that share the work.

    Returns:
        Whether the folder held a finished run.

    Raises:
        HeadImpactError: If an input is wrong; nothing is written then.
    """
    check_options(config)
    adapter = None if config.adapter is None else find_adapter(config.adapter)
    is_finished = processes.is_main and find_run(config, done_file=JSON_FILE)
    if processes.hear(is_finished):
        return True
    dataset = read_split(config, split=config.split, seed=config.seed)
    prompt = prompt_for(config, dataset)
    loaded = open_model(config, adapter=adapter)
    if not processes.is_main:
        processes.wait()  # until the main process has made the folder
        fill_all_shards(loaded, dataset, config=config, prompt=prompt, processes=processes)
        return False
    with started_run(config, work=WORK):
        processes.wait()
        score_folder(loaded, dataset, config=config, prompt=prompt, processes=processes)
    return False


def _print_plan(dataset: KeyObjectDataset, config: ScoreConfig, *, prompt: str) -> None:
    """Say what would be scored."""
    skipped = ", ".join(f"{count} {reason}" for reason, count in dataset.skipped.items()) or "none"
    looks = [f"looks at: {' '.join(map(str, plan_looks(len(dataset))))} pictures"] if config.until_stable else []
    print_answer(
        ["dry run, nothing was written", f"pictures: {len(dataset)}, skipped: {skipped}", f"prompt: {prompt}", *looks],
        {"pictures": len(dataset), "skipped": dataset.skipped, "prompt": prompt},
        as_json=config.json,
    )


def _print_scores(config: ScoreConfig, *, note: str | None = None) -> None:
    """Say what a run found, from its files."""
    scores = HeadScores.read(config.out)
    agreement = ScoreAgreement.read(config.out) if (config.out / AGREEMENT_FILE).is_file() else None
    stability = Stability.read(config.out) if (config.out / STABILITY_FILE).is_file() else None
    steady = [] if stability is None else describe_stability(stability)
    print_answer(
        [*([note] if note else []), *describe_scores(scores, agreement), *steady, f"scores: {config.out}"],
        {
            "counts": dict(scores.counts),
            "layers_by_score": rank_layers(scores),
            **({"layers_by": ranked} if (ranked := rank_layers_by_others(scores)) else {}),
            **({"pictures_by_kind": by_kind} if (by_kind := pictures_by_kind(scores)) else {}),
            **({} if agreement is None else {"agreement": agreement.to_json()}),
            **({"stable_at": stability.stable_at} if stability is not None else {}),
            "warnings": list(scores.warnings),
            "out": str(config.out),
        },
        as_json=config.json,
    )


def score_folder(
    loaded: "LoadedModel",
    dataset: KeyObjectDataset,
    *,
    config: ScoreConfig,
    prompt: str,
    processes: Processes | None = None,
) -> HeadScores:
    """Score a loaded model into a run's folder; shards that are there already are not made again.

    Args:
        loaded: The model.
        dataset: The pictures.
        config: Options; `out` is the run's folder, claimed already.
        prompt: What is asked about every picture.
        processes: Those that share the work; this one alone if left out.

    Returns:
        The scores; they are in the folder too.

    Raises:
        HeadImpactError: If the model cannot be scored or no picture says anything.
    """
    from headimpact.models.geometry_check import check_geometry
    from headimpact.workflows.head_measurement import check_on_sample

    architecture = loaded.architecture
    check_layer_rule(config.layer_aggregation, heads=architecture.num_heads)
    check_choice(config.k, layers=len(architecture.attention_layers))
    geometry = check_geometry(loaded, dataset[0].load_mask())
    capture = check_on_sample(loaded, dataset[0], dataset[0].captions[0], prompt=prompt)
    filled = fill_all_shards(loaded, dataset, config=config, prompt=prompt, processes=processes or Processes())
    scores = reduce_all_shards(filled, config=config)
    scores = scores.with_skipped(dataset.skipped).with_warnings(text_warnings(loaded, dataset))
    _keep_examples(loaded, filled.dataset.samples[: config.examples], config=config, prompt=prompt)
    write_split(config.out, filled.dataset, split=config.split)
    if filled.stability is not None:
        filled.stability.write(config.out)
    checks = {
        "geometry_self_check": None if geometry is None else dataclasses.asdict(geometry),
        "capture_self_check": dataclasses.asdict(capture),
    }
    write_provenance(config.out, command="score", **checks, **scores.provenance)
    scores.write(config.out)
    return HeadScores.read(config.out)


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


def text_warnings(loaded: "LoadedModel", dataset: KeyObjectDataset) -> tuple[str, ...]:
    """Warn where the captions are text that the embedded model has never seen."""
    from headimpact.models.checkpoints import CHECKPOINTS

    if loaded.name not in CHECKPOINTS or dataset.info.get("task"):
        return ()
    return (
        f"The text is outside what this model knows: {loaded.name!r} was trained on generated scenes only, and these "
        "captions are not of that kind. The numbers show that the tool runs on such data, nothing about the pictures.",
    )
