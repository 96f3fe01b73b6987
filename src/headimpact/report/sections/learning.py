"""Tuned runs -> how the loss of every arm fell."""

from collections.abc import Sequence

import numpy as np

from headimpact.report import wording
from headimpact.report.figures.learning_curves import LearningCurve, render_learning_curves
from headimpact.report.page import Drawings, LearningPart
from headimpact.report.run_files import RunFiles
from headimpact.report.sections.comparison import TOP
from headimpact.report.sections.scores import BROAD, NARROW

LABEL = "Loss of every arm against the optimiser step, draws and seeds averaged; the tables below have first and last."

SMALLEST = 1e-6
"""Loss at the foot of the logarithmic axis; what is smaller lies there."""


def learning_parts(runs: Sequence[RunFiles]) -> tuple[LearningPart, ...]:
    """Draw a curve for each arm, one drawing for each rank.

    Args:
        runs: All runs of the report.

    Returns:
        Drawings; none where fewer than two arms were tuned, or for longer than a step.
    """
    by_rank: dict[int, dict[str, list[list[float]]]] = {}
    for run in runs:
        if run.tuning is not None and run.tuning["losses"]:
            arm = str(run.tuning.get("selection", {}).get("strategy", run.name))
            rank = int(run.tuning["options"].get("r", 0))
            by_rank.setdefault(rank, {}).setdefault(arm, []).append(run.tuning["losses"])
    found = ((rank, [_curve(arm, losses) for arm, losses in arms.items()]) for rank, arms in sorted(by_rank.items()))
    return tuple(
        LearningPart(f"r = {rank}" if len(by_rank) > 1 else "", _draw(curves), _caption(by_rank[rank]))
        for rank, curves in found
        if len(curves) > 1
    )


def _curve(arm: str, losses: Sequence[Sequence[float]]) -> LearningCurve:
    """Average the runs of an arm step by step, over those that went so far."""
    steps = max(map(len, losses))
    means = [float(np.mean([one[step] for one in losses if step < len(one)])) for step in range(steps)]
    shown = [max(mean, SMALLEST) for mean in means]
    first, last = wording.number(means[0], digits=3), wording.number(means[-1], digits=3)
    tooltip = f"{arm}: {wording.plural(len(losses), 'run')}, loss {first} in the first step, {last} in the last"
    return LearningCurve(name=arm, losses=shown, tooltip=tooltip, is_top=arm == TOP)


def _draw(curves: Sequence[LearningCurve]) -> Drawings:
    """Draw for a desk and for a phone."""
    return Drawings(
        broad=render_learning_curves(curves, label=LABEL, width=BROAD),
        narrow=render_learning_curves(curves, label=LABEL, width=NARROW),
    )


def _caption(arms: dict[str, list[list[float]]]) -> str:
    """Explain the drawing."""
    count = sum(map(len, arms.values()))
    return (
        f"Each line is the mean loss of an arm's tuning runs on its training batches, {wording.plural(count, 'run')} "
        "in all; every arm saw the same batches. A lower loss on what was learned is no verdict: that is made on the "
        "test pictures."
    )
