"""Scatter of a score against what it is to predict: one dot per head or layer."""

import dataclasses
from collections.abc import Sequence

from markupsafe import Markup

from headimpact.report.figures.svg import drawing, element, nice_ticks, short, text

_TOP, _BOTTOM, _RIGHT = 26.0, 42.0, 14.0


@dataclasses.dataclass(frozen=True)
class ScatterPoint:
    """One dot: where it lies, its tooltip, and whether it is set off."""

    x: float
    y: float
    tooltip: str
    is_top: bool = False


@dataclasses.dataclass(frozen=True)
class ScatterPlot:
    """What the plot shows.

    Attributes:
        points: The dots.
        x_axis: Name of what lies from left to right.
        y_axis: Name of what lies from bottom to top.
        label: What a screen reader says.
    """

    points: Sequence[ScatterPoint]
    x_axis: str
    y_axis: str
    label: str


def render_scatter(plot: ScatterPlot, *, width: float = 680.0) -> Markup:
    """Draw the plot.

    Args:
        plot: Dots, axes and texts.
        width: Natural width in pixels.

    Returns:
        An `<svg>`; dots that are set off come last, so that none of the others hides them.
    """
    narrow = width < 500
    left, height = 58.0, 280.0 if narrow else 320.0
    x = _Scale(left, width - _RIGHT, *_limits([point.x for point in plot.points]))
    y = _Scale(height - _BOTTOM, _TOP, *_limits([point.y for point in plot.points]))
    parts: list[Markup] = []
    for tick in nice_ticks(y.low, y.high, count=5):
        at = y.place(tick)
        parts.append(element("line", class_="grid", x1=left, x2=width - _RIGHT, y1=at, y2=at))
        parts.append(text(left - 8, at + 4, _tick(tick), anchor="end"))
    for tick in nice_ticks(x.low, x.high, count=4 if narrow else 6):
        at = x.place(tick)
        parts.append(element("line", class_="grid", x1=at, x2=at, y1=_TOP, y2=height - _BOTTOM))
        parts.append(text(at, height - _BOTTOM + 15, _tick(tick), anchor="middle"))
    if y.low < 0 < y.high:
        zero = y.place(0.0)
        parts.append(element("line", class_="reference", x1=left, x2=width - _RIGHT, y1=zero, y2=zero))
    for point in sorted(plot.points, key=lambda point: point.is_top):
        kind = "top" if point.is_top else "other"
        dot = {"cx": x.place(point.x), "cy": y.place(point.y), "r": 4.2 if len(plot.points) <= 120 else 2.9}
        parts.append(element("circle", element("title", point.tooltip), class_=f"dot {kind}", **dot))
    parts.append(text(left - 8 if narrow else left, 14, plot.y_axis, class_="axis"))
    parts.append(text(width - _RIGHT, height - 10, plot.x_axis, class_="axis", anchor="end"))
    return drawing((width, height), plot.label, *parts, class_="figure score-scatter")


@dataclasses.dataclass(frozen=True)
class _Scale:
    """Where values lie between two ends of the drawing."""

    first: float
    last: float
    low: float
    high: float

    def place(self, value: float) -> float:
        """Place a value."""
        return self.first + (self.last - self.first) * (value - self.low) / (self.high - self.low)


def _limits(values: Sequence[float]) -> tuple[float, float]:
    """Give the ends of an axis: everything shown, and a little air."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    air = 0.06 * (high - low) if high > low else 0.5 * abs(high) or 0.5
    return low - air, high + air


def _tick(value: float) -> str:
    """Write a tick with the digits it needs; small rises need three."""
    return short(value) if round(value, 2) == round(value, 4) else f"{value:.4f}".rstrip("0")
