"""Rankings under variants -> how far each choice of the method moves them: a sentence, a table, a matrix."""

import numpy as np

from headimpact.report import wording
from headimpact.report.page import Cell, Row, SensitivityPart, Table
from headimpact.scoring.sensitivity import Sensitivity


def sensitivity_part(sensitivity: Sensitivity | None, *, run: str) -> SensitivityPart | None:
    """Describe how far the rankings agree; nothing where they were not compared."""
    if sensitivity is None:
        return None
    return SensitivityPart(
        run=run,
        summary=summary(sensitivity),
        table=_table(sensitivity),
        matrices=(
            _matrix("heads", "Spearman over heads", sensitivity.names, sensitivity.heads),
            _matrix("layers", "Spearman over layers", sensitivity.names, sensitivity.layers),
            _matrix(
                "best", f"Share of the best {sensitivity.k} layers in common", sensitivity.names, sensitivity.overlap
            ),
        ),
    )


def summary(sensitivity: Sensitivity) -> str:
    """Say which variant moves the ranking of layers most, and how many leave the choice as it is."""
    layers, others = sensitivity.layers[0, 1:], sensitivity.names[1:]
    choice = f"the best {wording.plural(sensitivity.k, 'layer')}"
    if not np.isfinite(layers).any():
        return f"No variant's ranking can be held against the default's; {choice} cannot be compared."
    least = int(np.nanargmin(layers))
    same = int((sensitivity.overlap[0, 1:] == 1).sum())
    return (
        f"Of {wording.plural(len(others), 'variant')}, each one option away from the default and measured on the same "
        f"{wording.plural(sensitivity.images, 'picture')}, {same} choose {choice} that the default chooses. "
        f"{others[least]} moves the ranking of layers most: rank correlation {wording.number(layers[least])}."
    )


def _table(sensitivity: Sensitivity) -> Table:
    """List every variant against the default."""
    order = np.argsort(-np.nan_to_num(sensitivity.layer_values, nan=-np.inf), axis=1, kind="stable")
    rows = tuple(
        Row(
            f"{number} {name}",
            (
                Cell(wording.number(float(sensitivity.heads[0, number - 1]))),
                Cell(wording.number(float(sensitivity.layers[0, number - 1]))),
                Cell(wording.percent(float(sensitivity.overlap[0, number - 1]))),
                Cell(" ".join(map(str, sorted(order[number - 1, : sensitivity.k].tolist())))),
            ),
            is_top=number == 1,
        )
        for number, name in enumerate(sensitivity.names, start=1)
    )
    head = ("Variant", "Heads", "Layers", "In common", f"Best {sensitivity.k}")
    caption = "Rank correlation with the default over heads and over layers, and the best layers, as far as in common"
    return Table(caption, head, rows)


def _matrix(kind: str, caption: str, names: tuple[str, ...], values: np.ndarray) -> Table:
    """List the agreement of every two variants, by their numbers."""
    rows = tuple(
        Row(f"{number} {name}", tuple(Cell(_entry(kind, float(value))) for value in row))
        for number, (name, row) in enumerate(zip(names, values, strict=True), start=1)
    )
    return Table(f"{caption}, of every two variants", ("Variant", *map(str, range(1, len(names) + 1))), rows)


def _entry(kind: str, value: float) -> str:
    """Write a share as percent, a correlation as a number."""
    return wording.percent(value) if kind == "best" else wording.number(value)
