"""Learning curves: the loss of every arm against the optimiser step, draws and seeds averaged."""

import dataclasses
import math
from collections.abc import Sequence

from markupsafe import Markup

from headimpact.report.figures.svg import drawing, element, nice_ticks, short, text

STROKES = {"top": "var(--accent)", "other": "var(--dot)"}

_LEFT, _TOP, _BELOW, _LABELS = 44.0, 20.0, 36.0, 118.0


@dataclasses.dataclass(frozen=True)
class LearningCurve:
    """One arm.

    Attributes:
        name: Name shown at its end.
        losses: Mean loss at each step.
        tooltip: What a pointer over the curve reads.
        is_top: Whether this is the arm that the verdict is about.
    """

    name: str
    losses: Sequence[float]
    tooltip: str
    is_top: bool


def render_learning_curves(curves: Sequence[LearningCurve], *, label: str, width: float = 680.0) -> Markup:
    """Draw the curves over one logarithmic axis of loss, their names at their ends.

    Args:
        curves: The arms, each with at least one loss, all above 0.
        label: What a screen reader says.
        width: Natural width in pixels; below 500 the drawing is lower.

    Returns:
        An `<svg>`.
    """
    height = 210.0 if width < 500 else 280.0
    right, bottom = width - _LABELS, _TOP + height
    shown = [math.log10(loss) for curve in curves for loss in curve.losses]
    low, high = min(shown), max(shown)
    low, high = (low - 0.05, high + 0.05) if high - low < 0.1 else (low, high)
    steps = max(len(curve.losses) for curve in curves)

    def x(step: int) -> float:
        return _LEFT + (right - _LEFT) * (step / (steps - 1) if steps > 1 else 0.5)

    def y(loss: float) -> float:
        return _TOP + height * (high - math.log10(loss)) / (high - low)

    parts = [_rule(y(10**tick), right, short_loss(10**tick)) for tick in _ticks(low, high)]
    parts += [
        text(x(int(tick) - 1), bottom + 15, str(int(tick)), anchor="middle")
        for tick in nice_ticks(1, steps, count=5)
        if tick == int(tick)
    ]
    parts.append(text(right, bottom + 30, "step", class_="axis", anchor="end"))
    parts.append(text(_LEFT, _TOP - 8, "loss (log scale)", class_="axis"))
    heights = _spread([y(curve.losses[-1]) for curve in curves], low=_TOP + 4, high=bottom)
    for curve, at in sorted(zip(curves, heights, strict=True), key=lambda pair: pair[0].is_top):
        path = "".join(
            f"{'L' if step else 'M'}{short(x(step))} {short(y(one))}" for step, one in enumerate(curve.losses)
        )
        kind = "top" if curve.is_top else "other"
        style = {"fill": "none", "stroke": STROKES[kind], "stroke_width": 2.2 if curve.is_top else 1.4}
        line = element("path", element("title", curve.tooltip), d=path, class_=f"curve {kind}", **style)
        name = text(right + 8, at + 4, curve.name, class_="arm chosen" if curve.is_top else "arm")
        parts.append(element("g", line, name))
    return drawing((width, bottom + _BELOW), label, *parts, class_="figure learning-curves")


def short_loss(loss: float) -> str:
    """Write a loss with two significant digits.

    Example:
        >>> [short_loss(loss) for loss in (3.16, 0.316, 0.0316)]
        ['3.2', '0.32', '0.032']
    """
    return f"{loss:.2g}"


def _ticks(low: float, high: float) -> list[float]:
    """Give the logarithms of round losses: 1, 2 and 5 times a power of ten, or both ends where none lies between."""
    exponents = range(math.floor(low), math.ceil(high) + 1)
    every = [math.log10(digit) + exponent for exponent in exponents for digit in (1, 2, 5)]
    return [tick for tick in every if low <= tick <= high] or [low, high]


def _rule(y: float, right: float, name: str) -> Markup:
    """Draw a faint line across and its number."""
    line = element("line", class_="grid", x1=_LEFT, x2=right, y1=y, y2=y)
    return element("g", line, text(_LEFT - 6, y + 3.8, name, anchor="end"))


def _spread(heights: Sequence[float], *, low: float, high: float, apart: float = 14.0) -> list[float]:
    """Move names apart that would lie over each other, keeping their order, within bounds where they fit."""
    order = sorted(range(len(heights)), key=lambda index: heights[index])
    placed = [0.0] * len(heights)
    last = low - apart
    for index in order:
        last = max(heights[index], last + apart)
        placed[index] = last
    for index in reversed(order):
        placed[index] = min(placed[index], high)
        high = placed[index] - apart
    return placed
