"""Two scoring runs of the same pictures, one with an adapter -> how tuning changed where the layers look."""

from collections.abc import Sequence

import numpy as np

from headimpact.report import wording
from headimpact.report.page import Cell, Row, Table
from headimpact.report.run_files import RunFiles
from headimpact.scoring.head_scores import HeadScores

SAME = ("model", "revision", "data_fingerprint")


def effect_tables(runs: Sequence[RunFiles]) -> tuple[Table, ...]:
    """Set the layers' scores before and after tuning side by side.

    Args:
        runs: All runs of the report.

    Returns:
        One table for each scoring run with an adapter that has one without, of the same model, pictures, score and
        options.
    """
    scored = [(run.name, run.scores) for run in runs if run.scores is not None]
    before = [(name, scores) for name, scores in scored if _adapter(scores) is None]
    tables = []
    for name, tuned in scored:
        base = next((pair for pair in before if _adapter(tuned) is not None and _are_alike(pair[1], tuned)), None)
        if base is not None:
            tables.append(_table(base[0], base[1], name, tuned))
    return tuple(tables)


def _adapter(scores: HeadScores) -> str | None:
    """Give the adapter that a run was scored with."""
    found = scores.provenance.get("adapter")
    return None if found is None else str(found)


def _are_alike(before: HeadScores, after: HeadScores) -> bool:
    """Say whether two runs differ in the adapter alone."""
    same = all(before.provenance.get(name) == after.provenance.get(name) for name in SAME)
    return same and before.score == after.score and dict(before.options) == dict(after.options)


def _table(base: str, before: HeadScores, name: str, after: HeadScores) -> Table:
    """Write one pair."""
    old, new = before.layer_values[before.score], after.layer_values[after.score]
    rows = tuple(
        Row(f"layer {layer}", (_value(old[layer]), _value(new[layer]), Cell(wording.signed(float(change), digits=3))))
        for layer, change in enumerate(np.asarray(new, dtype=float) - np.asarray(old, dtype=float))
    )
    title = f"{wording.heading(before.score)} of every layer before ({base}) and after tuning ({name})"
    return Table(title, ("Layer", "Before", "After", "Change"), rows)


def _value(value: float) -> Cell:
    """Write a score."""
    return Cell(wording.number(float(value), digits=3))
