"""Several scores of one run -> what each finds, and how far they agree."""

from collections.abc import Callable, Sequence

import numpy as np

from headimpact.report import wording
from headimpact.report.figures.agreement_matrix import AgreementPanel, render_agreement_matrix
from headimpact.report.figures.head_map import HeadMapPanel, render_scale
from headimpact.report.page import Cell, Drawings, MatrixPanel, Row, SeveralScores, Table
from headimpact.report.ranking import Head, beyond_chance, rank_heads
from headimpact.report.sections.baselines import NAMES
from headimpact.scoring import is_variant
from headimpact.scoring.agreement import DEPTH, ScoreAgreement
from headimpact.scoring.depth import depth_alone
from headimpact.scoring.head_scores import HeadScores
from headimpact.selection.budget import default_layer_count

BROAD, NARROW = 460.0, 340.0
"""Natural widths of a matrix for a desk, where two stand side by side, and for a phone."""

COLUMNS = {"uniform": "Even", "centre": "Centre", "sinks": "Sinks"}
"""Maps that no head has, in a word each: on a phone there is room for no more."""


def several_scores(scores: HeadScores, agreement: ScoreAgreement | None) -> SeveralScores | None:
    """Describe a run's scores beside one another.

    Args:
        scores: The run's own score, the others in it.
        agreement: How far they agree; None where the run does not say.

    Returns:
        Findings, matrices and tables; None where the run has one score alone.
    """
    others = [other for name, other in scores.others.items() if not is_variant(name)]
    if not others:
        return None
    every = (scores, *others)
    k = _layers_shown(scores, agreement)
    tables: tuple[Table, ...] = (score_table(every, k=k), baseline_table(every))
    if agreement is None:
        return SeveralScores(findings=(), panels=(), caption="", tables=tables)
    return SeveralScores(
        findings=findings(agreement),
        panels=(correlation_panel(agreement), overlap_panel(agreement)),
        caption=caption(agreement),
        tables=(*tables, correlation_table(agreement)),
    )


def findings(agreement: ScoreAgreement) -> tuple[str, ...]:
    """Say which score ranks the heads most and least like the run's own, and what depth alone would rank."""
    own = wording.metric_name(agreement.names[0])
    others = [place for place in range(1, len(agreement.names) - 1) if np.isfinite(agreement.correlation[0, place])]
    said = []
    if others:
        ordered = sorted(others, key=lambda place: -agreement.correlation[0, place])
        most, least = ordered[0], ordered[-1]
        text = (
            f"{_name(agreement, most)} ranks the heads most like {own} (rank correlation {_numbers(agreement, most)})"
        )
        if least != most:
            text += f", {wording.metric_name(agreement.names[least])} the least ({_numbers(agreement, least)})"
        said.append(f"{text}.")
    depth = len(agreement.names) - 1
    if np.isfinite(agreement.correlation[0, depth]):
        value = wording.number(float(agreement.correlation[0, depth]))
        ends = wording.interval(float(agreement.low[0, depth]), float(agreement.high[0, depth]))
        said.append(f"The layer number by itself has {value}{f' ({ends})' if ends else ''} with {own}.")
    return tuple(said)


def correlation_panel(agreement: ScoreAgreement) -> MatrixPanel:
    """Draw the rank correlations over heads."""
    return _panel(
        agreement,
        agreement.correlation,
        title="Rank correlation over heads",
        note=f"Spearman, {wording.plural(agreement.num_heads, 'head')}",
        ends=(-1.0, 1.0),
    )


def overlap_panel(agreement: ScoreAgreement) -> MatrixPanel:
    """Draw the share of the best layers that scores have in common."""
    chance = wording.number(agreement.k / agreement.num_layers) if agreement.num_layers else wording.MISSING
    return _panel(
        agreement,
        agreement.overlap,
        title="The best layer in common" if agreement.k == 1 else f"The {agreement.k} best layers in common",
        note=f"a share; {chance} of unrelated ones",
        ends=(0.0, 1.0),
    )


def caption(agreement: ScoreAgreement) -> str:
    """Explain the matrices."""
    range_ = (
        "Tooltips and the table have 95 % intervals, a bootstrap over pictures."
        if agreement.images > 1
        else "One picture alone gives no interval."
    )
    return (
        f"One square for every two scores, on {wording.plural(agreement.images, 'picture')}. {range_} The last row is "
        "the layer number: a score that agrees with it may know no more than how deep a head is."
    )


def score_table(every: Sequence[HeadScores], *, k: int) -> Table:
    """List what each score finds, beside its chance level."""
    head = ("Score", "Best head", "Chance", "Gap", "Heads beyond chance", "Best layers")
    rows = _rows(every, lambda scores, best: _found(scores, best, k=k), columns=len(head) - 1)
    return Table("What each score finds", head, rows)


def baseline_table(every: Sequence[HeadScores]) -> Table:
    """List what each score's best head is held against: random weights, maps that no head has, depth alone."""
    maps = [name for name in NAMES if any(np.isfinite(scores.baselines.get(name, np.nan)) for scores in every)]
    twin = any(scores.baseline is not None for scores in every)
    head = ("Score", "Best head", *(("Twin",) if twin else ()), *(COLUMNS[name] for name in maps), "Depth")
    against = (*(("the untrained twin's best",) if twin else ()), *(NAMES[name] for name in maps), "depth alone")
    caption = (
        f"What its best head is held against: {wording.joined(against)}, with the share of the variance that depth "
        "explains"
    )
    rows = _rows(every, lambda scores, best: _held_against(scores, best, maps, twin=twin), columns=len(head) - 1)
    return Table(caption, head, rows)


def correlation_table(agreement: ScoreAgreement) -> Table:
    """List the rank correlations with the run's own score, and the layers in common with it."""
    rows = tuple(
        Row(
            _name(agreement, place),
            (
                Cell(
                    wording.signed(float(agreement.correlation[0, place])),
                    wording.interval(float(agreement.low[0, place]), float(agreement.high[0, place]), sign=True),
                ),
                Cell(wording.number(float(agreement.overlap[0, place]))),
            ),
        )
        for place in range(1, len(agreement.names))
    )
    own = wording.heading(agreement.names[0])
    shared = "best layer in common" if agreement.k == 1 else f"{agreement.k} best layers in common"
    return Table(f"How far the others agree with {own}", ("Score", "Rank correlation over heads", shared), rows)


def _panel(
    agreement: ScoreAgreement, values: np.ndarray, *, title: str, note: str, ends: tuple[float, float]
) -> MatrixPanel:
    """Draw one matrix with its scale."""
    names = [_name(agreement, place) for place in range(len(agreement.names))]
    texts = [[_pair_text(agreement, row, column) for column in range(len(names))] for row in range(len(names))]
    signed = ends[0] < 0
    label = f"{title} of {len(names)} scores; the table below has the numbers."
    shown = AgreementPanel(names, values, *ends, "signed" if signed else "sequential", texts, label)
    scale = HeadMapPanel(values=values, low=ends[0], high=ends[1], scale=shown.scale, label=label)
    drawn = Drawings(render_agreement_matrix(shown, width=BROAD), render_agreement_matrix(shown, width=NARROW))
    return MatrixPanel(title, note, drawn, render_scale(scale))


def _rows(
    every: Sequence[HeadScores], write: Callable[[HeadScores, Head], tuple[Cell, ...]], *, columns: int
) -> tuple[Row, ...]:
    """Write a row for each score and its best head; dashes, and the reason, where it ranks none."""
    rows = []
    for scores in every:
        best, _ = rank_heads(scores.values[scores.score], count=1)
        if best and not scores.why_unranked:
            cells = write(scores, best[0])
        else:
            cells = (Cell(wording.MISSING, scores.why_unranked or ""), *(Cell(wording.MISSING),) * (columns - 1))
        rows.append(Row(wording.heading(scores.score), cells))
    return tuple(rows)


def _found(scores: HeadScores, best: Head, *, k: int) -> tuple[Cell, ...]:
    """Write what one score finds."""
    values = scores.values
    top, _ = rank_heads(scores.layer_values[scores.score][:, None], count=k)
    has_chance = bool(np.isfinite(values["gap"]).any())
    gap = [float(values[name][best]) for name in ("gap", "gap_low", "gap_high")]
    return (
        Cell(wording.number(float(values[scores.score][best])), f"head {best[0]}.{best[1]}"),
        Cell(wording.number(float(values["null_mean"][best])) if has_chance else wording.MISSING),
        Cell(wording.signed(gap[0]), wording.interval(gap[1], gap[2], sign=True)),
        Cell(f"{int(beyond_chance(values['q']).sum())} of {values['q'].size}" if has_chance else wording.MISSING),
        Cell(wording.listed(sorted(layer for layer, _ in top))),
    )


def _held_against(scores: HeadScores, best: Head, maps: Sequence[str], *, twin: bool) -> tuple[Cell, ...]:
    """Write what one score has without the model's training, without a model, and of depth alone."""
    values = scores.values[scores.score]
    depth = depth_alone(values)
    explained = np.nan if depth is None else depth.explained
    return (
        Cell(wording.number(float(values[best]))),
        *((Cell(_twin_best(scores)),) if twin else ()),
        *(Cell(wording.number(scores.baselines.get(name))) for name in maps),
        Cell(
            wording.number(None if depth is None else depth.best),
            wording.percent(max(explained, 0.0)) if np.isfinite(explained) else "",
        ),
    )


def _twin_best(scores: HeadScores) -> str:
    """Write the untrained twin's best head."""
    twin = None if scores.baseline is None else scores.baseline.values[scores.score]
    best = () if twin is None else rank_heads(twin, count=1)[0]
    return wording.number(float(twin[best[0]])) if twin is not None and best else wording.MISSING


def _layers_shown(scores: HeadScores, agreement: ScoreAgreement | None) -> int:
    """Say how many of the best layers are named."""
    return agreement.k if agreement is not None else default_layer_count(len(scores.architecture.attention_layers))


def _name(agreement: ScoreAgreement, place: int) -> str:
    """Write a score's name at the start of a line; the layer number's, too."""
    name = agreement.names[place]
    return "Layer number" if name == DEPTH else wording.heading(name)


def _numbers(agreement: ScoreAgreement, place: int, other: int = 0) -> str:
    """Write a correlation with its interval."""
    value, low, high = (float(part[other, place]) for part in (agreement.correlation, agreement.low, agreement.high))
    ends = wording.interval(low, high)
    return f"{wording.number(value)}, {ends}" if ends else wording.number(value)


def _pair_text(agreement: ScoreAgreement, row: int, column: int) -> str:
    """Write the tooltip of two scores."""
    pair = f"{_name(agreement, row)} and {_name(agreement, column)}"
    shared = wording.number(float(agreement.overlap[row, column]))
    return f"{pair}: rank correlation {_numbers(agreement, row, column)}; best layers in common {shared}"
