"""Comparison -> its findings, a dot plot of the arms, and tables with intervals."""

from headimpact.comparison.arm_tests import ArmTest
from headimpact.comparison.statistics import Estimate
from headimpact.comparison.table import ComparisonRow, ComparisonTable, RunPoint
from headimpact.report import wording
from headimpact.report.figures.arm_dots import ArmPlot, ArmRow, render_arm_dots
from headimpact.report.page import Cell, ComparisonPart, Drawings, Row, Table
from headimpact.report.sections.scores import BROAD, NARROW

TOP, BASE, ALL = "top-k", "base", "all"


def comparison_part(table: ComparisonTable, *, run: str) -> ComparisonPart:
    """Describe one comparison.

    Args:
        table: The comparison.
        run: Name of its folder, or empty where there is only one.

    Returns:
        Findings, dot plot and tables.
    """
    others = [name for name in _metrics(table) if name != table.primary]
    tables = (_primary_table(table), *((_others_table(table, others),) if others else ()))
    return ComparisonPart(
        run=run,
        findings=table.sentences() or table.notes,
        dots=arm_dots(table),
        dot_caption=_dot_caption(table),
        tables=tables,
    )


def arm_dots(table: ComparisonTable) -> Drawings:
    """Draw the arms in the primary measure twice, for a desk and for a phone."""
    name = wording.metric_name(table.primary)
    base = next((row for row in table.rows if row.arm == BASE), None)
    plot = ArmPlot(
        rows=[_arm_row(row, table.primary) for row in table.rows],
        axis=name,
        reference=base.values[table.primary].value if base else None,
        label=f"{name} of every arm, each run a dot; the table below has the numbers.",
    )
    return Drawings(broad=render_arm_dots(plot, width=BROAD), narrow=render_arm_dots(plot, width=NARROW))


def layers_of(row: ComparisonRow) -> str:
    """Say which layers an arm tuned, or how many draws of layers it had."""
    if row.arm == BASE:
        return "none"
    if row.arm == ALL:
        return "all"
    if row.draws > 1 or not row.points:
        return wording.plural(row.draws, "draw")
    return wording.listed(row.points[0].layers)


def _metrics(table: ComparisonTable) -> list[str]:
    """List the metrics that the rows have, each once, in their order."""
    return list(dict.fromkeys(name for row in table.rows for name in row.values))


def _arm_row(row: ComparisonRow, metric: str) -> ArmRow:
    """Turn an arm into a row of the dot plot."""
    found = row.values[metric]
    return ArmRow(
        label=row.arm,
        points=[(point.values[metric], _point_text(row, point, metric)) for point in row.points],
        mean=found.value,
        low=found.low,
        high=found.high,
        is_top=row.arm == TOP,
    )


def _point_text(row: ComparisonRow, point: RunPoint, metric: str) -> str:
    """Write a dot's tooltip."""
    value = f"{wording.metric_name(metric)} {wording.number(point.values[metric], digits=3)}"
    if row.arm == BASE:
        return f"{row.arm}: {value}"
    layers = "all layers" if row.arm == ALL else f"layers {wording.listed(point.layers)}"
    return f"{row.arm}, {layers}, draw {point.draw}, seed {point.seed}: {value}"


def _dot_caption(table: ComparisonTable) -> str:
    """Explain the dot plot."""
    parts = [
        f"Each dot is one tuned model; the upright mark is an arm's mean, the band its 95{wording.NBSP}% interval."
    ]
    if any(row.arm == BASE for row in table.rows):
        parts.append("The dashed line is the model before tuning.")
    parts.append(f"Measured on {wording.plural(table.images, 'picture')} that no model was scored or tuned on.")
    return " ".join(parts)


def _primary_table(table: ComparisonTable) -> Table:
    """Tabulate the primary measure with its differences, layers and cost."""
    name = table.primary
    is_tested = any(row.test is not None for row in table.rows)
    rows = tuple(
        Row(
            row.arm,
            (
                _value(row.values.get(name)),
                _difference(row.shifts.get(name)),
                _difference(row.against_random.get(name)),
                *(_test_cells(row.test) if is_tested else ()),
                Cell(layers_of(row)),
                _cost(row),
            ),
            is_top=row.arm == TOP,
        )
        for row in table.rows
    )
    tests = ("Effect size", "p (Holm)") if is_tested else ()
    head = ("Arm", wording.heading(name), "Against base", "Against random", *tests, "Layers", "Trained")
    return Table(f"{wording.heading(name)}, the measure of the verdict, with 95 % intervals", head, rows)


def _test_cells(test: ArmTest | None) -> tuple[Cell, Cell]:
    """Write how far a choice lies from the draws, in their standard deviations, and its corrected p-value."""
    if test is None:
        return Cell(wording.MISSING), Cell(wording.MISSING)
    return Cell(wording.signed(test.effect_size)), Cell(wording.probability(test.p_holm))


def _others_table(table: ComparisonTable, others: list[str]) -> Table:
    """Tabulate the other measures."""
    rows = tuple(
        Row(row.arm, tuple(_value(row.values.get(name)) for name in others), is_top=row.arm == TOP)
        for row in table.rows
    )
    head = ("Arm", *(wording.heading(name) for name in others))
    return Table("The other measures, with 95 % intervals; none of them decides the verdict", head, rows)


def _value(found: Estimate | None) -> Cell:
    """Write a value and its interval."""
    if found is None:
        return Cell(wording.MISSING)
    return Cell(wording.number(found.value, digits=3), wording.interval(found.low, found.high, digits=3))


def _difference(found: Estimate | None) -> Cell:
    """Write a difference and its interval."""
    if found is None:
        return Cell(wording.MISSING)
    return Cell(wording.signed(found.value, digits=3), wording.interval(found.low, found.high, digits=3, sign=True))


def _cost(row: ComparisonRow) -> Cell:
    """Write an arm's trained parameters and their share of the model."""
    if not row.trainable_parameters:
        return Cell("none")
    return Cell(wording.whole(row.trainable_parameters), wording.percent(row.trainable_share))
