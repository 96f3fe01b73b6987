"""How far one choice of layers lies from random choices, and how sure that is. Arrays in, numbers out.

Random choices are the unit of "beats chance": a draw is one random set of layers, tuned with one or several
seeds, evaluated on the same pictures as every other arm. The hierarchical bootstrap resamples draws, then seeds
within a draw, then pictures; the pictures of a resample are the same for all arms (paired).
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

CONFIDENCE = 0.95
ALPHA = 0.05
DETECTABLE = 1.96 + 0.84
"""Standard normal quantiles of 0.975 (alpha 0.05, two-sided) and of 0.80 (power)."""
TIE = 1e-12
"""Values closer than this are equal; sums of the same numbers in another order differ by less."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A value with its bootstrap interval.

    Attributes:
        value: The value of the data as they are.
        low: Lower end of the 95 % percentile interval.
        high: Upper end.
        standard_error: Standard deviation over resamples.
    """

    value: float
    low: float
    high: float
    standard_error: float

    @property
    def smallest_detectable(self) -> float:
        """Smallest true difference that a test at alpha 0.05 would find with 80 % power: 2.80 standard errors.

        Source: two-sided normal approximation, (z_0.975 + z_0.80) SE; Cohen 1988, chapter 2.
        """
        return DETECTABLE * self.standard_error


@dataclasses.dataclass(frozen=True)
class Variances:
    """Where the variance of a difference (arm minus mean of the draws) comes from.

    Attributes:
        pictures: Share that falls as 1 / pictures.
        draws: Share that falls as 1 / draws.
        rest: What neither lowers: seeds of the arm.
    """

    pictures: float
    draws: float
    rest: float


def picture_weights(
    num_images: int, *, resamples: int, generator: np.random.Generator
) -> Float[np.ndarray, "resamples images"]:
    """Draw pictures with replacement: how often each counts in each resample.

    Args:
        num_images: Pictures, at least 1.
        resamples: Resamples wanted.
        generator: Source of randomness.

    Returns:
        Whole numbers as float; every row sums to `num_images`.
    """
    even = np.full(num_images, 1.0 / num_images)
    return generator.multinomial(num_images, even, size=resamples).astype(np.float64)


def choose_runs(
    draws: Sequence[Sequence[int]], *, resamples: int, generator: np.random.Generator
) -> Int[np.ndarray, "slots picks resamples"]:
    """Draw the runs that stand for one arm in each resample: draws first, then seeds within each.

    Of D draws, D - 1 are taken (and S - 1 of S seeds), one where there is only one. With D - 1 the variance
    of their mean is the unbiased s^2 / D; with D it would be too small by (D - 1) / D, a third at 3 draws.

    Args:
        draws: Runs of each draw, one per seed; at least one draw with one run.
        resamples: Resamples wanted.
        generator: Source of randomness.

    Returns:
        Run numbers; -1 fills where draws have unequal numbers of seeds.

    Source: Efron & Tibshirani 1993, chapter 8 (several levels); Rao & Wu 1988, section 2 (n - 1 of n).
    """
    seeds = np.array([len(draw) for draw in draws])
    table = np.full((len(draws), seeds.max()), -1)
    for place, draw in enumerate(draws):
        table[place, : len(draw)] = draw
    picks = np.maximum(seeds - 1, 1)
    slots = max(len(draws) - 1, 1)
    chosen = generator.integers(len(draws), size=(slots, 1, resamples))
    within = generator.random(size=(slots, picks.max(), resamples))
    runs = table[chosen, np.floor(within * seeds[chosen]).astype(np.int64)]
    is_taken = np.arange(picks.max())[None, :, None] < picks[chosen]
    return np.where(is_taken, runs, -1)


def chosen_means(
    values: Float[np.ndarray, "runs resamples"], chosen: Int[np.ndarray, "slots picks resamples"]
) -> Float[np.ndarray, "slots resamples"]:
    """Average the chosen seeds of each chosen draw.

    Args:
        values: Value of every run under the pictures of every resample.
        chosen: What `choose_runs` gave.

    Returns:
        Value of each chosen draw in each resample.
    """
    taken = values[chosen, np.arange(values.shape[1])]
    is_taken = chosen >= 0
    sums: Float[np.ndarray, "slots resamples"] = np.where(is_taken, taken, 0.0).sum(axis=1)
    means: Float[np.ndarray, "slots resamples"] = sums / is_taken.sum(axis=1)
    return means


def draw_means(values: Float[np.ndarray, " runs"], draws: Sequence[Sequence[int]]) -> Float[np.ndarray, " draws"]:
    """Average the seeds of each draw."""
    return np.array([values[list(draw)].mean() for draw in draws])


def estimate(value: float, resampled: Float[np.ndarray, " resamples"]) -> Estimate:
    """Put a value beside its percentile interval and standard error.

    Args:
        value: The value of the data as they are.
        resampled: The same in every resample; NaN where a resample could not give it.

    Returns:
        The estimate.
    """
    known = resampled[np.isfinite(resampled)]
    if not known.size:
        return Estimate(value=value, low=value, high=value, standard_error=0.0)
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(known, [tail, 1.0 - tail])
    spread = float(known.std(ddof=1)) if known.size > 1 else 0.0
    return Estimate(value=value, low=float(low), high=float(high), standard_error=spread)


def rank_p(value: float, draws: Float[np.ndarray, " draws"], *, upper: bool = True) -> float:
    """Give the place of a value among random draws as a one-sided p-value.

    If the choice were one more random draw, a p of at most x would come with probability at most x. With D
    draws the smallest possible is 1 / (D + 1), so 0.05 needs 19.

    Args:
        value: The value in question.
        draws: Values of the random draws.
        upper: Whether large values speak for the choice, else small ones.

    Returns:
        (1 + draws that are as extreme) / (draws + 1), in (0, 1].

    Source: Davison & Hinkley 1997, equation 4.11.

    Example:
        >>> rank_p(0.9, np.array([0.1, 0.9, 0.2])), rank_p(0.0, np.linspace(1, 2, 19), upper=False)
        (0.5, 0.05)
    """
    beyond = draws >= value - TIE if upper else draws <= value + TIE
    return float(1 + beyond.sum()) / (len(draws) + 1)


def split_variance(total: float, pictures: float, draws: Float[np.ndarray, " draws"]) -> Variances:
    """Split the variance of a difference by what would lower it.

    Args:
        total: Variance over the hierarchical bootstrap.
        pictures: Variance over a bootstrap of the pictures alone, draws and seeds held.
        draws: Observed values of the random draws.

    Returns:
        The parts; their sum is at least `total` only up to sampling error, none is negative.
    """
    among = float(np.var(draws, ddof=1)) / len(draws) if len(draws) > 1 else 0.0
    return Variances(pictures=pictures, draws=among, rest=max(0.0, total - pictures - among))


def count_needed(lowered: float, others: float, *, count: int, target: float) -> int | None:
    """Say how many draws (or pictures) would bring a standard error down to a target.

    Args:
        lowered: The part of the variance that falls as 1 / count.
        others: The parts that stay.
        count: How many there are now.
        target: Standard error wanted, above 0.

    Returns:
        The number needed in all, at least `count`; None where no number is enough.

    Example:
        >>> count_needed(0.04, 0.0, count=10, target=0.1), count_needed(0.04, 0.02, count=10, target=0.1)
        (40, None)
    """
    room = target**2 - others
    if room <= 1e-9 * target**2:
        return None
    return max(count, math.ceil(lowered * count / room - 1e-9))


def draws_for_rank(as_extreme: int, draws: int) -> int | None:
    """Say how many draws would give a rank p of at most 0.05 if their share beyond the value stayed.

    Args:
        as_extreme: Draws that are as extreme as the value.
        draws: Draws there are, at least 1.

    Returns:
        The number needed in all, at least 19; None where the share is 5 % or more.

    Example:
        >>> draws_for_rank(0, 3), draws_for_rank(1, 25), draws_for_rank(2, 20)
        (19, 95, None)
    """
    share = as_extreme / draws
    if share >= ALPHA:
        return None
    return max(draws, math.ceil((1.0 - ALPHA) / (ALPHA - share) - 1e-9))
