"""Which runs an experiment is made of and where their files lie; no model is needed to know it."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headimpact.core.artifacts import read_json, write_json
from headimpact.core.errors import DataFormatError, OptionError, RunFailedError
from headimpact.core.registry import unknown_name_message
from headimpact.evaluation.results import METRICS_FILE
from headimpact.selection.selection import Selection
from headimpact.workflows.arms import ArmRequest
from headimpact.workflows.experiment_configs import ExperimentConfig

BASE = "base"
ARMS_FILE, ARMS_SCHEMA = "arms.json", "experiment_arms/1"
FAILED_FILE, FAILED_SCHEMA = "failed.json", "failed_run/1"


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """One tuning run.

    Attributes:
        arm: Name of the arm, or of one of its draws.
        r: LoRA rank of its group; a small budget may have lowered that of the selection.
        seed: Seed of the tuning.
    """

    arm: str
    r: int
    seed: int

    @property
    def choice(self) -> str:
        """Name what is tuned, whatever the seed."""
        return f"{self.arm}-r{self.r}"

    @property
    def name(self) -> str:
        """Name the run's folders."""
        return f"{self.choice}-seed{self.seed}"


@dataclasses.dataclass(frozen=True)
class GridPoint:
    """One setting of the tuning."""

    learning_rate: float
    max_steps: int

    @property
    def name(self) -> str:
        """Name the setting."""
        return f"lr{self.learning_rate:g}-steps{self.max_steps}"


@dataclasses.dataclass(frozen=True)
class ExperimentFolder:
    """Where everything of an experiment lies."""

    root: Path

    @property
    def scores(self) -> Path:
        """Run folder of the scores."""
        return self.root / "scores"

    def selection(self, choice: str) -> Path:
        """File of a choice of layers or heads."""
        return self.root / "selections" / f"{choice}.json"

    def tuned(self, run: PlannedRun) -> Path:
        """Run folder of a tuning."""
        return self.root / "tuned" / run.name

    def trial(self, run: PlannedRun, point: GridPoint) -> Path:
        """Folder of a setting that is tried."""
        return self.root / "grid" / run.choice / point.name

    def evaluated(self, task: str, name: str) -> Path:
        """Run folder of an evaluation; name is that of a run, or `base`."""
        return self.root / f"evaluated-{task}" / name

    def comparison(self, task: str, r: int) -> Path:
        """Folder of a comparison."""
        return self.root / f"comparison-{task}-r{r}"


def tasks_of(config: ExperimentConfig) -> tuple[str, ...]:
    """List the tasks that are evaluated, the one that is learned first if none is named."""
    return tuple(config.evaluate_tasks) or (config.tune_task,)


def for_task(values: Sequence[Any], config: ExperimentConfig, task: str) -> Any:
    """Give a task's own value of an option that has one value for all tasks or one for each."""
    return values[0] if len(values) == 1 else values[tasks_of(config).index(task)]


def grid(config: ExperimentConfig) -> tuple[GridPoint, ...]:
    """List the settings that are tried."""
    return tuple(GridPoint(*point) for point in itertools.product(config.learning_rate, config.max_steps))


def wanted_arms(config: ExperimentConfig) -> ArmRequest:
    """Unpack which arms are wanted."""
    return ArmRequest(
        names=tuple(config.arms),
        draws={
            "random": None if config.exhaustive else config.random_draws,
            "depth-matched": config.depth_matched_draws,
            "random-heads": config.random_head_draws,
        },
        k=config.k,
        budget=config.budget,
        seed=config.seed,
        target_modules=tuple(config.target_modules),
    )


def write_arms(folder: ExperimentFolder, arms: dict[int, list[tuple[str, Selection]]]) -> None:
    """Write the selections and, last, the list of arms: the mark that choosing is done.

    Raises:
        RunFailedError: If the file system refuses.
    """
    for r, chosen in arms.items():
        for name, selection in chosen:
            selection.write(folder.selection(f"{name}-r{r}"))
    names = [name for name, _ in next(iter(arms.values()))]
    write_json(folder.root / ARMS_FILE, {"arms": names, "r": list(arms)}, schema=ARMS_SCHEMA)


def read_arms(folder: ExperimentFolder) -> list[str]:
    """Read the names of the arms.

    Raises:
        DataFormatError: If they are not chosen yet, or the file is broken.
    """
    path = folder.root / ARMS_FILE
    if not path.is_file():
        raise DataFormatError(
            f"Arms are not chosen yet: no {ARMS_FILE} in {folder.root}. Run headimpact experiment --step arms with the "
            "same options first."
        )
    content = read_json(path, schema=ARMS_SCHEMA)
    return [str(name) for name in content["arms"]]


def planned_runs(config: ExperimentConfig, arms: Sequence[str]) -> list[PlannedRun]:
    """List the runs, seeds outermost, so that a stopped experiment has whole seeds.

    Args:
        config: Options; where `arm` names some, only their runs are listed.
        arms: Names of all arms.

    Raises:
        OptionError: If an arm is asked for that there is not.
    """
    for name in config.arm:
        if name not in (BASE, *arms):
            raise OptionError(unknown_name_message("arm", name, (BASE, *arms)))
    kept = [name for name in arms if not config.arm or name in config.arm]
    return [PlannedRun(arm, r, seed) for seed in range(config.seeds) for r in config.r for arm in kept]


def mark_failed(folder: Path, error: RunFailedError) -> None:
    """Write why a run failed, so that it is not tried again and can be named.

    Raises:
        RunFailedError: If the file system refuses.
    """
    write_json(folder / FAILED_FILE, {"message": str(error)}, schema=FAILED_SCHEMA)


def failure_of(folder: Path) -> str | None:
    """Read why a run failed; None where it has not."""
    path = folder / FAILED_FILE
    return str(read_json(path, schema=FAILED_SCHEMA)["message"]) if path.is_file() else None


def failures(folder: ExperimentFolder, runs: Sequence[PlannedRun]) -> dict[str, str]:
    """Give the failed runs with their reasons."""
    found = {run.name: failure_of(folder.tuned(run)) for run in runs}
    return {name: reason for name, reason in found.items() if reason is not None}


def missing(folder: ExperimentFolder, task: str, runs: Sequence[PlannedRun]) -> list[str]:
    """Name the evaluations of a task that are neither finished nor of a failed run."""
    names = [BASE, *(run.name for run in runs if failure_of(folder.tuned(run)) is None)]
    return [name for name in names if not (folder.evaluated(task, name) / METRICS_FILE).is_file()]
