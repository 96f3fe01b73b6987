"""Knockout run -> the screen before tuning: do the chosen heads matter for the loss, and do scores agree with that."""

import numpy as np

from headimpact.comparison.knockout_table import KnockoutRow, KnockoutTable, ScoreAgreement
from headimpact.comparison.knockout_verdict import agreement_sentence, screen_sentence
from headimpact.comparison.score_agreement import KNOCKOUT, LAYER_PREFIX
from headimpact.comparison.statistics import Estimate
from headimpact.report import wording
from headimpact.report.figures.arm_dots import ArmPlot, ArmRow, render_arm_dots
from headimpact.report.figures.score_scatter import ScatterPlot, ScatterPoint, render_scatter
from headimpact.report.page import Cell, Drawings, KnockoutPart, Row, Table, Verdict
from headimpact.report.sections.comparison import TOP
from headimpact.report.sections.scores import BROAD, NARROW
from headimpact.scoring.rank_agreement import RankCorrelation
from headimpact.selection.knockout_sets import UNITS

LIMIT = (
    "Layers behind can make up for a silenced head, and a silenced head gives outputs that the model never saw. What "
    "the loss needs is not yet what tuning can improve."
)
RISE = "rise of the loss, nats per token"


def knockout_verdict(table: KnockoutTable) -> Verdict:
    """Say in one sentence whether the chosen layers matter for the loss."""
    limits = (_heads(table), agreement_sentence(table), *table.notes, LIMIT)
    return Verdict(screen_sentence(table), tuple(text for text in limits if text))


def _heads(table: KnockoutTable) -> str:
    """Say how single heads do against others of their depth; there are far more sets of them than of layers."""
    verdict = table.verdicts.get("heads against depth-matched")
    if verdict is None:
        return ""
    difference = verdict.evidence.difference
    ends = wording.interval(difference.low, difference.high, digits=3, sign=True)
    draws = wording.plural(verdict.evidence.draws, "draw")
    return (
        f"Single heads of the highest scores against {draws} of heads of the same depth: {verdict.answer}, "
        f"{wording.signed(difference.value, digits=3)} ({ends})."
    )


def knockout_part(table: KnockoutTable, *, run: str) -> KnockoutPart:
    """Describe one knockout run.

    Args:
        table: What it found.
        run: Name of its folder, or empty where there is only one.

    Returns:
        Findings, plots and tables.
    """
    scatter = _scatter(table)
    tables = (_arm_table(table), *((_agreement_table(table),) if table.agreements else ()))
    return KnockoutPart(
        run=run,
        findings=(
            _scale(table),
            *(f"{name[:1].upper()}{name[1:]}: {verdict.sentence}" for name, verdict in table.verdicts.items()),
        ),
        plots=tuple((f"Silenced {unit}", _dots(table, unit)) for unit in UNITS),
        plot_caption=(
            f"Each dot is one set of {UNITS[0]} or {UNITS[1]} that cannot look at the picture; the upright mark is an "
            f"arm's mean, the band its 95{wording.NBSP}% interval. Measured on "
            f"{wording.plural(table.pictures, 'picture')}."
        ),
        scatter=None if scatter is None else _drawn(scatter),
        scatter_caption="" if scatter is None else _scatter_caption(table),
        tables=tables,
    )


def _scale(table: KnockoutTable) -> str:
    """Say how large the loss is, and how far it rises at most."""
    kind = "model's own" if table.options.get("response") == "own" else "reference"
    loss, rise = wording.number(table.plain.value, digits=3), wording.signed(table.blind.value, digits=3)
    ends = wording.interval(table.blind.low, table.blind.high, digits=3, sign=True)
    said = f"The loss of the {kind} answers is {loss}; where no head sees the picture it rises by {rise} ({ends})."
    if table.recall is None:
        return said
    return f"{said} {wording.percent(table.recall.value)} of the model's own answers name a key object."


def _dots(table: KnockoutTable, unit: str) -> Drawings:
    """Draw the arms of one kind twice, for a desk and for a phone."""
    rows = [row for row in table.rows if row.unit == unit]
    plot = ArmPlot(
        rows=[_arm_row(row) for row in rows],
        axis=RISE,
        reference=0.0,
        label=f"Rise of the loss under silenced {unit}, each set a dot; the table below has the numbers.",
    )
    return Drawings(broad=render_arm_dots(plot, width=BROAD), narrow=render_arm_dots(plot, width=NARROW))


def _arm_row(row: KnockoutRow) -> ArmRow:
    """Turn an arm into a row of the dot plot."""
    rise = row.rise
    return ArmRow(
        label=row.strategy,
        points=[(value, f"{label}: {wording.signed(value, digits=3)}") for value, label in row.points],
        mean=rise.value,
        low=rise.low,
        high=rise.high,
        is_top=row.strategy == TOP,
    )


def _scatter(table: KnockoutTable) -> ScatterPlot | None:
    """Hold the score against what silencing each head or layer does; None where that was not measured."""
    prefix = next((one for one in ("", LAYER_PREFIX) if f"{one}{KNOCKOUT}" in table.values), None)
    if prefix is None:
        return None
    scores, rises = table.values[f"{prefix}{table.score}"], table.values[f"{prefix}{KNOCKOUT}"]
    known = np.isfinite(scores) & np.isfinite(rises)
    points = []
    for place in zip(*np.nonzero(known), strict=True):
        name = f"layer {place[0]}" if prefix else f"layer {place[0]}, head {place[1]}"
        value, rise = float(scores[place]), float(rises[place])
        text = f"{name}: {wording.number(value)}, rise {wording.signed(rise, digits=3)}"
        points.append(ScatterPoint(value, rise, text, is_top=int(place[0]) in table.chosen))
    name = wording.heading(table.score)
    unit = "layer" if prefix else "head"
    label = f"{name} of every {unit} against the rise of the loss without its look at the picture."
    return ScatterPlot(points, x_axis=f"{name} of a {unit}", y_axis=RISE, label=label)


def _scatter_caption(table: KnockoutTable) -> str:
    """Explain the scatter."""
    unit = "layer" if f"{LAYER_PREFIX}{KNOCKOUT}" in table.values else "head"
    of = "the chosen layers" if unit == "layer" else "heads of the chosen layers"
    return f"One dot per {unit}, silenced alone; {of} are set off."


def _drawn(plot: ScatterPlot) -> Drawings:
    """Draw twice, for a desk and for a phone."""
    return Drawings(broad=render_scatter(plot, width=BROAD), narrow=render_scatter(plot, width=NARROW))


def _arm_table(table: KnockoutTable) -> Table:
    """Tabulate the arms."""
    has_falls = table.recall is not None
    rows = tuple(
        Row(
            f"{row.strategy} {row.unit}",
            (
                Cell(str(row.draws)),
                _estimate(row.rise),
                Cell(wording.percent(row.rise.value / table.blind.value) if table.blind.low > 0 else wording.MISSING),
                *((_estimate(row.fall),) if has_falls else ()),
            ),
            is_top=row.strategy == TOP,
        )
        for row in table.rows
    )
    falls = ("Fall of key-object recall",) if has_falls else ()
    head = ("Silenced", "Sets", "Rise of the loss", "Of the rise without any look", *falls)
    return Table("What silencing does, with 95 % intervals", head, rows)


def _agreement_table(table: KnockoutTable) -> Table:
    """Tabulate how far measures agree."""
    rows = tuple(Row(_pair(one), _agreement_cells(one)) for one in table.agreements)
    head = ("Rankings", "Spearman", "Given depth", "Top places shared", "Detectable")
    return Table("How far the rankings agree, with 95 % intervals over layers and pictures", head, rows)


def _pair(one: ScoreAgreement) -> str:
    """Name two measures."""
    return f"{wording.heading(one.first)}, {wording.metric_name(one.second)}: {one.plain.units} {one.unit}"


def _agreement_cells(one: ScoreAgreement) -> tuple[Cell, ...]:
    """Write one pair."""
    return (
        _correlation(one.plain),
        _correlation(one.given_depth),
        Cell(f"{one.shared} of {one.places}", f"by chance {wording.number(one.by_chance, digits=1)}"),
        Cell(wording.number(one.plain.detectable)),
    )


def _estimate(found: Estimate | None) -> Cell:
    """Write a rise or fall and its interval."""
    if found is None:
        return Cell(wording.MISSING)
    return Cell(wording.signed(found.value, digits=3), wording.interval(found.low, found.high, digits=3, sign=True))


def _correlation(found: RankCorrelation) -> Cell:
    """Write a correlation and its interval."""
    return Cell(wording.signed(found.value), wording.interval(found.low, found.high, sign=True))
