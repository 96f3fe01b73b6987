"""Stability curve: what a choice of layers may lose, and how the ranking settles, against the number of pictures."""

import dataclasses
import math
from collections.abc import Sequence

from markupsafe import Markup

from headimpact.report.figures.svg import drawing, element, nice_ticks, short, text

REGRET_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
STROKES = {"top": "var(--accent)", "other": "var(--dot)"}
SMALLEST = 0.007
"""Regret at the foot of its logarithmic axis; what is smaller lies there."""

_LEFT, _TOP, _HEIGHT, _BELOW, _APART = 40.0, 22.0, 150.0, 40.0, 46.0


@dataclasses.dataclass(frozen=True)
class StabilityCurve:
    """What the curve shows, one value per look; None where there is none.

    Attributes:
        pictures: Pictures at each look, ascending.
        regrets: Most that the choice may lose, as a share.
        promise: Share below which a choice is stable.
        correlations: Rank correlation with the last look.
        overlaps: Share of the chosen layers that the last look chooses as well.
        tooltips: Text for each look.
        label: What a screen reader says.
    """

    pictures: Sequence[int]
    regrets: Sequence[float]
    promise: float
    correlations: Sequence[float | None]
    overlaps: Sequence[float]
    tooltips: Sequence[str]
    label: str


def render_stability_curve(curve: StabilityCurve, *, width: float = 680.0) -> Markup:
    """Draw regret and agreement, beside each other or, on a phone, below each other.

    Args:
        curve: Values and texts.
        width: Natural width in pixels; draw once for a desk and once for a phone.

    Returns:
        An `<svg>`.
    """
    narrow = width < 500
    span = width - _LEFT - 12 if narrow else (width - 2 * _LEFT - _APART - 12) / 2
    below = _TOP + _HEIGHT + _BELOW
    lowest = min([0.0, *(value for value in curve.correlations if value is not None)])
    regret = _Frame(_LEFT, _TOP, span, math.log(SMALLEST), 0.0, curve.pictures)
    agreement = _Frame(
        _LEFT if narrow else 2 * _LEFT + _APART + span,
        _TOP + below if narrow else _TOP,
        span,
        lowest,
        1.0,
        curve.pictures,
    )
    parts = [
        _frame(regret, "regret at most (log scale)", [(math.log(tick), f"{tick:.0%}") for tick in REGRET_TICKS]),
        _frame(agreement, "agreement with the last look", [(tick, short(tick)) for tick in nice_ticks(lowest, 1.0)]),
        element(
            "line",
            class_="reference",
            x1=regret.left,
            x2=regret.left + regret.span,
            y1=regret.y(math.log(curve.promise)),
            y2=regret.y(math.log(curve.promise)),
        ),
        _line(regret, [math.log(max(value, SMALLEST)) for value in curve.regrets], "top", curve.tooltips),
        _line(agreement, curve.overlaps, "other", curve.tooltips),
        _line(agreement, curve.correlations, "top", curve.tooltips),
    ]
    return drawing((width, 2 * below if narrow else below), curve.label, *parts, class_="figure stability-curve")


@dataclasses.dataclass(frozen=True)
class _Frame:
    """Where numbers of pictures and values lie in one half of the drawing."""

    left: float
    top: float
    span: float
    low: float
    high: float
    pictures: Sequence[int]

    def x(self, pictures: int) -> float:
        """Place a number of pictures; every doubling is as wide."""
        first, last = math.log(self.pictures[0]), math.log(self.pictures[-1])
        share = (math.log(pictures) - first) / (last - first) if last > first else 0.5
        return self.left + 8 + (self.span - 16) * share

    def y(self, value: float) -> float:
        """Place a value."""
        return self.top + _HEIGHT * (self.high - value) / (self.high - self.low)


def _frame(frame: _Frame, title: str, ticks: Sequence[tuple[float, str]]) -> Markup:
    """Draw a half's title, faint lines, and the number of pictures of every look that has room for it."""
    parts = [text(frame.left, frame.top - 9, title, class_="axis")]
    for value, name in ticks:
        y = frame.y(value)
        parts.append(element("line", class_="grid", x1=frame.left, x2=frame.left + frame.span, y1=y, y2=y))
        parts.append(text(frame.left - 6, y + 3.8, name, anchor="end"))
    base, before = frame.top + _HEIGHT, -math.inf
    for pictures in frame.pictures:
        x = frame.x(pictures)
        if x - before >= 24 or pictures == frame.pictures[0]:
            parts.append(text(x, base + 15, str(pictures), anchor="middle"))
            before = x
    parts.append(text(frame.left + frame.span, base + 30, "pictures (log scale)", class_="axis", anchor="end"))
    return element("g", *parts)


def _line(frame: _Frame, values: Sequence[float | None], kind: str, tooltips: Sequence[str]) -> Markup:
    """Draw a line through the looks that have a value, a dot at each."""
    places = [
        (frame.x(pictures), frame.y(value), tooltip)
        for pictures, value, tooltip in zip(frame.pictures, values, tooltips, strict=True)
        if value is not None
    ]
    path = "".join(f"{'L' if index else 'M'}{short(x)} {short(y)}" for index, (x, y, _) in enumerate(places))
    dots = [
        element("circle", element("title", tooltip), class_=f"dot {kind}", cx=x, cy=y, r=3.6)
        for x, y, tooltip in places
    ]
    line = element("path", d=path, fill="none", stroke=STROKES[kind], stroke_width=1.6) if path else Markup()
    return element("g", line, *dots)
