"""Tunes and evaluates the runs of an experiment one by one; one that fails is marked and the others go on."""

import logging
import os
import shutil
import time
from collections.abc import Sequence

from headimpact.core.artifacts import atomic_folder, read_json, write_json
from headimpact.core.errors import RunFailedError
from headimpact.evaluation.metrics import METRICS
from headimpact.evaluation.metrics.metric import Metric
from headimpact.evaluation.results import METRICS_FILE, read_metrics
from headimpact.selection.selection import Selection
from headimpact.workflows.experiment_bench import Bench
from headimpact.workflows.experiment_configs import ExperimentConfig
from headimpact.workflows.experiment_plan import (
    BASE,
    GridPoint,
    PlannedRun,
    failure_of,
    for_task,
    grid,
    mark_failed,
    tasks_of,
)
from headimpact.workflows.run_folder import leftovers_of, remove_leftovers

GRID_FILE, GRID_SCHEMA = "grid.json", "grid/1"
LAUNCHER_WORDS = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher tells its processes."""
_LOG = logging.getLogger(__name__)


def leave_launcher() -> tuple[int, int]:
    """Give this process's number among those of a launcher, and their count, and let each work for itself.

    Arms share nothing, so processes under `accelerate launch` or `torchrun` need not talk: each takes its own arms on
    its own GPU, and no trainer may take them for parts of one run.
    """
    rank, count = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if count > 1:
        import torch

        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    for word in LAUNCHER_WORDS:
        os.environ.pop(word, None)
    return rank, count


def share_arms(config: ExperimentConfig, arms: Sequence[str], *, rank: int, count: int) -> tuple[str, ...]:
    """Name the arms of one of several processes; the untuned model is the first one's.

    Args:
        config: Options; `arm` may name some arms.
        arms: Names of all arms.
        rank: Number of the process.
        count: How many there are.
    """
    wanted = [name for name in (BASE, *arms) if not config.arm or name in config.arm]
    return tuple(wanted[rank::count])


def carry_out_all(bench: Bench, runs: Sequence[PlannedRun], *, with_base: bool) -> None:
    """Tune and evaluate runs in their order, the untuned model first.

    Args:
        bench: What they share.
        runs: The runs.
        with_base: Whether the untuned model is evaluated too.
    """
    for task in tasks_of(bench.config) if with_base else ():
        bench.evaluate(None, bench.folder.evaluated(task, BASE), task=task)
    waiting = [run for run in runs if not _is_finished(bench, run)]
    started = time.monotonic()
    for done, run in enumerate(waiting):
        left = (time.monotonic() - started) / max(done, 1) * (len(waiting) - done) / 60
        hint = f", about {left:.0f} minutes left" if done else ""
        _LOG.info("run %s (%d of %d%s)", run.name, done + 1, len(waiting), hint)
        carry_out(bench, run)


def carry_out(bench: Bench, run: PlannedRun) -> None:
    """Tune one run and evaluate it on every task; a run that fails is marked, named and left."""
    try:
        _tune(bench, run)
        for task in tasks_of(bench.config):
            bench.evaluate(bench.folder.tuned(run), bench.folder.evaluated(task, run.name), task=task)
    except RunFailedError as error:
        _LOG.warning("Run %s failed, the others go on. %s", run.name, error)
        mark_failed(bench.folder.tuned(run), error)


def _is_finished(bench: Bench, run: PlannedRun) -> bool:
    """Say whether nothing is left to do for a run."""
    folders = [bench.folder.evaluated(task, run.name) for task in tasks_of(bench.config)]
    has_failed = failure_of(bench.folder.tuned(run)) is not None
    return has_failed or all((folder / METRICS_FILE).is_file() for folder in folders)


def _tune(bench: Bench, run: PlannedRun) -> None:
    """Tune a run at the only setting, or at the one that did best on the validation split.

    The settings are tried with the first seed; what was trained then is that seed's run.
    """
    selection = bench.folder.selection(run.choice)
    points = grid(bench.config)
    point = points[0] if len(points) == 1 else settle(bench, run, points)
    folder, trial = bench.folder.tuned(run), bench.folder.trial(run, point)
    if len(points) > 1 and run.seed == 0:
        if not (folder / "tuning.json").is_file():
            remove_leftovers(leftovers_of(folder))
            with atomic_folder(folder, overwrite=True) as temporary:
                shutil.copytree(trial, temporary, dirs_exist_ok=True, ignore=shutil.ignore_patterns("validation"))
        return
    bench.tune(Selection.read(selection), bench.tune_config(selection, folder, point, run.seed))


def settle(bench: Bench, run: PlannedRun, points: Sequence[GridPoint]) -> GridPoint:
    """Try every setting on one choice of layers with the first seed and give the best on the validation split.

    Every choice, each random draw among them, is offered the same settings. Of equally good ones the first is taken;
    one that diverges cannot be.

    Args:
        bench: What runs share.
        run: A run of the choice; its seed does not matter.
        points: The settings.

    Returns:
        The best setting.

    Raises:
        RunFailedError: If every setting failed.
    """
    record = bench.folder.trial(run, points[0]).parent / GRID_FILE
    if not record.is_file():
        remove_leftovers(leftovers_of(record))
        results = {point.name: _try(bench, run, point) for point in points}
        values = {name: found for name, found in results.items() if isinstance(found, float)}
        failed = {name: found for name, found in results.items() if isinstance(found, str)}
        chosen = max(values, key=lambda name: values[name], default=None)
        write_json(record, {"chosen": chosen, "values": values, "failed": failed}, schema=GRID_SCHEMA)
    content = read_json(record, schema=GRID_SCHEMA)
    for point in points:
        if point.name == content["chosen"]:
            return point
    reasons = "; ".join(f"{name}: {reason}" for name, reason in content["failed"].items())
    raise RunFailedError(f"Every setting failed for {run.choice}: {reasons}")


def _try(bench: Bench, run: PlannedRun, point: GridPoint) -> float | str:
    """Give the primary metric of one setting on the validation split, large being good, or why it failed."""
    folder = bench.folder.trial(run, point)
    failure = failure_of(folder)
    if failure is not None:
        return failure
    selection, task = bench.folder.selection(run.choice), bench.config.tune_task
    try:
        bench.tune(Selection.read(selection), bench.tune_config(selection, folder, point, seed=0))
        bench.evaluate(folder, folder / "validation", task=task, split="validation")
    except RunFailedError as error:
        _LOG.warning("Setting %s of %s failed, the others go on. %s", point.name, run.choice, error)
        mark_failed(folder, error)
        return str(error)
    primary = for_task(bench.config.primary, bench.config, task)
    metric: Metric = METRICS.load(primary)
    values = read_metrics(folder / "validation")[0]["metrics"]
    return float(values[primary]) if metric.higher_is_better else -float(values[primary])
