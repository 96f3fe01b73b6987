"""The whole job in one process: scenes, scores, a choice, every arm tuned and evaluated, verdict, report.

Every step is a folder of small files, done once: a run that was stopped goes on where it was.
"""

import dataclasses
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headimpact.comparison.table import ComparisonTable
from headimpact.data.dataset import KeyObjectDataset
from headimpact.report.builder import build_report
from headimpact.scoring.head_scores import HeadScores
from headimpact.selection.selection import Selection
from headimpact.workflows.answers import print_answer
from headimpact.workflows.arms import arm_names, choose_arms
from headimpact.workflows.comparison import compare_folders, describe_table, write_comparison
from headimpact.workflows.configs import EvaluateConfig, ExperimentConfig, ModelOptions, ScoreConfig, TuneConfig
from headimpact.workflows.dataset import prompt_for, read_checked
from headimpact.workflows.evaluation import describe_adapter, evaluate_model, evaluation_blocks
from headimpact.workflows.experiment_options import check_arms, check_options, read_splits
from headimpact.workflows.opening import check_model, open_model
from headimpact.workflows.run_folder import claim_run, find_run, started_run
from headimpact.workflows.tuning import tune_folder, tuning_examples

if TYPE_CHECKING:
    from headimpact.models.loading import LoadedModel

DONE_FILE = "report.html"
WORK = ("scores/*samples/shard_*",)
"""Files of a run that are worth keeping when it fails."""

EVALUATION_BATCH = 64
_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Bench:
    """What every step of an experiment shares.

    Attributes:
        config: The experiment's options.
        loaded: The base model, loaded once.
        data: All pictures.
        prompt: What is asked about every picture.
    """

    config: ExperimentConfig
    loaded: "LoadedModel"
    data: KeyObjectDataset
    prompt: str

    @property
    def folder(self) -> Path:
        """The data folder."""
        return self.data.root


def demo_command(config: ExperimentConfig) -> None:
    """Run the whole job at a size that takes minutes on two cores.

    Raises:
        HeadImpactError: If an input is wrong or a step fails.
    """
    run_experiment(config)


def study_command(config: ExperimentConfig) -> None:
    """Run the full protocol of `docs/protocol.md`: every k-subset of layers.

    Raises:
        HeadImpactError: If an input is wrong or a step fails.
    """
    run_experiment(dataclasses.replace(config, exhaustive=True))


def run_experiment(config: ExperimentConfig) -> None:
    """Run or go on with an experiment and print its verdict, its table and the report's path.

    Args:
        config: Options of `demo` and `study`.

    Raises:
        OptionError: If an option cannot be carried out.
        HeadImpactError: If a step fails; finished steps stay.
    """
    check_options(config)
    if find_run(config, done_file=DONE_FILE) and not config.dry_run:
        _print_finding(config, f"finished already: {config.out / DONE_FILE}")
        return
    model = ModelOptions(model=config.model, device=config.device)
    if config.dry_run:
        check_model(model)
        names = arm_names(None if config.exhaustive else config.random_draws, config.depth_matched_draws)
        print_answer(["dry run, nothing was written", *names], {"arms": names}, as_json=config.json)
        return
    started = time.monotonic()
    loaded = open_model(model)
    check_arms(config, loaded)
    given = None if config.data is None else read_splits(config.data)
    with started_run(config, work=WORK):
        bench = set_up(config, loaded, given)
        scores = score_step(bench)
    arms = select_step(bench, scores)
    tune_step(bench, arms)
    evaluate_step(bench, arms)
    compare_step(config)
    report = build_report([config.out], config.out / DONE_FILE, overwrite=True)
    _print_finding(config, f"report: {report} ({(time.monotonic() - started) / 60:.1f} minutes)")


def _print_finding(config: ExperimentConfig, last_line: str) -> None:
    """Say what an experiment found, from its files; the table and the report's path come last."""
    top = Selection.read(config.out / "selections" / "top-k.json")
    table = ComparisonTable.read(config.out / "comparison")
    print_answer(
        [
            f"layers: {' '.join(map(str, top.layers))}",
            f"PEFT targets: {' '.join(top.target_module_names())}",
            "",
            *describe_table(table),
            "",
            last_line,
        ],
        {
            "layers": list(top.layers),
            "target_modules": list(top.target_module_names()),
            "verdict": table.verdict.answer if table.verdict else None,
            "sentences": list(table.sentences()),
            "report": str(config.out / DONE_FILE),
        },
        as_json=config.json,
    )


def set_up(config: ExperimentConfig, loaded: "LoadedModel", data: KeyObjectDataset | None) -> Bench:
    """Make the scenes where no data is given, and put everything together."""
    if data is None:
        folder = config.out / "data"
        if not folder.is_dir():
            from headimpact.embedded.scenes import build_scenes

            counts = {name: getattr(config, name) for name in ("calibration", "train", "validation", "test")}
            build_scenes(folder, task=config.task, counts={k: v for k, v in counts.items() if v}, seed=config.seed)
        data = read_checked(folder)
    first = ScoreConfig(model=config.model, data=data.root, out=config.out)
    return Bench(config=config, loaded=loaded, data=data, prompt=prompt_for(first, data))


def score_step(bench: Bench) -> HeadScores:
    """Score the heads on the calibration split."""
    from headimpact.workflows.scoring import score_folder

    config = ScoreConfig(
        model=bench.config.model,
        data=bench.folder,
        out=bench.config.out / "scores",
        batch_size=bench.config.batch_size,
        seed=bench.config.seed,
        k=bench.config.k,
        baseline="untrained",
        resume=True,
    )
    if claim_run(config, done_file="head_scores.json"):
        return HeadScores.read(config.out)
    return score_folder(bench.loaded, bench.data.split("calibration"), config=config, prompt=bench.prompt)


def select_step(bench: Bench, scores: HeadScores) -> list[tuple[str, Selection]]:
    """Choose every arm's layers and write the selections."""
    config = bench.config
    arms = choose_arms(
        scores,
        k=config.k,
        seed=config.seed,
        r=config.r,
        target_modules=config.target_modules,
        random_draws=None if config.exhaustive else config.random_draws,
        depth_matched_draws=config.depth_matched_draws,
    )
    for name, selection in arms:
        selection.write(config.out / "selections" / f"{name}.json")
    return arms


def tune_step(bench: Bench, arms: Sequence[tuple[str, Selection]]) -> None:
    """Tune every arm with every seed on the same batches; language inputs are computed once."""
    from headimpact.tuning.language_inputs import LanguageInputCache, offers_language_inputs

    config = bench.config
    dataset = bench.data.split("train")
    examples = tuning_examples(dataset, prompt=bench.prompt)
    cache: LanguageInputCache | None = None
    for number, (name, selection, seed) in enumerate(_runs(arms, config.seeds), start=1):
        tune_config = TuneConfig(
            model=config.model,
            data=bench.folder,
            selection=config.out / "selections" / f"{name}.json",
            out=config.out / "tuned" / f"{name}-seed{seed}",
            batch_size=config.batch_size,
            max_steps=config.max_steps,
            learning_rate=config.learning_rate,
            r=config.r,
            lora_alpha=config.lora_alpha,
            target_modules=config.target_modules,
            seed=seed,
            resume=True,
        )
        if claim_run(tune_config, done_file="tuning.json"):
            continue
        _LOG.info("tune %s, layers %s (%d of %d)", name, selection.layers, number, len(arms) * config.seeds)
        if cache is None and offers_language_inputs(bench.loaded):
            cache = LanguageInputCache(bench.loaded, examples)
        tune_folder(bench.loaded, dataset, examples, selection, config=tune_config, cache=cache)


def evaluate_step(bench: Bench, arms: Sequence[tuple[str, Selection]]) -> None:
    """Evaluate the base model and every tuned arm on the test split."""
    from headimpact.evaluation.generation import EncodedPrompts

    config = bench.config
    dataset = bench.data.split("test")
    prompts = EncodedPrompts(bench.loaded, evaluation_blocks(dataset, prompt=bench.prompt, batch_size=EVALUATION_BATCH))
    runs: list[tuple[str, Path | None]] = [("base", None)]
    runs += [
        (f"{name}-seed{seed}", config.out / "tuned" / f"{name}-seed{seed}")
        for name, _, seed in _runs(arms, config.seeds)
    ]
    for number, (name, folder) in enumerate(runs, start=1):
        evaluate_config = EvaluateConfig(
            model=config.model,
            data=bench.folder,
            out=config.out / "evaluated" / name,
            adapter=folder,
            batch_size=EVALUATION_BATCH,
            max_new_tokens=32,
            resume=True,
        )
        if claim_run(evaluate_config, done_file="metrics.json"):
            continue
        _LOG.info("evaluate %s (%d of %d)", name, number, len(runs))
        adapter, arm, used = describe_adapter(folder)
        loaded = (
            bench.loaded
            if adapter is None
            else open_model(ModelOptions(model=config.model, device=config.device), adapter=adapter)
        )
        evaluate_model(
            loaded, dataset, config=evaluate_config, prompt=bench.prompt, arm=arm, used=used, prompts=prompts
        )


def compare_step(config: ExperimentConfig) -> None:
    """Compare all evaluated runs."""
    table = compare_folders(
        [config.out / "evaluated"], primary=config.primary, margin=config.margin, resamples=2000, seed=config.seed
    )
    write_comparison(table, config.out / "comparison", seed=config.seed)


def _runs(arms: Sequence[tuple[str, Selection]], seeds: int) -> list[tuple[str, Selection, int]]:
    """Pair every arm with every seed, seeds outermost, so that a stopped study has whole seeds."""
    return [(name, selection, seed) for seed in range(seeds) for name, selection in arms]
