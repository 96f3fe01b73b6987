"""Compares the evaluated runs of an experiment from files alone, and says what was found."""

import numpy as np

from headimpact.comparison.compare import compare_runs
from headimpact.comparison.runs import find_runs
from headimpact.comparison.table import ComparisonTable
from headimpact.core.artifacts import atomic_file
from headimpact.core.errors import DataFormatError
from headimpact.evaluation.results import METRICS_FILE
from headimpact.report.builder import build_report
from headimpact.selection.selection import Selection
from headimpact.workflows.answers import print_answer
from headimpact.workflows.arms import describe_fewer_draws
from headimpact.workflows.comparison import describe_table, write_comparison
from headimpact.workflows.experiment_configs import ExperimentConfig
from headimpact.workflows.experiment_plan import (
    BASE,
    ExperimentFolder,
    PlannedRun,
    failures,
    for_task,
    missing,
    planned_runs,
    read_arms,
    tasks_of,
    wanted_arms,
)

REPORT_FILE, RESULTS_FILE = "report.html", "results.md"
FAILED = 1
"""Exit code where a run of the experiment failed."""
MOST_NAMED = 5


def compare_step(config: ExperimentConfig) -> None:
    """Compare every task at every rank, and write the tables, `results.md` and the report.

    Raises:
        HeadImpactError: If runs are broken or cannot be compared.
    """
    folder = ExperimentFolder(config.out)
    runs = planned_runs(config, read_arms(folder))
    for task in tasks_of(config):
        for r in config.r:
            table = compare_task(config, task, [run for run in runs if run.r == r])
            write_comparison(table, folder.comparison(task, r), seed=config.seed)
    with atomic_file(config.out / RESULTS_FILE) as temporary:
        temporary.write_text(write_results(config), encoding="utf-8")
    comparisons = [folder.comparison(task, r) for task in tasks_of(config) for r in config.r]
    evaluated = [folder.evaluated(task, BASE).parent for task in tasks_of(config)]
    parts = [folder.scores, config.out / "selections", config.out / "tuned", *evaluated, *comparisons]
    build_report([part for part in parts if part.is_dir()], config.out / REPORT_FILE, overwrite=True)


def compare_task(config: ExperimentConfig, task: str, runs: list[PlannedRun]) -> ComparisonTable:
    """Compare what there is of one task at one rank; what is not there is named in the table's notes.

    Args:
        config: Options.
        task: The task.
        runs: All runs that were planned at the rank.

    Returns:
        The table.

    Raises:
        DataFormatError: If nothing is evaluated yet.
        HeadImpactError: If runs are broken or cannot be compared.
    """
    folder = ExperimentFolder(config.out)
    places = [folder.evaluated(task, name) for name in (BASE, *(run.name for run in runs))]
    finished = [place for place in places if (place / METRICS_FILE).is_file()]
    if not finished:
        raise DataFormatError(
            f"Nothing to compare in {config.out}: no run is evaluated on {task!r} yet. Run headimpact experiment "
            "--step tune first."
        )
    failed = failures(folder, runs)
    left = missing(folder, task, runs)
    named = f"{', '.join(left[:MOST_NAMED])}{' ...' if len(left) > MOST_NAMED else ''}"
    return compare_runs(
        find_runs(finished).runs,
        primary=for_task(config.primary, config, task),
        margin=for_task(config.margin, config, task),
        generator=np.random.default_rng(config.seed),
        resamples=config.bootstrap,
        notes=[
            *describe_fewer_draws(wanted_arms(config), read_arms(folder)),
            *(f"Failed, left out: {name}. {reason}" for name, reason in failed.items()),
            *([f"Not finished, left out: {len(left)} of {len(places)} runs ({named})."] if left else []),
        ],
    )


def read_comparisons(config: ExperimentConfig) -> dict[tuple[str, int], ComparisonTable]:
    """Read the tables by task and rank."""
    folder = ExperimentFolder(config.out)
    return {(task, r): ComparisonTable.read(folder.comparison(task, r)) for task in tasks_of(config) for r in config.r}


def write_results(config: ExperimentConfig) -> str:
    """Put all tables on one Markdown page."""
    parts = []
    for (task, r), table in read_comparisons(config).items():
        parts.append(f"## {_title(config, task, r)}\n\n{table.to_markdown()}")
    return "\n".join(parts)


def is_finished(config: ExperimentConfig) -> bool:
    """Say whether an experiment has its report and nothing is left to do."""
    folder = ExperimentFolder(config.out)
    if not (config.out / REPORT_FILE).is_file():
        return False
    runs = planned_runs(config, read_arms(folder))
    return not any(missing(folder, task, runs) for task in tasks_of(config))


def print_finding(config: ExperimentConfig, *, last_line: str) -> int:
    """Say what an experiment found, from its files; the tables and the report's path come last.

    Returns:
        0, or 1 where a run failed; it is named.
    """
    folder = ExperimentFolder(config.out)
    runs = planned_runs(config, read_arms(folder))
    failed = failures(folder, runs)
    tables = read_comparisons(config)
    top = Selection.read(folder.selection(f"top-k-r{config.r[0]}"))
    lines = [f"layers: {' '.join(map(str, top.layers))}", f"PEFT targets: {' '.join(top.target_module_names())}", ""]
    for (task, r), table in tables.items():
        lines += [*([_title(config, task, r), ""] if len(tables) > 1 else []), *describe_table(table), ""]
    first = next(iter(tables.values()))
    print_answer(
        [*lines, last_line],
        {
            "layers": list(top.layers),
            "target_modules": list(top.target_module_names()),
            "verdict": first.verdict.answer if first.verdict else None,
            "sentences": list(first.sentences()),
            "verdicts": {
                f"{task}-r{r}": table.verdict.answer if table.verdict else None for (task, r), table in tables.items()
            },
            "failed": failed,
            "report": str(config.out / REPORT_FILE),
        },
        as_json=config.json,
    )
    return FAILED if failed else 0


def _title(config: ExperimentConfig, task: str, r: int) -> str:
    """Name one comparison."""
    learned = "" if task == config.tune_task else f", after tuning on {config.tune_task}"
    return f"{task}{learned}, r = {r}"
