"""Layer x head map: one square per attention head, layers from top to bottom."""

import dataclasses
from collections.abc import Collection
from typing import Literal

import numpy as np
from jaxtyping import Bool
from markupsafe import Markup

from headimpact.core.shapes import HeadValues
from headimpact.report.figures.colours import STEPS, is_far_end, step_of
from headimpact.report.figures.svg import drawing, element, nice_ticks, numbers_shown, short, text
from headimpact.report.wording import MINUS

Scale = Literal["sequential", "signed"]
_LEFT, _TOP = 30.0, 4.0


@dataclasses.dataclass(frozen=True)
class HeadMapPanel:
    """What one map shows.

    Attributes:
        values: One number per head; NaN is hatched.
        low: Value at the low end of the colour scale.
        high: Value at the high end.
        scale: `sequential` for shares, `signed` for differences around zero.
        label: What a screen reader says.
    """

    values: HeadValues
    low: float
    high: float
    scale: Scale
    label: str


def render_head_map(
    panel: HeadMapPanel,
    *,
    tooltips: list[list[str]],
    marked: Bool[np.ndarray, "layers heads"] | None = None,
    chosen_layers: Collection[int] = (),
) -> Markup:
    """Draw one map.

    Args:
        panel: Values, colour scale and label.
        tooltips: Text for each head, by layer.
        marked: Heads that carry a dot (those beyond chance).
        chosen_layers: Layers whose number is set off.

    Returns:
        An `<svg>`; its natural width is below 300 pixels for any number of heads.
    """
    num_layers, num_heads = panel.values.shape
    size = min(26.0, max(6.0, 256.0 / num_heads))
    cells = []
    for layer_idx in range(num_layers):
        for head_idx in range(num_heads):
            x, y = _LEFT + head_idx * size, _TOP + layer_idx * size
            dotted = marked is not None and bool(marked[layer_idx, head_idx])
            tooltip = tooltips[layer_idx][head_idx]
            cells.append(_cell(panel, float(panel.values[layer_idx, head_idx]), (x, y, size), tooltip, dotted))
    bottom = _TOP + num_layers * size
    labels = [
        _layer_label(layer_idx, _TOP + (layer_idx + 0.5) * size, layer_idx in chosen_layers)
        for layer_idx in numbers_shown(num_layers, size, 12.0, always=chosen_layers)
    ]
    labels += [
        text(_LEFT + (head_idx + 0.5) * size, bottom + 14, str(head_idx), anchor="middle")
        for head_idx in numbers_shown(num_heads, size, 18.0)
    ]
    width = _LEFT + num_heads * size + 4
    labels.append(text(_LEFT, bottom + 29, "head", class_="axis"))
    labels.append(text(_LEFT - 9, bottom + 14, "layer", class_="axis", anchor="end"))
    return drawing((width, bottom + 34), panel.label, *cells, *labels, class_="figure head-map")


def render_scale(panel: HeadMapPanel) -> Markup:
    """Draw the colour scale of a map with its ticks.

    Args:
        panel: The map it belongs to.

    Returns:
        An `<svg>`, 250 pixels wide.
    """
    left, width, height = 12.0, 226.0, 8.0
    step = width / STEPS
    letter = _letter(panel.scale)
    bars = [
        element(
            "rect",
            class_=f"{letter}{i}",
            x=left + i * step,
            y=2.0,
            width=step + (1.0 if i < STEPS - 1 else 0.0),
            height=height,
        )
        for i in range(STEPS)
    ]
    ticks = nice_ticks(panel.low, panel.high, count=4)
    span = panel.high - panel.low
    labels = [
        text(
            left + (width * (tick - panel.low) / span if span > 0 else 0.0),
            24,
            _tick(tick, panel.scale),
            anchor="middle",
        )
        for tick in ticks
    ]
    label = f"Colour scale from {short(panel.low)} to {short(panel.high)}"
    return drawing((250.0, 28.0), label, *bars, *labels, class_="figure scale")


def _cell(panel: HeadMapPanel, value: float, place: tuple[float, float, float], tooltip: str, dotted: bool) -> Markup:
    """Draw one head: a coloured square, or a hatched one where it has no value."""
    x, y, size = place
    gap = 1.0 if size >= 12 else 0.5
    side = size - gap
    title = element("title", tooltip)
    if not np.isfinite(value):
        strokes = " ".join(
            f"M{short(x + side * start)} {short(y + side * end)}L{short(x + side * end)} {short(y + side * start)}"
            for start, end in ((0.0, 0.5), (0.0, 1.0), (0.5, 1.0))
        )
        frame = element("rect", class_="empty", x=x, y=y, width=side, height=side)
        return element("g", title, frame, element("path", class_="hatch", d=strokes), class_="cell")
    step = step_of(value, panel.low, panel.high)
    square = element("rect", class_=f"{_letter(panel.scale)}{step}", x=x, y=y, width=side, height=side)
    if not dotted:
        return element("g", title, square, class_="cell")
    tone = "mark-on" if is_far_end(step, panel.scale) else "mark"
    dot = element("circle", class_=tone, cx=x + side / 2, cy=y + side / 2, r=max(1.2, min(2.2, size * 0.11)))
    return element("g", title, square, dot, class_="cell")


def _layer_label(layer_idx: int, middle: float, chosen: bool) -> Markup:
    """Write a layer's number, set off where the layer is chosen."""
    number = text(_LEFT - 9, middle + 3.6, str(layer_idx), class_="tick chosen" if chosen else "tick", anchor="end")
    if not chosen:
        return number
    flag = element("rect", class_="chosen", x=_LEFT - 5.5, y=middle - 4.5, width=2.5, height=9.0)
    return element("g", number, flag)


def _letter(scale: Scale) -> str:
    """Give the CSS letter of a scale."""
    return "q" if scale == "sequential" else "d"


def _tick(value: float, scale: Scale) -> str:
    """Write a tick; differences carry their sign."""
    written = short(value)
    if scale == "signed":
        return written.replace("-", MINUS) if value <= 0 else f"+{written}"
    return written
