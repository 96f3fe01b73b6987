"""Scoring run -> head maps, layer bars, their tables and captions."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from headimpact.report import wording
from headimpact.report.figures.head_map import HeadMapPanel, Scale, render_head_map, render_scale
from headimpact.report.figures.layer_bars import LayerBars, render_layer_bars
from headimpact.report.figures.svg import element
from headimpact.report.page import Cell, Drawings, LegendKey, Panel, Row, Table
from headimpact.report.ranking import LEVEL, beyond_chance, highest, rank_heads
from headimpact.report.sections.baselines import NAMES, baseline_rows, number_cells
from headimpact.scoring.head_scores import HeadScores

LAYER_RULES = {"mean": "The mean over a layer's heads.", "max": "The best of a layer's heads."}

HELD_AGAINST = "what it is held against; the gap is score minus chance, each rounded by itself"
"""Ends the captions of the tables."""

SHORT_NAMES = {"head_impact": "HI"}
"""Scores by their short names, for tooltips."""

BROAD, NARROW = 680.0, 340.0
"""Natural widths of the drawings for a desk and for a phone."""

Values = Mapping[str, np.ndarray]
_BAR_CAPTION = (
    "Chance is the same attention held against the objects of other pictures; the "
    "interval is that of the gap above chance, a bootstrap over pictures."
)


def summary(scores: HeadScores) -> str:
    """Say which head looks most, how much of that holds on other pictures, and what random weights reach."""
    return " ".join(text for text in (strongest_head(scores), held_out(scores), twin_best(scores)) if text)


def looking_heads(scores: HeadScores) -> str:
    """Say how many heads look at the key objects beyond chance."""
    q = scores.values["q"]
    looking = int(beyond_chance(q).sum())
    if not looking:
        return f"None of the {q.size} heads looks at the key objects more than chance would have it (q ≤ {LEVEL})."
    look = "looks" if looking == 1 else "look"
    return f"{looking} of {q.size} heads {look} at the key objects more than chance would have it (q ≤ {LEVEL})."


def strongest_head(scores: HeadScores) -> str:
    """Say which head looks most at the key objects."""
    values = scores.values[scores.score]
    best, _ = rank_heads(values, count=1)
    if not best:
        return "No head has a score: none of them sees the picture often enough."
    layer_idx, head_idx = best[0]
    value, chance = wording.number(values[best[0]]), wording.number(scores.values["null_mean"][best[0]])
    if scores.score == "head_impact":
        overlap = f"where it looks overlaps the key object by {value} (mean IoU), where chance gives {chance}"
    else:
        overlap = f"its {wording.metric_name(scores.score)} is {value}, where chance gives {chance}"
    return f"The strongest is head {head_idx} of layer {layer_idx}: {overlap}."


def held_out(scores: HeadScores) -> str:
    """Say how good the best head is on pictures it was not picked on; empty where that is not known."""
    halves = [_held_out_half(scores.score, half) for half in scores.held_out]
    if not halves:
        return ""
    turned = f"; the other way round, {halves[1]}" if len(halves) > 1 else ""
    return f"Picked on one half of the pictures and measured on the other, {halves[0]}{turned}."


def twin_best(scores: HeadScores) -> str:
    """Say what the best head of the untrained twin reaches; empty without a twin."""
    twin = twin_values(scores)
    best = () if twin is None else rank_heads(twin, count=1)[0]
    return (
        f"With random weights the best head has {wording.number(twin[best[0]])}." if twin is not None and best else ""
    )


def _held_out_half(score: str, half: Mapping[str, Any]) -> str:
    """Write the best head of one half, measured on the other."""
    gap = wording.signed(half["gap"])
    ends = wording.interval(half["gap_low"], half["gap_high"], sign=True)
    head = f"head {half['head_idx']} of layer {half['layer_idx']}"
    return f"{head} has {wording.number(half[score])}, a gap of {gap} ({ends})"


def head_panels(scores: HeadScores, *, chosen_layers: Collection[int]) -> tuple[Panel, ...]:
    """Draw Head Impact, its chance level, the gap, and the untrained twin where there is one."""
    values, name = scores.values, wording.heading(scores.score)
    twin = twin_values(scores)
    shared = highest(values[scores.score], values["null_mean"], *([twin] if twin is not None else []))
    reach = highest(values["gap"], size_only=True)
    marked = beyond_chance(values["q"])

    def panel(
        title: str,
        note: str,
        array: np.ndarray,
        *,
        scale: Scale = "sequential",
        dots: bool = False,
        shown_by: HeadScores = scores,
    ) -> Panel:
        low, high = (0.0, shared) if scale == "sequential" else (-reach, reach)
        size = f"{array.shape[0]} layers by {array.shape[1]} heads"
        label = f"{title}, a map of {size}; {note}. The table below has its numbers."
        shown = HeadMapPanel(values=array, low=low, high=high, scale=scale, label=label)
        texts = head_texts(shown_by)
        picture = render_head_map(shown, tooltips=texts, marked=marked if dots else None, chosen_layers=chosen_layers)
        return Panel(title, note, picture, render_scale(shown))

    panels = [
        panel(name, "on the key objects", values[scores.score], dots=True),
        panel("Chance", "on other pictures' objects", values["null_mean"]),
        panel("Gap", f"{name} minus chance", values["gap"], scale="signed"),
    ]
    if scores.baseline is not None and twin is not None:
        panels.append(panel("Untrained twin", f"{name} with random weights", twin, shown_by=scores.baseline))
    return tuple(panels)


def map_caption(scores: HeadScores, *, chosen_layers: Collection[int]) -> str:
    """Explain the maps."""
    values = scores.values[scores.score]
    parts = [
        "One square per attention head, layers from the first (top) to the last.",
        f"A dot marks a head beyond chance (q ≤ {LEVEL} after Benjamini-Hochberg over all heads).",
    ]
    if not np.isfinite(values).all():
        parts.append("Hatched heads have no score: they see too little of the picture.")
    if chosen_layers:
        parts.append("The numbers of the chosen layers are set in orange.")
    parts.append(f"Scored on {wording.plural(scores.counts['used'], 'picture')}.")
    return " ".join(parts)


def head_texts(scores: HeadScores) -> list[list[str]]:
    """Write the tooltip of every head."""
    num_layers, num_heads = scores.values[scores.score].shape
    return [[_head_text(scores, layer, head) for head in range(num_heads)] for layer in range(num_layers)]


def head_table(scores: HeadScores) -> Table:
    """List every head with its numbers."""
    num_layers, num_heads = scores.values[scores.score].shape
    rows = tuple(
        Row(f"layer {layer}, head {head}", _cells(scores, scores.values, (layer, head)))
        for layer in range(num_layers)
        for head in range(num_heads)
    )
    name = wording.heading(scores.score)
    head = ("Head", name, "Chance", "Gap", "z", "q")
    return Table(f"{name} of every head, after {HELD_AGAINST}", head, (*baseline_rows(scores), *rows))


def layer_table(scores: HeadScores, *, chosen_layers: Collection[int]) -> Table:
    """List every layer with its numbers."""
    rows = tuple(
        Row(f"layer {layer}", _cells(scores, scores.layer_values, (layer,)), is_top=layer in chosen_layers)
        for layer in range(len(scores.layer_values[scores.score]))
    )
    name = wording.heading(scores.score)
    head = ("Layer", name, "Chance", "Gap", "z", "q")
    held_against = baseline_rows(scores, by_layer=True)
    return Table(f"{name} of every layer, after {HELD_AGAINST}", head, (*held_against, *rows))


def layer_bars(scores: HeadScores, *, chosen_layers: Collection[int]) -> Drawings:
    """Draw the layers' Head Impact twice, for a desk and for a phone."""
    values, name = scores.layer_values, wording.heading(scores.score)
    bars = LayerBars(
        values=values[scores.score],
        chance=values["null_mean"],
        low=values["null_mean"] + values["gap_low"],
        high=values["null_mean"] + values["gap_high"],
        twin=twin_layer_values(scores),
        baselines=baseline_lines(scores),
        tooltips=[_layer_text(scores, layer) for layer in range(len(values[scores.score]))],
        label=f"{name} of each layer beside its chance level; the table below has its numbers.",
    )
    return Drawings(
        broad=render_layer_bars(bars, width=BROAD, chosen_layers=chosen_layers),
        narrow=render_layer_bars(bars, width=NARROW, chosen_layers=chosen_layers),
    )


def bar_caption(scores: HeadScores) -> str:
    """Explain the layer bars."""
    rule = str(scores.options.get("layer_aggregation", ""))
    how = LAYER_RULES.get(rule, f"A layer's heads put together by {rule}." if rule else "")
    return f"{how} {_BAR_CAPTION}".strip()


def bar_legend(scores: HeadScores, *, chosen_layers: Collection[int]) -> tuple[LegendKey, ...]:
    """List what the marks of the layer bars mean, only those that are there."""
    keys = []
    if chosen_layers:
        keys.append(_key(element("rect", class_="bar chosen", x=3, y=1, width=12, height=13), "chosen layer"))
    keys += [
        _key(
            element("rect", class_="bar plain", x=3, y=1, width=12, height=13),
            "other layer" if chosen_layers else "layer",
        ),
        _key(element("line", class_="interval", x1=9, x2=9, y1=0, y2=14), f"95{wording.NBSP}% interval"),
        _key(element("line", class_="chance", x1=0, x2=18, y1=7, y2=7), "chance"),
    ]
    if twin_layer_values(scores) is not None:
        keys.append(_key(element("path", class_="twin", d="M4.5 7L9 2.5L13.5 7L9 11.5Z"), "untrained twin"))
    for index, name in enumerate(baseline_lines(scores)):
        keys.append(_key(element("line", class_=f"baseline b{index % 2}", x1=0, x2=18, y1=7, y2=7), name))
    return tuple(keys)


def twin_values(scores: HeadScores) -> np.ndarray | None:
    """Give the untrained twin's Head Impact by head, where it was scored."""
    return None if scores.baseline is None else scores.baseline.values[scores.score]


def twin_layer_values(scores: HeadScores) -> np.ndarray | None:
    """Give the untrained twin's Head Impact by layer, where it was scored."""
    return None if scores.baseline is None else scores.baseline.layer_values[scores.score]


def baseline_lines(scores: HeadScores) -> dict[str, float]:
    """Give the baselines that need no model and have a value, by the name shown; no sinks, no value."""
    return {NAMES.get(name, name): float(value) for name, value in scores.baselines.items() if np.isfinite(value)}


def _cells(scores: HeadScores, values: Values, place: tuple[int, ...]) -> tuple[Cell, ...]:
    """Write one head's or layer's numbers."""
    return number_cells(scores.score, {name: float(array[place]) for name, array in values.items()})


def _head_text(scores: HeadScores, layer: int, head: int) -> str:
    """Write one head's tooltip."""
    return f"layer {layer}, head {head}: {_numbers(scores, scores.values, (layer, head))}"


def _layer_text(scores: HeadScores, layer: int) -> str:
    """Write one layer's tooltip."""
    return f"layer {layer}: {_numbers(scores, scores.layer_values, (layer,))}"


def _numbers(scores: HeadScores, values: Values, place: tuple[int, ...]) -> str:
    """Write Head Impact, chance, gap with interval, and q in a row."""
    value = float(values[scores.score][place])
    if not np.isfinite(value):
        return "no score"
    gap = wording.signed(float(values["gap"][place]))
    ends = wording.interval(float(values["gap_low"][place]), float(values["gap_high"][place]), sign=True)
    chance = wording.number(float(values["null_mean"][place]))
    q = wording.probability(float(values["q"][place]))
    short_name = SHORT_NAMES.get(scores.score, wording.metric_name(scores.score))
    return f"{short_name} {wording.number(value)}, chance {chance}, gap {gap} ({ends}), q {q}"


def _key(mark: Markup, name: str) -> LegendKey:
    """Draw a swatch of the legend."""
    return LegendKey(element("svg", mark, viewBox="0 0 18 14", aria_hidden="true"), name)
