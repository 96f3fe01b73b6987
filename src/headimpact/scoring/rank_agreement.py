"""Do two ways of ranking heads or layers agree? Rank correlations with intervals, given depth, and shared top places.

Units are heads, layers or groups of heads. What is measured of a unit may be repeated: over pictures, which all units
have in common, or over tuning seeds, which give all units the same batches. The bootstrap resamples both ways at once.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int

UNITS_STREAM = 2
DETECTABLE = 1.959964 + 0.841621
"""Standard normal quantiles of 0.975 (alpha 0.05, two-sided) and of 0.80 (power)."""
SPEARMAN_VARIANCE = 1.06
"""Variance of Fisher's z of a rank correlation, times the degrees of freedom."""
TAIL = 0.025

Units = Float[np.ndarray, " units"]
Rankings = Float[np.ndarray, "*rankings units"]
Repeats = Float[np.ndarray, "units repeats"]


@dataclasses.dataclass(frozen=True)
class RankCorrelation:
    """A rank correlation with its 95 % bootstrap interval.

    Attributes:
        value: Correlation of the units' means, in [-1, 1]; NaN where one side is constant.
        low: Lower end of the interval.
        high: Upper end.
        units: Units with a value on every side.
        detectable: Smallest correlation that as many units would show, `smallest_detectable`.
    """

    value: float
    low: float
    high: float
    units: int
    detectable: float

    @property
    def answer(self) -> str:
        """Say which sign the interval leaves: `positive`, `negative` or `undecided`."""
        if self.low > 0:
            return "positive"
        return "negative" if self.high < 0 else "undecided"


def midranks(values: Rankings) -> Rankings:
    """Rank values along the last axis from 1 up; equal ones share the mean of their places.

    Args:
        values: No NaN among them.

    Returns:
        Ranks, summing up to n (n + 1) / 2.

    Source: Kendall & Gibbons 1990, 3.3.

    Example:
        >>> midranks(np.array([0.3, 0.1, 0.3, 0.9])).tolist()
        [2.5, 1.0, 2.5, 4.0]
    """
    order = values.argsort(axis=-1)
    ordered = np.take_along_axis(values, order, axis=-1)
    place = np.broadcast_to(np.arange(1.0, values.shape[-1] + 1), values.shape)
    rises = ordered[..., 1:] > ordered[..., :-1]
    edge = np.ones((*values.shape[:-1], 1), dtype=bool)
    first = np.maximum.accumulate(np.where(np.concatenate([edge, rises], axis=-1), place, 0.0), axis=-1)
    last = np.where(np.concatenate([rises, edge], axis=-1), place, np.inf)
    last = np.minimum.accumulate(last[..., ::-1], axis=-1)[..., ::-1]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, (first + last) / 2, axis=-1)
    return ranks


def spearman(first: Units, second: Units) -> float:
    """Correlate two rankings of the same units: Pearson's correlation of their midranks.

    Args:
        first: One value per unit; units with NaN on either side are left out.
        second: Another.

    Returns:
        Correlation in [-1, 1]; NaN where one side is constant or fewer than two units are left.

    Source: Spearman 1904; with ties: Kendall & Gibbons 1990, 3.8.

    Example:
        >>> round(spearman(np.array([1.0, 2.0, 3.0, 4.0]), np.array([10.0, 30.0, 20.0, 40.0])), 6)
        0.8
    """
    known = ~(np.isnan(first) | np.isnan(second))
    if not known.any():
        return math.nan
    x, y = (ranks - ranks.mean() for ranks in (midranks(first[known]), midranks(second[known])))
    size = math.sqrt(float(x @ x) * float(y @ y))
    return float(x @ y) / size if size else math.nan


def partial_spearman(first: Units, second: Units, given: Units) -> float:
    """Correlate two rankings with what both owe to a third, say depth, taken out.

        r_xy.z = (r_xy - r_xz r_yz) / sqrt((1 - r_xz^2) (1 - r_yz^2))

    Only what changes with the third in one direction is taken out: a bulge in the middle layers stays.

    Args:
        first: One value per unit; units with NaN on any side are left out.
        second: Another.
        given: What is held fixed.

    Returns:
        Correlation in [-1, 1]; NaN where a side is constant or a ranking equals that of `given` or its reverse.

    Source: Kendall 1942, "Partial rank correlation", with Spearman's coefficient; Conover 1999, 5.4.

    Example:
        >>> x, y, z = np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4]), np.array([2.0, 1, 4, 3])
        >>> round(partial_spearman(x, y, z), 6)
        1.0
    """
    known = ~(np.isnan(first) | np.isnan(second) | np.isnan(given))
    x, y, z = first[known], second[known], given[known]
    with_first, with_second = spearman(x, z), spearman(y, z)
    left = (1.0 - with_first**2) * (1.0 - with_second**2)
    if not left > 1e-12:
        return math.nan
    return max(-1.0, min(1.0, (spearman(x, y) - with_first * with_second) / math.sqrt(left)))


def top_overlap(first: Units, second: Units, *, k: int) -> float:
    """Give the share of the k highest units of one ranking that are among the k highest of the other.

    Of unrelated rankings of n units it is k / n on average.

    Args:
        first: One value per unit; NaN ranks last. Of equal values the first stand higher.
        second: Another, of the same units.
        k: Places, from 1 to the number of units.

    Returns:
        Share in [0, 1].

    Example:
        >>> top_overlap(np.array([0.9, 0.1, 0.8, 0.2]), np.array([5.0, 6.0, 7.0, 1.0]), k=2)
        0.5
    """
    tops = [set(np.argsort(-values, kind="stable")[:k].tolist()) for values in (first, second)]
    return len(tops[0] & tops[1]) / k


def smallest_detectable(units: int, *, given: int = 0) -> float:
    """Give the smallest rank correlation that a test at 0.05, two-sided, would find with 80 % power.

    Fisher's z of Spearman's coefficient has about variance 1.06 / (n - 3); every variable held fixed costs a unit.

    Args:
        units: Units that are ranked.
        given: Variables held fixed.

    Returns:
        A correlation in (0, 1]; 1 where no number of this size could be found.

    Source: Fieller, Hartley & Pearson 1957 (variance of z); Cohen 1988, chapter 3 (power).

    Example:
        >>> round(smallest_detectable(12), 3), round(smallest_detectable(24, given=1), 3)
        (0.745, 0.568)
    """
    freedom = units - 3 - given
    return math.tanh(DETECTABLE * math.sqrt(SPEARMAN_VARIANCE / freedom)) if freedom > 0 else 1.0


def correlate_ranks(
    first: Repeats,
    second: Float[np.ndarray, "units others"],
    *,
    given: Units | None = None,
    clusters: Int[np.ndarray, " units"] | None = None,
    same_repeats: bool = False,
    resample_units: bool = True,
    resamples: int = 2000,
    seed: int = 0,
) -> RankCorrelation:
    """Correlate the rankings of two measurements of the same units, with an interval over units and repeats.

    A unit's value is its mean over repeats. Each resample draws repeats with replacement, the same ones for all units,
    and units with replacement, then ranks anew: the two-way bootstrap, which errs on the side of wide intervals.

    Args:
        first: Every unit's repeats, say one column per picture; a single column where there is nothing to resample.
        second: The other measurement's, perhaps of other repeats.
        given: What is held fixed, one value per unit; the correlation is then partial.
        clusters: Number of the cluster that each unit is in, say its layer; clusters are then drawn whole. Each unit by
            itself if left out.
        same_repeats: Whether the columns of both are the same pictures in the same order, to be drawn together.
        resample_units: Draw units too. Off, the interval is about these very units: what other repeats would have
            shown of them.
        resamples: Bootstrap resamples.
        seed: Seed of the resamples.

    Returns:
        The correlation of the means with its percentile interval.

    Source: Owen 2007, "The pigeonhole bootstrap" (units and repeats crossed); Efron & Tibshirani 1993, 13.3.
    """
    statistic = _statistic(given)
    everything = np.arange(len(first))
    numbers = everything if clusters is None else clusters
    members = [np.flatnonzero(numbers == number) for number in np.unique(numbers)]
    generator = np.random.Generator(np.random.Philox(key=[seed % 2**64, UNITS_STREAM]))
    found = []
    for _ in range(resamples):
        weights = _draw(first.shape[1], generator)
        others = weights if same_repeats else _draw(second.shape[1], generator)
        chosen = _draw_units(members, generator) if resample_units else everything
        found.append(statistic(first @ weights, second @ others, chosen))
    means = first.mean(axis=1), second.mean(axis=1)
    known = ~np.isnan(means[0] + means[1] + (0.0 if given is None else given))
    value = statistic(*means, everything)
    drawn = np.array([one for one in found if not math.isnan(one)])
    low, high = np.quantile(drawn, [TAIL, 1 - TAIL]) if drawn.size else (math.nan, math.nan)
    count = int(known.sum())
    held = 0 if given is None else 1
    return RankCorrelation(value, float(low), float(high), count, smallest_detectable(count, given=held))


def _statistic(given: Units | None) -> Callable[[Units, Units, np.ndarray], float]:
    """Choose between plain and partial correlation of some of the units."""
    if given is None:
        return lambda first, second, chosen: spearman(first[chosen], second[chosen])
    return lambda first, second, chosen: partial_spearman(first[chosen], second[chosen], given[chosen])


def _draw_units(members: Sequence[np.ndarray], generator: np.random.Generator) -> np.ndarray:
    """Draw as many clusters as there are, with replacement: the places of their units."""
    return np.concatenate([members[place] for place in generator.integers(len(members), size=len(members))])


def _draw(repeats: int, generator: np.random.Generator) -> Float[np.ndarray, " repeats"]:
    """Draw repeats with replacement: the share that each has in a mean."""
    shares: np.ndarray = generator.multinomial(repeats, np.full(repeats, 1 / repeats)) / repeats
    return shares
