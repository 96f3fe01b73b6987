"""Evaluated runs to a table with a verdict.

In: comparable `EvaluatedRun`s. Out: `ComparisonTable`. Values are computed from the per-picture parts in the run
folders; no model and no text is needed.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from headimpact.comparison.arm_tests import ArmTest, weigh_choices
from headimpact.comparison.arms import (
    ArmGroup,
    MeasuredRuns,
    group_runs,
    measure_runs,
    observed_draws,
    repictured_draws,
    resampled_draws,
)
from headimpact.comparison.runs import BASE, CHOSEN, EvaluatedRun, check_comparable
from headimpact.comparison.statistics import (
    ALPHA,
    CONFIDENCE,
    TIE,
    Estimate,
    estimate,
    picture_weights,
    rank_p,
    split_variance,
)
from headimpact.comparison.table import ComparisonRow, ComparisonTable, ExhaustiveRank, RunPoint
from headimpact.comparison.verdict import SHIFT, VALUE, Evidence, Question, Verdict, describe_pictures, judge
from headimpact.core.errors import DataFormatError, OptionError
from headimpact.core.registry import unknown_name_message
from headimpact.evaluation.metrics import METRICS

TOP, RANDOM, DEPTH_MATCHED = "top-k", "random", "depth-matched"
RANDOM_HEADS = "random-heads"
ORDER = (BASE, TOP, "bottom-k", RANDOM, DEPTH_MATCHED, "last-n", "gate-gradient", "top-heads", RANDOM_HEADS, "all")
"""Arms in the order of the table; others follow by name."""


def compare_runs(
    runs: Sequence[EvaluatedRun],
    *,
    primary: str,
    margin: float,
    generator: np.random.Generator,
    resamples: int = 2000,
    notes: Sequence[str] = (),
) -> ComparisonTable:
    """Compare arms: is the choice of layers better than random choices?

    Args:
        runs: Finished runs of one model on the same pictures, in any order.
        primary: The metric of the verdict, named beforehand.
        margin: Smallest difference in it that would matter, above 0.
        generator: Source of randomness; a fresh one with the same seed gives the same table.
        resamples: Bootstrap resamples, at least 100.
        notes: What else a reader must know, such as unfinished runs.

    Returns:
        The table. Its verdicts are None where the arms they need are missing.

    Raises:
        IncompatibleRunsError: If the runs are not comparable (see `check_comparable`).
        OptionError: If `margin` or `resamples` is too small.
        DataFormatError: If a run lacks the primary metric, or states another value than its parts give.
    """
    if not margin > 0:
        raise OptionError(f"Margin is {margin}; expected a difference above 0 that would matter. Set --margin.")
    if resamples < 100:
        raise OptionError(f"Got {resamples} bootstrap resamples; expected at least 100. Set --bootstrap.")
    check_comparable(runs)
    ordered = sorted(runs, key=_place)
    names = _shared_metrics(ordered, primary)
    images = len(ordered[0].parts[primary])
    weights = picture_weights(images, resamples=resamples, generator=generator)
    measured = {name: measure_runs(name, ordered, weights) for name in names}
    groups = group_runs(ordered, resamples=resamples, generator=generator)
    main, limit = measured[primary], _other_choices(ordered)
    tests = _weigh_choices(main.turned(), groups)
    return ComparisonTable(
        primary=primary,
        margin=margin,
        verdict=_judge_value(main, groups, RANDOM, margin=margin, limit=limit),
        shift_verdict=_judge_shift(main, groups, margin=margin, limit=limit),
        depth_matched_verdict=_judge_value(main, groups, DEPTH_MATCHED, margin=margin, limit=None),
        exhaustive=_exhaustive_rank(main, ordered),
        rows=tuple(_row(arm, groups, ordered, measured, test=tests.get(arm)) for arm in groups),
        images=images,
        notes=(*notes, *_notes(groups, ordered), *describe_pictures(images)),
        options={"resamples": resamples, "confidence": CONFIDENCE, "identity": dict(ordered[0].identity)},
    )


def _place(run: EvaluatedRun) -> tuple[int, str, int, int]:
    """Sort arms in the order of the table, then draws and seeds."""
    arm = run.arm
    return (ORDER.index(arm.strategy) if arm.strategy in ORDER else len(ORDER), arm.strategy, arm.draw, arm.seed)


def _shared_metrics(runs: Sequence[EvaluatedRun], primary: str) -> list[str]:
    """List the metrics that every run has, the primary one among them.

    Raises:
        DataFormatError: If a run lacks the primary metric.
    """
    shared = [name for name in METRICS if all(name in run.values for run in runs)]
    for run in runs:
        if primary not in run.values:
            raise DataFormatError(
                f"Run {run.path.name} lacks the primary metric. "
                f"{unknown_name_message('metric for these runs', primary, shared)} "
                "Evaluate with it, or name another --primary."
            )
    return shared


def _judge_value(
    measured: MeasuredRuns, groups: Mapping[str, ArmGroup], against: str, *, margin: float, limit: int | None
) -> Verdict | None:
    """Judge the top choice's value against draws of one kind."""
    if TOP not in groups or against not in groups:
        return None
    evidence = _weigh(measured.turned(), groups[TOP], groups[against], VALUE, against=against, limit=limit)
    if not measured.higher_is_better:
        evidence = dataclasses.replace(evidence, value=-evidence.value, random_mean=-evidence.random_mean)
    return judge(evidence, margin=margin, question=VALUE)


def _judge_shift(
    measured: MeasuredRuns, groups: Mapping[str, ArmGroup], *, margin: float, limit: int | None
) -> Verdict | None:
    """Judge the size of the top choice's shift against the size of random draws' shifts."""
    if TOP not in groups or RANDOM not in groups or BASE not in groups:
        return None
    shifts = measured.minus(groups[BASE].draws[0][0])
    evidence = _weigh(shifts, groups[TOP], groups[RANDOM], SHIFT, against=RANDOM, limit=limit)
    return judge(evidence, margin=margin, question=SHIFT)


def _weigh(
    measured: MeasuredRuns,
    top: ArmGroup,
    other: ArmGroup,
    question: Question,
    *,
    against: str,
    limit: int | None,
) -> Evidence:
    """Gather the evidence on the top choice against draws of one kind; sizes where shifts are asked about."""
    size = np.abs if question is SHIFT else np.positive
    value = float(size(observed_draws(measured, top)).mean())
    draws = size(observed_draws(measured, other))
    apart = size(resampled_draws(measured, top)).mean(axis=0) - size(resampled_draws(measured, other)).mean(axis=0)
    difference = estimate(value - float(draws.mean()), apart)
    by_pictures = estimate(
        difference.value,
        size(repictured_draws(measured, top)).mean(axis=0) - size(repictured_draws(measured, other)).mean(axis=0),
    )
    return Evidence(
        measure=measured.name,
        arm=TOP,
        against=against,
        value=value,
        random_mean=float(draws.mean()),
        difference=difference,
        rank_p=rank_p(value, draws),
        rank_p_below=rank_p(value, draws, upper=False),
        draws=len(draws),
        max_draws=limit,
        images=measured.images,
        variances=split_variance(difference.standard_error**2, by_pictures.standard_error**2, draws),
    )


def _row(
    arm: str,
    groups: Mapping[str, ArmGroup],
    runs: Sequence[EvaluatedRun],
    measured: Mapping[str, MeasuredRuns],
    *,
    test: ArmTest | None,
) -> ComparisonRow:
    """Describe one arm."""
    group = groups[arm]
    members = [runs[index] for draw in group.draws for index in draw]
    return ComparisonRow(
        arm=arm,
        draws=len(group.draws),
        seeds=max(len(draw) for draw in group.draws),
        trainable_parameters=max(run.arm.trainable_parameters for run in members),
        trainable_share=max(run.arm.trainable_share for run in members),
        values={name: _arm_estimate(one, group) for name, one in measured.items()},
        shifts=_differences(arm, BASE, groups, measured),
        against_random=_differences(arm, RANDOM, groups, measured) if arm != BASE else {},
        points=tuple(_point(run, list(measured)) for run in members),
        test=test,
    )


def _weigh_choices(measured: MeasuredRuns, groups: Mapping[str, ArmGroup]) -> dict[str, ArmTest]:
    """Hold every arm that is one choice, at the same cost as the draws, against random draws of its kind."""
    draws = {arm: observed_draws(measured, groups[arm]) for arm in (RANDOM, RANDOM_HEADS) if arm in groups}
    choices = {
        arm: (
            float(observed_draws(measured, groups[arm])[0]),
            RANDOM_HEADS if arm == "top-heads" and RANDOM_HEADS in groups else RANDOM,
        )
        for arm in groups
        if arm in CHOSEN and arm not in (RANDOM, DEPTH_MATCHED, RANDOM_HEADS)
    }
    return weigh_choices(choices, draws)


def _arm_estimate(measured: MeasuredRuns, group: ArmGroup) -> Estimate:
    """Average an arm: seeds within draws, then draws."""
    return estimate(float(observed_draws(measured, group).mean()), resampled_draws(measured, group).mean(axis=0))


def _differences(
    arm: str, other: str, groups: Mapping[str, ArmGroup], measured: Mapping[str, MeasuredRuns]
) -> dict[str, Estimate]:
    """Subtract another arm's mean from an arm's, metric by metric; nothing without that arm."""
    if other not in groups or arm == other:
        return {}
    first, second = groups[arm], groups[other]
    return {
        name: estimate(
            float(observed_draws(one, first).mean() - observed_draws(one, second).mean()),
            resampled_draws(one, first).mean(axis=0) - resampled_draws(one, second).mean(axis=0),
        )
        for name, one in measured.items()
    }


def _point(run: EvaluatedRun, metrics: Sequence[str]) -> RunPoint:
    """Keep one run's values for plots."""
    values = {name: float(run.values[name]) for name in metrics}
    return RunPoint(run=run.path.name, draw=run.arm.draw, seed=run.arm.seed, layers=run.arm.layers, values=values)


def _other_choices(runs: Sequence[EvaluatedRun]) -> int | None:
    """Count the sets of as many layers as the top choice's, without it; None where that is not known, or for heads."""
    top = next((run.arm for run in runs if run.arm.strategy == TOP), None)
    if top is None or top.choosable_layers is None or top.heads:
        return None
    return math.comb(top.choosable_layers, len(top.layers)) - 1


def _exhaustive_rank(measured: MeasuredRuns, runs: Sequence[EvaluatedRun]) -> ExhaustiveRank | None:
    """Find the top choice's place among all sets of as many layers, if every one was tuned."""
    others = _other_choices(runs)
    if others is None:
        return None
    chosen = next(frozenset(run.arm.layers) for run in runs if run.arm.strategy == TOP)
    own: list[float] = []
    found: dict[frozenset[int], list[float]] = {}
    for run, value in zip(runs, measured.turned().observed, strict=True):
        layers = frozenset(run.arm.layers)
        if run.arm.strategy == TOP:
            own.append(float(value))
        elif run.arm.strategy in CHOSEN and not run.arm.heads and len(layers) == len(chosen) and layers != chosen:
            found.setdefault(layers, []).append(float(value))
    if others < 1 or len(found) < others:
        return None
    means = np.array([np.mean(values) for values in found.values()])
    value = float(np.mean(own))
    above = int((means > value + TIE).sum())
    below = int((means < value - TIE).sum())
    ties = others - above - below
    return ExhaustiveRank(subsets=others + 1, rank=above + 1, percentile=(below + 0.5 * ties) / others)


def _notes(groups: Mapping[str, ArmGroup], runs: Sequence[EvaluatedRun]) -> list[str]:
    """Say what limits this comparison."""
    notes = []
    missing = [arm for arm in (BASE, TOP, RANDOM) if arm not in groups]
    if missing:
        notes.append(f"No run of {' or '.join(missing)} was given, so not every verdict can be reached.")
    draws = len(groups[RANDOM].draws) if RANDOM in groups else 0
    if 0 < draws < 1 / ALPHA - 1:
        notes.append(
            f"With {draws} random draws the smallest possible rank p is {1 / (draws + 1):.3f}; "
            f"a benefit needs at most {ALPHA}, so at least {round(1 / ALPHA) - 1} draws."
        )
    choices = {run.arm.chosen for run in runs if run.arm.strategy == RANDOM}
    if len(choices) < draws:
        kind = "heads" if any(run.arm.heads for run in runs) else "layers"
        notes.append(f"Only {len(choices)} of the {draws} random draws are different sets of {kind}.")
    seeds = {len(draw) for arm, group in groups.items() if arm != BASE for draw in group.draws}
    if 1 in seeds:
        notes.append("Some draws have one seed only, so the spread between seeds is not in their intervals.")
    return notes
