"""How the report says numbers and names: digits, signs, intervals, shares, reasons."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from headimpact.data.word_kinds import KINDS, OBJECT_KINDS
from headimpact.evaluation.metrics import METRICS
from headimpact.scoring import WITHOUT_SINKS
from headimpact.scoring.combination import PLUS

MISSING = "\u2013"
"""En dash: what stands where there is no number."""

NBSP = "\u00a0"
"""Space that no line breaks at."""

MINUS = "\u2212"
"""Minus sign, as wide as a plus."""

REASONS: Mapping[str, str] = {
    "no_caption": "no caption",
    "no_annotation": "no annotated object",
    "empty_mask": "the mask is empty",
    "cropped_away": "the processor cropped the object away",
    "covers_too_much": "the object covers more than 0.8 of the picture",
    "bad_picture": "the picture cannot be read",
}
"""Skip reasons in words; others are shown as they are, underscores as spaces."""


SCORE_NAMES: Mapping[str, str] = {"head_impact": "Head Impact", "auroc": "AUROC"}
"""Scores by the name that readers know; a metric says its own title."""


def number(value: float | None, *, digits: int = 2) -> str:
    """Write a number with fixed digits.

    Example:
        >>> number(0.5), number(-0.126).replace(MINUS, "-"), number(float("nan")) == number(None) == MISSING
        ('0.50', '-0.13', True)
    """
    if value is None or not math.isfinite(value):
        return MISSING
    written = f"{value:.{digits}f}"
    return written.replace("-", MINUS) if float(written) != 0 else written.removeprefix("-")


def signed(value: float | None, *, digits: int = 2) -> str:
    """Write a difference with its sign.

    Example:
        >>> signed(0.5), signed(-0.126).replace(MINUS, "-"), signed(0.0)
        ('+0.50', '-0.13', '0.00')
    """
    written = number(value, digits=digits)
    return f"+{written}" if value is not None and value > 0 and written.strip("0.") else written


def interval(low: float | None, high: float | None, *, digits: int = 2, sign: bool = False) -> str:
    """Write an interval; nothing where an end is missing.

    Example:
        >>> interval(0.1, 0.25), interval(0.1, 0.25, sign=True), interval(None, 0.2)
        ('0.10 to 0.25', '+0.10 to +0.25', '')
    """
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    write = signed if sign else number
    return f"{write(low, digits=digits)} to {write(high, digits=digits)}"


def probability(value: float | None) -> str:
    r"""Write a p or q value.

    Example:
        >>> probability(0.0), probability(0.0312), probability(0.6)
        ('<\xa00.001', '0.031', '0.60')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    if value < 0.001:
        return f"<{NBSP}0.001"
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def percent(share: float | None) -> str:
    r"""Write a share as percent with two telling digits; very small shares keep theirs.

    Example:
        >>> percent(0.000055), percent(0.0043), percent(0.5), percent(1.0), percent(0.0)
        ('0.0055\xa0%', '0.43\xa0%', '50\xa0%', '100\xa0%', '0\xa0%')
    """
    if share is None or not math.isfinite(share):
        return MISSING
    if share == 0:
        return f"0{NBSP}%"
    value = 100 * share
    digits = max(0, 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}{NBSP}%".replace("-", MINUS)


def whole(count: int) -> str:
    r"""Write a count with thin spaces between thousands.

    Example:
        >>> whole(204800) == "204\u202f800"
        True
    """
    return f"{count:,}".replace(",", "\u202f")


def listed(items: Sequence[Any], *, join: str = ", ") -> str:
    """Write items in a row; a dash for none."""
    return join.join(str(item) for item in items) if items else MISSING


def joined(items: Sequence[Any]) -> str:
    """Write items as a sentence would.

    Example:
        >>> joined([3]), joined([1, 8]), joined([1, 2, 8])
        ('3', '1 and 8', '1, 2 and 8')
    """
    *first, last = (str(item) for item in items)
    return f"{', '.join(first)} and {last}" if first else last


def plural(count: int, one: str, many: str | None = None) -> str:
    """Write a count with its noun.

    Example:
        >>> plural(1, "draw"), plural(3, "draw"), plural(2, "layer of", "layers of")
        ('1 draw', '3 draws', '2 layers of')
    """
    return f"{whole(count)} {one if count == 1 else many or one + 's'}"


def metric_name(name: str) -> str:
    """Write the name of a score or metric within a sentence.

    Example:
        >>> metric_name("head_impact_without_sinks"), metric_name("head_impact+auroc")
        ('Head Impact without sinks', 'Head Impact + AUROC')
    """
    if name.endswith(WITHOUT_SINKS):
        return f"{metric_name(name.removesuffix(WITHOUT_SINKS))} without sinks"
    kind = next((kind for kind in (*KINDS, *OBJECT_KINDS) if name.endswith(f"_{kind}")), None)
    if kind is not None:
        return f"{metric_name(name.removesuffix(f'_{kind}'))} over {kind.replace('_', ' ')}"
    if PLUS in name:
        return f" {PLUS} ".join(map(metric_name, name.split(PLUS)))
    if name in METRICS:
        return str(METRICS.load(name).title)
    return SCORE_NAMES.get(name, name.replace("_", " "))


def heading(name: str) -> str:
    """Write the name of a score or metric at the start of a line."""
    shown = metric_name(name)
    return shown[:1].upper() + shown[1:]


def reason(name: str) -> str:
    """Write a skip reason in words."""
    return REASONS.get(name, name.replace("_", " "))


def field_name(name: str) -> str:
    """Write a field's name in words, first letter large.

    Example:
        >>> field_name("git_commit"), field_name("HI")
        ('Git commit', 'HI')
    """
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def fact(value: Any) -> str:
    """Write any JSON value as one line of text.

    Example:
        >>> fact({"torch": "2.13", "seed": 0}), fact([1, 2]), fact(True), fact(0.25)
        ('torch 2.13, seed 0', '1, 2', 'yes', '0.25')
    """
    if value is None or value in ("", [], {}):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {fact(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(fact(inner) for inner in value)
    if isinstance(value, float):
        return f"{value:.6g}".replace("-", MINUS)
    return str(value)
