"""Scores with and without sinks -> what sinks draw, where they lie, and what is left without them."""

import numpy as np

from headimpact.report import wording
from headimpact.report.figures.head_map import HeadMapPanel, render_head_map, render_scale
from headimpact.report.page import Cell, Panel, Row, Section, Table
from headimpact.report.ranking import highest, rank_heads
from headimpact.scoring import WITHOUT_SINKS
from headimpact.scoring.head_scores import HeadScores
from headimpact.scoring.rank_agreement import spearman, top_overlap
from headimpact.selection.budget import default_layer_count

TITLE = "What is left without sinks?"

NONE_FOUND = (
    "No picture has a sink: no image token draws more than ten times its share of the area in half of the heads. "
    "Without sinks every score is what it is with them."
)


def sink_section(scores: HeadScores) -> Section | None:
    """Describe a run that was scored with and without sinks; None for others.

    Args:
        scores: The run's own score, the others in it.
    """
    every = {scores.score: scores, **scores.others}
    pairs = [(one, every[name + WITHOUT_SINKS]) for name, one in every.items() if name + WITHOUT_SINKS in every]
    share = every.get("sink_share")
    if not pairs or share is None:
        return None
    drawn = share.values["sink_share"]
    if not np.nan_to_num(drawn).any():
        return Section(TITLE, findings=(NONE_FOUND,), panels=(), tables=())
    return Section(
        TITLE,
        findings=(what_they_draw(drawn), *where_they_lie(scores)),
        panels=(share_panel(drawn),),
        tables=(with_and_without(pairs),),
    )


def what_they_draw(drawn: np.ndarray) -> str:
    """Say how much attention goes to sinks."""
    place = rank_heads(drawn, count=1)[0][0]
    return (
        f"Sinks, image tokens that draw more than ten times their share of the area in half of the heads, take "
        f"{wording.percent(float(np.nanmean(drawn)))} of a head's attention to the picture on average, and "
        f"{wording.percent(float(drawn[place]))} in head {place[1]} of layer {place[0]}."
    )


def where_they_lie(scores: HeadScores) -> tuple[str, ...]:
    """Say what a head that looked at the sinks alone would have: whether sinks lie on the key objects."""
    found = {name: float(value) for name, value in scores.baseline_statistics.get("sinks", {}).items()}
    if not np.isfinite(found.get("gap", np.nan)):
        return ()
    ends = wording.interval(found["gap_low"], found["gap_high"], sign=True)
    gap = f"a gap of {wording.signed(found['gap'])}{f' ({ends})' if ends else ''}"
    said = (
        f"A head that looked at the sinks alone would have a {wording.metric_name(scores.score)} of "
        f"{wording.number(found[scores.score])}, where chance gives {wording.number(found['null_mean'])}: {gap}."
    )
    if found["gap_low"] > 0:
        said += " They lie on the key objects more than chance has it, so part of what heads look for goes with them."
    return (said,)


def share_panel(drawn: np.ndarray) -> Panel:
    """Draw the share of every head."""
    label = "Share of each head's attention to the picture that sinks draw, a map of layers by heads."
    shown = HeadMapPanel(values=drawn, low=0.0, high=highest(drawn), scale="sequential", label=label)
    texts = [
        [f"layer {layer}, head {head}: {wording.percent(float(value))}" for head, value in enumerate(row)]
        for layer, row in enumerate(drawn)
    ]
    picture = render_head_map(shown, tooltips=texts)
    return Panel("Sink share", "of attention to the picture", picture, render_scale(shown))


def with_and_without(pairs: list[tuple[HeadScores, HeadScores]]) -> Table:
    """List every score's best head and layers with and, below, without sinks, and how far the two agree."""
    head = ("Score", "Best head", "Gap", "Best layers", "Rank correlation")
    rows = []
    for one, other in pairs:
        k = default_layer_count(len(one.architecture.attention_layers))
        values, rest = one.values[one.score], other.values[other.score]
        layers = (one.layer_values[one.score], other.layer_values[other.score])
        correlation = spearman(values.ravel().astype(np.float64), rest.ravel().astype(np.float64))
        shared = top_overlap(*layers, k=k) if all(np.isfinite(part).any() for part in layers) else None
        agree = Cell(wording.signed(correlation), f"{wording.percent(shared)} of layers in common")
        rows += [
            Row(wording.heading(one.score), (*_found(one, k=k), Cell(""))),
            Row("without sinks", (*_found(other, k=k), agree)),
        ]
    return Table("With and without sinks", head, tuple(rows))


def _found(scores: HeadScores, *, k: int) -> tuple[Cell, ...]:
    """Write the best head with its gap, and the best layers."""
    best, _ = rank_heads(scores.values[scores.score], count=1)
    if not best:
        return (Cell(wording.MISSING),) * 3
    place = best[0]
    gap, low, high = (float(scores.values[name][place]) for name in ("gap", "gap_low", "gap_high"))
    top, _ = rank_heads(scores.layer_values[scores.score][:, None], count=k)
    return (
        Cell(wording.number(float(scores.values[scores.score][place])), f"head {place[0]}.{place[1]}"),
        Cell(wording.signed(gap), wording.interval(low, high, sign=True)),
        Cell(wording.listed(sorted(layer for layer, _ in top))),
    )
