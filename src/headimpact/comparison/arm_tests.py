"""How far each choice of an experiment lies from the random draws, with one correction for all of them together."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

FEWEST_DRAWS = 3
"""Draws below which their spread says too little for a test."""


@dataclasses.dataclass(frozen=True)
class ArmTest:
    """One choice against random draws; the draws are the unit.

    Attributes:
        against: Arm of the draws.
        effect_size: Difference from their mean in standard deviations of the draws, above 0 where the choice is better.
        share_beaten: Share of the draws that it beats, ties counted half, in [0, 1].
        p: Two-sided p-value of the choice being one more draw.
        p_holm: The same, corrected for all choices of the comparison.
    """

    against: str
    effect_size: float
    share_beaten: float
    p: float
    p_holm: float


def weigh_choices(
    choices: Mapping[str, tuple[float, str]], draws: Mapping[str, Float[np.ndarray, " draws"]]
) -> dict[str, ArmTest]:
    """Hold every choice against its random draws.

    Args:
        choices: Name of an arm that has one choice to its value, seeds averaged, and the arm of its draws.
        draws: Name of an arm of draws to their values, seeds averaged; all values turned so that large is good.

    Returns:
        A test for every choice whose draws are at least three and not all alike.
    """
    found: dict[str, ArmTest] = {}
    for name, (value, against) in choices.items():
        others = draws.get(against, np.zeros(0))
        spread = float(np.std(others, ddof=1)) if len(others) >= FEWEST_DRAWS else 0.0
        if spread > 0:
            apart = value - float(others.mean())
            found[name] = ArmTest(
                against=against,
                effect_size=apart / spread,
                share_beaten=float(np.mean((others < value) + 0.5 * (others == value))),
                p=one_more_draw_p(value, others),
                p_holm=1.0,
            )
    corrected = holm([test.p for test in found.values()])
    return {name: dataclasses.replace(test, p_holm=p) for (name, test), p in zip(found.items(), corrected, strict=True)}


def one_more_draw_p(value: float, draws: Float[np.ndarray, " draws"]) -> float:
    """Give the two-sided p-value of a value being one more draw, draws taken as normal.

    Unlike the place among D draws, whose p is never below 1 / (D + 1), it can stand a correction for several choices.

    Args:
        value: The value in question.
        draws: Values of at least two draws that are not all alike.

    Returns:
        A probability: t = (value - mean) / (s sqrt(1 + 1 / D)) with D - 1 degrees of freedom.

    Source: Crawford & Howell 1998 (one case against a control sample), equation 1.

    Example:
        >>> round(one_more_draw_p(4.0, np.array([1.0, 2.0, 3.0])), 4)
        0.2254
    """
    count = len(draws)
    t = (value - float(draws.mean())) / (float(np.std(draws, ddof=1)) * math.sqrt(1 + 1 / count))
    return student_p(t, count - 1)


def student_p(t: float, degrees: int) -> float:
    """Give the two-sided tail of Student's t for a whole number of degrees of freedom.

    Source: Abramowitz & Stegun 1964, 26.7.3 and 26.7.4.

    Example:
        >>> round(student_p(2.776445, 4), 4), student_p(0.0, 1)
        (0.05, 1.0)
    """
    angle = math.atan(abs(t) / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    is_odd = degrees % 2 == 1
    term, total = (cosine if is_odd else 1.0), 0.0
    for step in range(3 if is_odd else 2, degrees + 1, 2):
        total += term
        term *= cosine**2 * (step - 1) / step
    inside = 2 / math.pi * (angle + sine * total) if is_odd else sine * total
    return max(0.0, 1.0 - inside)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for their number, so that any false finding among them has the stated probability.

    Args:
        p_values: One for each hypothesis.

    Returns:
        Adjusted values in the same order, in [0, 1].

    Source: Holm 1979; the adjusted values as in Wright 1992.

    Example:
        >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
        [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted
