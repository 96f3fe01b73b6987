"""Bars as an SVG file of its own, for pages that show it as a picture: a data card on a hub, in light and dark."""

from collections.abc import Sequence

from markupsafe import Markup

from headimpact.report.figures.svg import element, short

_STYLE = (
    "text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,'Liberation Sans',sans-serif;fill:#3b3f46}"
    ".title{font-weight:600;font-size:13px}.bar{fill:#8992a1}.base{stroke:#b9b6ae}"
    "@media(prefers-color-scheme:dark){text{fill:#d4d2cc}.bar{fill:#8a93a1}.base{stroke:#555a62}}"
)
_ROW, _TOP, _WIDTH, _GAP = 19.0, 30.0, 680.0, 8.0


def render_bars(title: str, rows: Sequence[tuple[str, int]], *, name_width: float = 130.0) -> Markup:
    """Draw horizontal bars, one a row, with their names before and their numbers behind them.

    Args:
        title: What is shown.
        rows: Name and number of each bar, in the order to show.
        name_width: Room for the names in pixels.

    Returns:
        The content of an SVG file.

    Example:
        >>> str(render_bars("Cats", [("small", 1), ("large", 2)])).count('class="bar"')
        2
    """
    highest = max([number for _, number in rows], default=0) or 1
    room = _WIDTH - name_width - _GAP - 60.0
    height = _TOP + _ROW * len(rows) + 8.0
    parts = [element("text", title, class_="title", x=0, y=15)]
    for place, (name, number) in enumerate(rows):
        y, width = _TOP + _ROW * place, room * number / highest
        label = f"{number:,}"
        parts += [
            element("text", name, x=name_width, y=y + 12.5, text_anchor="end"),
            element("rect", class_="bar", x=name_width + _GAP, y=y + 2, width=width, height=_ROW - 5),
            element("text", label, x=name_width + _GAP + width + 6, y=y + 12.5),
        ]
    foot = _TOP + _ROW * len(rows)
    parts.append(element("line", class_="base", x1=name_width + _GAP, x2=name_width + _GAP, y1=_TOP, y2=foot))
    return element(
        "svg",
        element("title", title),
        element("style", Markup(_STYLE)),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {short(_WIDTH)} {short(height)}",
        width=_WIDTH,
        height=height,
    )
