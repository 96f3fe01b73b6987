"""Dot plot of the arms of a comparison: every draw a dot, the mean a bar, its interval a line."""

import dataclasses
from collections.abc import Sequence

from markupsafe import Markup

from headimpact.report.figures.svg import drawing, element, nice_ticks, short, text

_TOP, _BOTTOM = 8.0, 38.0


@dataclasses.dataclass(frozen=True)
class ArmRow:
    """One arm of the comparison.

    Attributes:
        label: Name shown.
        points: (value, tooltip) of each draw or seed.
        mean: Mean over the points, or None.
        low: Lower end of its interval, or None.
        high: Upper end, or None.
        is_top: Whether this is the arm that the verdict is about.
    """

    label: str
    points: Sequence[tuple[float, str]]
    mean: float | None
    low: float | None
    high: float | None
    is_top: bool


@dataclasses.dataclass(frozen=True)
class ArmPlot:
    """What the plot shows.

    Attributes:
        rows: Arms from top to bottom.
        axis: Name of the measure.
        reference: Value of the untuned model, drawn as a line, or None.
        label: What a screen reader says.
    """

    rows: Sequence[ArmRow]
    axis: str
    reference: float | None
    label: str


def render_arm_dots(plot: ArmPlot, *, width: float = 680.0) -> Markup:
    """Draw the plot.

    Args:
        plot: Arms, axis and texts.
        width: Natural width in pixels; below 500 the names stand above their rows.

    Returns:
        An `<svg>`.
    """
    narrow = width < 500
    left = 10.0 if narrow else 128.0
    low, high = _limits(plot)
    axis = _Axis(left + 6, width - 14, low, high)
    y = _TOP
    parts: list[Markup] = []
    for row in plot.rows:
        radius = 4.2 if len(row.points) <= 24 else 2.9
        places = _swarm([axis.x(value) for value, _ in row.points], radius)
        room = 2 * max((abs(offset) for offset in places), default=0.0) + 2 * radius + 10
        head = 17.0 if narrow else 0.0
        middle = y + head + room / 2
        label_at = (left - 4, y + 11) if narrow else (left - 12, middle + 4)
        parts.append(_row(axis, row, (places, radius), middle))
        name_class = "arm chosen" if row.is_top else "arm"
        parts.append(text(*label_at, row.label, class_=name_class, anchor="start" if narrow else "end"))
        y = middle + room / 2 + 4
    bottom = y + 2
    back = [_tick_line(axis, tick, bottom) for tick in nice_ticks(low, high, count=4 if narrow else 6)]
    if plot.reference is not None:
        x = axis.x(plot.reference)
        back.append(element("line", class_="reference", x1=x, x2=x, y1=_TOP, y2=bottom))
    name = text(axis.right, bottom + 31, plot.axis, class_="axis", anchor="end")
    return drawing((width, bottom + _BOTTOM), plot.label, *back, *parts, name, class_="figure arm-dots")


@dataclasses.dataclass(frozen=True)
class _Axis:
    """Where values lie from left to right."""

    left: float
    right: float
    low: float
    high: float

    def x(self, value: float) -> float:
        """Place a value."""
        return self.left + (self.right - self.left) * (value - self.low) / (self.high - self.low)


def _limits(plot: ArmPlot) -> tuple[float, float]:
    """Give the ends of the axis: everything shown, and a little air."""
    shown = [value for row in plot.rows for value, _ in row.points]
    shown += [end for row in plot.rows for end in (row.mean, row.low, row.high) if end is not None]
    shown += [plot.reference] if plot.reference is not None else []
    low, high = (min(shown), max(shown)) if shown else (0.0, 1.0)
    air = 0.04 * (high - low) if high > low else 0.5 * abs(high) or 0.5
    return (low - air if low < 0 or low > 2 * air else min(low, 0.0)), high + air


def _row(axis: _Axis, row: ArmRow, swarm: tuple[Sequence[float], float], middle: float) -> Markup:
    """Draw an arm's interval, dots (their shifts and radius given) and mean."""
    places, radius = swarm
    kind = "top" if row.is_top else "other"
    parts: list[Markup] = []
    if row.low is not None and row.high is not None:
        ends = {"x1": axis.x(row.low), "x2": axis.x(row.high)}
        parts.append(element("line", class_=f"arm-interval {kind}", y1=middle, y2=middle, **ends))
    for (value, tooltip), offset in zip(row.points, places, strict=True):
        title = element("title", tooltip)
        x = axis.x(value)
        parts.append(element("circle", title, class_=f"dot {kind}", cx=x, cy=middle + offset, r=radius))
    if row.mean is not None and len(row.points) != 1:
        x, half = axis.x(row.mean), 9.0
        title = element("title", f"{row.label}: mean {short(row.mean)}")
        parts.append(element("line", title, class_=f"arm-mean {kind}", x1=x, x2=x, y1=middle - half, y2=middle + half))
    return element("g", *parts)


def _tick_line(axis: _Axis, value: float, bottom: float) -> Markup:
    """Draw a faint upright line and its number."""
    x = axis.x(value)
    line = element("line", class_="grid", x1=x, x2=x, y1=_TOP, y2=bottom)
    return element("g", line, text(x, bottom + 14, short(value), anchor="middle"))


def _swarm(xs: Sequence[float], radius: float) -> list[float]:
    """Shift dots up and down so that none covers another, nearest free place first.

    Dots keep their place along the axis; equal input gives equal output.
    """
    offsets = [0.0] * len(xs)
    done: list[int] = []
    step, apart = radius * 0.5, 2 * radius + 0.8
    for index in sorted(range(len(xs)), key=lambda i: xs[i]):
        near = [other for other in done if xs[index] - xs[other] < apart]
        for turn in range(2 * len(xs) * 5 + 1):
            offset = step * ((turn + 1) // 2) * (1 if turn % 2 else -1)
            if all((xs[index] - xs[o]) ** 2 + (offset - offsets[o]) ** 2 >= apart**2 - 1e-9 for o in near):
                offsets[index] = offset
                break
        done.append(index)
    return offsets
