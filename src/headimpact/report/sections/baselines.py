"""What a score is held against beside chance: random weights, maps that need no model, and depth alone."""

from collections.abc import Mapping

import numpy as np

from headimpact.report import wording
from headimpact.report.page import Cell, Row
from headimpact.report.ranking import rank_heads
from headimpact.scoring.depth import depth_alone
from headimpact.scoring.head_scores import HeadScores

NAMES = {"uniform": "looking everywhere alike", "centre": "looking at the centre", "sinks": "looking at the sinks"}
"""Maps that no head has, in words."""


def baseline_rows(scores: HeadScores, *, by_layer: bool = False) -> tuple[Row, ...]:
    """List the baselines as rows of a table of heads or of layers.

    Args:
        scores: The scores; their untrained twin counts where it was scored.
        by_layer: Give the twin's best layer and depth's best guess for a layer, else those for a head.

    Returns:
        Rows of score, chance, gap, z and q, as `number_cells` writes them.
    """
    rows = [] if scores.baseline is None else _twin_row(scores.baseline, by_layer=by_layer)
    for name, value in scores.baselines.items():
        known = {scores.score: value, **scores.baseline_statistics.get(name, {})}
        rows.append(Row(NAMES.get(name, name), number_cells(scores.score, known)))
    values = (scores.layer_values if by_layer else scores.values)[scores.score]
    guess = depth_alone(values[:, None] if by_layer else values)
    if guess is not None:
        said = f"explains {wording.percent(max(guess.explained, 0.0))}" if np.isfinite(guess.explained) else ""
        blank = (Cell(wording.MISSING),) * 4
        rows.append(
            Row(f"depth alone (layer {guess.layer_idx})", (Cell(wording.number(guess.best, digits=3), said), *blank))
        )
    return tuple(rows)


def number_cells(score: str, values: Mapping[str, float]) -> tuple[Cell, ...]:
    """Write score, chance, gap with interval, z and q; a dash for what is not known.

    Args:
        score: Name of the score.
        values: It and its `STATISTICS`, those that there are.

    Returns:
        Five cells.
    """
    found = {
        name: float(values.get(name, np.nan)) for name in (score, "null_mean", "gap", "gap_low", "gap_high", "z", "q")
    }
    return (
        Cell(wording.number(found[score], digits=3)),
        Cell(wording.number(found["null_mean"], digits=3)),
        Cell(
            wording.signed(found["gap"], digits=3),
            wording.interval(found["gap_low"], found["gap_high"], digits=3, sign=True),
        ),
        Cell(wording.number(found["z"], digits=1)),
        Cell(wording.probability(found["q"])),
    )


def _twin_row(twin: HeadScores, *, by_layer: bool) -> list[Row]:
    """Give the untrained twin's best head or layer; nothing where none has a score."""
    values = twin.layer_values if by_layer else twin.values
    own = values[twin.score][:, None] if by_layer else values[twin.score]
    best, _ = rank_heads(own, count=1)
    if not best:
        return []
    layer, head = best[0]
    place: tuple[int, ...] = (layer,) if by_layer else (layer, head)
    where = f"layer {layer}" if by_layer else f"layer {layer}, head {head}"
    numbers = {name: float(array[place]) for name, array in values.items()}
    return [Row(f"untrained twin, best ({where})", number_cells(twin.score, numbers))]
