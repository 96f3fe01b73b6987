"""SVG elements as text: every value escaped, every number short, the same bytes for the same input."""

import math
from collections.abc import Collection

from markupsafe import Markup, escape


def element(tag: str, *children: str, **attributes: object) -> Markup:
    """Write one SVG element; children that are not `Markup` already are escaped.

    Attribute names are given as Python names: a trailing underscore is dropped (`class_`), other
    underscores become hyphens (`stroke_width`). Attributes that are None are left out.

    Args:
        tag: Element name.
        *children: Text, or elements made by this function.
        **attributes: Attribute values; floats are written with at most two decimals.

    Returns:
        Markup that an autoescaping template shows as it is.

    Example:
        >>> element("text", "a<b", class_="tick", stroke_width=1.5)
        Markup('<text class="tick" stroke-width="1.5">a&lt;b</text>')
    """
    pairs = (
        f' {name.rstrip("_").replace("_", "-")}="{escape(_text(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    inside = "".join(escape(child) for child in children)
    return Markup(f"<{tag}{''.join(pairs)}>{inside}</{tag}>")


def drawing(size_wh: tuple[float, float], label: str, *children: str, class_: str = "figure") -> Markup:
    """Write an `<svg>` that scales with its place and reads out its label.

    Args:
        size_wh: Width and height of the drawing's own coordinates; the width is its largest size in pixels.
        label: What a screen reader says instead of the drawing.
        *children: Elements.
        class_: CSS classes.

    Returns:
        Markup of the whole drawing.
    """
    width, height = size_wh
    return element(
        "svg",
        *children,
        class_=class_,
        role="img",
        aria_label=label,
        viewBox=f"0 0 {short(width)} {short(height)}",
        style=f"max-width:{short(width)}px",
    )


def text(x: float, y: float, words: str, *, class_: str = "tick", anchor: str = "start") -> Markup:
    """Write a line of text at a point; `anchor` is start, middle or end."""
    return element("text", words, x=x, y=y, class_=class_, text_anchor=None if anchor == "start" else anchor)


def short(value: float) -> str:
    """Write a number with at most two decimals.

    Example:
        >>> short(2.0), short(0.126), short(-0.0)
        ('2', '0.13', '0')
    """
    written = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if written == "-0" else written


def nice_ticks(low: float, high: float, *, count: int = 5) -> list[float]:
    """Give round numbers within [low, high], about `count` of them.

    Args:
        low: Lower end.
        high: Upper end; where it is not above `low`, that one value is all.
        count: How many are wished for; at least 1.

    Returns:
        Multiples of 1, 2 or 5 times a power of ten, ascending.

    Example:
        >>> nice_ticks(0.0, 0.43)
        [0.0, 0.1, 0.2, 0.3, 0.4]
    """
    if not high > low:
        return [low]
    rough = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = min((factor * power for factor in (1, 2, 5, 10)), key=lambda size: abs(math.log(size / rough)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = max(0, -math.floor(math.log10(step)) + 1)
    return [round(index * step, digits) for index in range(first, last + 1)]


def numbers_shown(count: int, size: float, room: float, *, always: Collection[int] = ()) -> list[int]:
    """Say which of evenly spaced rows or columns get their number written.

    Args:
        count: Rows or columns.
        size: Distance between two of them.
        room: What a number needs.
        always: Those that get theirs anyway; their neighbours step back.

    Returns:
        Ascending indices; every one, every second, fourth, ... and those of `always`.

    Example:
        >>> numbers_shown(9, 5.0, 10.0, always=[3])
        [0, 3, 6, 8]
    """
    every = next((n for n in (1, 2, 4, 8, 16, 32) if n * size >= room), 64)
    kept = {index for index in always if 0 <= index < count}
    near = math.ceil(room / size) if every > 1 else 1
    free = {index for index in range(0, count, every) if all(abs(index - other) >= near for other in kept)}
    return sorted(kept | free)


def _text(value: object) -> str:
    """Write an attribute value."""
    return short(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
