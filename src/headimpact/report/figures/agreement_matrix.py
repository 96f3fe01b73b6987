"""Agreement matrix: one square for every two scores, numbered down and across."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from markupsafe import Markup

from headimpact.report.figures.colours import is_far_end, step_of
from headimpact.report.figures.head_map import Scale
from headimpact.report.figures.svg import drawing, element, text
from headimpact.report.wording import MINUS

ROOM_FOR_NUMBERS = 22.0
"""Smallest square, in pixels, that has its number written into it."""

_TOP, _LARGEST, _LETTER = 20.0, 30.0, 6.1


@dataclasses.dataclass(frozen=True)
class AgreementPanel:
    """What one matrix shows.

    Attributes:
        names: Of the scores, as they are to be shown.
        values: Agreement of every two; NaN stays empty. Only what lies below the diagonal is drawn.
        low: Value at the low end of the colour scale.
        high: Value at the high end.
        scale: `signed` for correlations, `sequential` for shares.
        tooltips: Text for every two.
        label: What a screen reader says.
    """

    names: Sequence[str]
    values: Float[np.ndarray, "scores scores"]
    low: float
    high: float
    scale: Scale
    tooltips: Sequence[Sequence[str]]
    label: str


def render_agreement_matrix(panel: AgreementPanel, *, width: float) -> Markup:
    """Draw the matrix, its lower half.

    Args:
        panel: Values, names, colour scale and texts.
        width: Natural width in pixels; draw once for a desk and once for a phone.

    Returns:
        An `<svg>`; numbers are written into the squares where there is room.
    """
    count = len(panel.names)
    left = 30.0 + _LETTER * max(map(len, panel.names), default=0)
    size = min(_LARGEST, (width - left) / max(count, 1))
    cells = [
        _cell(panel, (row, column), (left + column * size, _TOP + row * size), size)
        for row in range(count)
        for column in range(row)
    ]
    rows = [
        element(
            "g",
            text(16.0, _TOP + (index + 0.5) * size + 3.8, str(index + 1), anchor="end"),
            text(22.0, _TOP + (index + 0.5) * size + 3.8, name, class_="tick name"),
        )
        for index, name in enumerate(panel.names)
    ]
    columns = [
        text(left + (index + 0.5) * size, _TOP + index * size + size - 6.0, str(index + 1), anchor="middle")
        for index in range(count - 1)
    ]
    return drawing((width, _TOP + count * size + 2.0), panel.label, *rows, *columns, *cells, class_="figure agreement")


def _cell(panel: AgreementPanel, place: tuple[int, int], corner: tuple[float, float], size: float) -> Markup:
    """Draw one square, with its number where there is room."""
    value, side = float(panel.values[place]), size - 1.0
    title = element("title", panel.tooltips[place[0]][place[1]])
    if not np.isfinite(value):
        frame = element("rect", class_="empty", x=corner[0], y=corner[1], width=side, height=side)
        return element("g", title, frame, class_="cell")
    step = step_of(value, panel.low, panel.high)
    letter = "d" if panel.scale == "signed" else "q"
    square = element("rect", class_=f"{letter}{step}", x=corner[0], y=corner[1], width=side, height=side)
    if size < ROOM_FOR_NUMBERS:
        return element("g", title, square, class_="cell")
    tone = "number-on" if is_far_end(step, panel.scale) else "number"
    written = text(corner[0] + side / 2, corner[1] + side / 2 + 3.4, _hundredths(value), class_=tone, anchor="middle")
    return element("g", title, square, written, class_="cell")


def _hundredths(value: float) -> str:
    """Write a number from -1 to 1 in little room.

    Example:
        >>> _hundredths(0.874), _hundredths(-0.31).replace(MINUS, "-"), _hundredths(1.0), _hundredths(0.0)
        ('.87', '-.31', '1', '0')
    """
    if round(value, 2) in (-1.0, 0.0, 1.0):
        return f"{round(value):d}".replace("-", MINUS)
    return f"{value:.2f}".replace("0.", ".", 1).replace("-", MINUS)
