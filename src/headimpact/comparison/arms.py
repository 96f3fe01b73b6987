"""Runs grouped into arms, draws and seeds, and a metric's values for them, observed and resampled."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from headimpact.comparison.runs import EvaluatedRun
from headimpact.comparison.statistics import choose_runs, chosen_means, draw_means
from headimpact.core.errors import DataFormatError
from headimpact.evaluation.metrics import METRICS
from headimpact.evaluation.metrics.metric import Metric, metric_value, metric_values


@dataclasses.dataclass(frozen=True)
class ArmGroup:
    """The runs of one arm.

    Attributes:
        draws: Numbers into the list of runs, one tuple of seeds per draw.
        chosen: The runs that stand for the arm in each resample.
    """

    draws: tuple[tuple[int, ...], ...]
    chosen: Int[np.ndarray, "slots picks resamples"]


@dataclasses.dataclass(frozen=True)
class MeasuredRuns:
    """One metric of every run.

    Attributes:
        name: The metric.
        higher_is_better: Whether large values are good.
        images: Number of pictures.
        observed: Value of each run.
        resampled: Value of each run under the pictures of each resample.
    """

    name: str
    higher_is_better: bool
    images: int
    observed: Float[np.ndarray, " runs"]
    resampled: Float[np.ndarray, "runs resamples"]

    def minus(self, run: int) -> "MeasuredRuns":
        """Give every run's difference from one of them, picture by picture paired."""
        return dataclasses.replace(
            self, observed=self.observed - self.observed[run], resampled=self.resampled - self.resampled[run]
        )

    def turned(self) -> "MeasuredRuns":
        """Give the values with the sign that makes large ones good."""
        if self.higher_is_better:
            return self
        return dataclasses.replace(self, higher_is_better=True, observed=-self.observed, resampled=-self.resampled)


def measure_runs(
    name: str, runs: Sequence[EvaluatedRun], weights: Float[np.ndarray, "resamples images"]
) -> MeasuredRuns:
    """Compute one metric of every run from its parts.

    Args:
        name: Name in the table of metrics.
        runs: Runs that have it.
        weights: How often each picture counts in each resample; the same for every run.

    Returns:
        Observed and resampled values.

    Raises:
        DataFormatError: If the value a run states is not the value of its parts.
    """
    metric: Metric = METRICS.load(name)
    observed = np.array([metric_value(metric, run.parts[name]) for run in runs])
    for run, value in zip(runs, observed, strict=True):
        if not math.isclose(value, run.values[name], rel_tol=1e-9, abs_tol=1e-9):
            raise DataFormatError(
                f"Run {run.path.name} says {name} {run.values[name]:.6f}, but its parts give {value:.6f}. "
                "A file was changed after the evaluation; evaluate again."
            )
    resampled = np.stack([metric_values(metric, run.parts[name], weights) for run in runs])
    return MeasuredRuns(
        name=name,
        higher_is_better=metric.higher_is_better,
        images=weights.shape[1],
        observed=observed,
        resampled=resampled,
    )


def group_runs(runs: Sequence[EvaluatedRun], *, resamples: int, generator: np.random.Generator) -> dict[str, ArmGroup]:
    """Group runs by arm and draw, and choose which stand for each arm in each resample.

    Args:
        runs: Runs in the order of the table.
        resamples: Resamples wanted.
        generator: Source of randomness.

    Returns:
        Arm name to its runs, in the order of the runs.
    """
    found: dict[str, dict[int, list[int]]] = {}
    for index, run in enumerate(runs):
        found.setdefault(run.arm.strategy, {}).setdefault(run.arm.draw, []).append(index)
    draws = {arm: tuple(tuple(seeds) for seeds in by_draw.values()) for arm, by_draw in found.items()}
    return {
        arm: ArmGroup(draws=one, chosen=choose_runs(one, resamples=resamples, generator=generator))
        for arm, one in draws.items()
    }


def observed_draws(measured: MeasuredRuns, group: ArmGroup) -> Float[np.ndarray, " draws"]:
    """Give each draw's value, seeds averaged."""
    return draw_means(measured.observed, group.draws)


def resampled_draws(measured: MeasuredRuns, group: ArmGroup) -> Float[np.ndarray, "slots resamples"]:
    """Give the value of each draw that stands for the arm in each resample."""
    return chosen_means(measured.resampled, group.chosen)


def repictured_draws(measured: MeasuredRuns, group: ArmGroup) -> Float[np.ndarray, "draws resamples"]:
    """Give each draw's value with only the pictures resampled."""
    return np.stack([measured.resampled[list(draw)].mean(axis=0) for draw in group.draws])
