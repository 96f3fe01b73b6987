"""The chance level: what a head scores when every picture is held against another picture's mask.

A null draw permutes the masks within each group of pictures (`donors.py`) and averages the scores over
pictures. If masks have nothing to do with attention, the observed pairing is one of these equally likely
pairings, so p = (1 + #{null >= observed}) / (B + 1) is at most alpha with probability at most alpha, for any
number of pictures and heads and whatever the heads have in common (Phipson & Smyth 2010). Own pairs come up
in a permutation as often as any other; the null *mean* that is reported leaves them out.

Why not one fixed bank of D masks, one drawn per picture and draw: the bank's mean size differs from the
pictures' (overlap depends on size above all), a shift common to all heads that no number of draws takes out,
while sizes of the own masks, which no re-pairing changes, count as noise. Measured on re-paired synthetic
pictures with centre bias (share of p <= .05, 200 to 400 re-pairings): 0.02 at n = 40 pictures and D = 64,
0.05 at n = 128, 0.15 at n = 300, 0.22 at n = 500, 0.21 at n = 128 and D = 16. Permutation within groups of
D + 1: 0.048, 0.058, 0.046, 0.041, 0.052.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from jaxtyping import Float, Int, UInt

from headimpact.core.errors import OptionError
from headimpact.scoring.donors import picture_key
from headimpact.scoring.row_sums import RowSums
from headimpact.scoring.swap_tables import SwapTable

DRAW_BLOCK = 1000

ORDERS_KEPT = 512
"""Blocks of draws of a group whose permutations are remembered: those of some 3,000 pictures, in 33 MB."""

TOLERANCE = 1e-9
Statistic = Callable[[Float[np.ndarray, "draws columns"]], Float[np.ndarray, "draws statistics"]]


def default_draws(num_layers: int, num_heads: int) -> int:
    """Give the number of null draws with which even a single head can be found.

    Benjamini-Hochberg over all heads must let one head through at .05: its p, at least 1 / (B + 1), has to
    fall below .05 / (layers heads).

    Example:
        >>> default_draws(12, 8), default_draws(48, 32)
        (10000, 30720)
    """
    return max(10_000, 20 * num_layers * num_heads)


@dataclasses.dataclass(frozen=True, eq=False)
class NullTally:
    """Sums over null draws; tallies of disjoint blocks add up to the tally of all.

    Attributes:
        draws: Number of draws.
        observed: The observed value, own masks measured as the others' are.
        reached: Draws with at least the observed value.
        total: Sum over draws of null minus observed.
        squares: Sum of its squares.
    """

    draws: int
    observed: Float[np.ndarray, " statistics"]
    reached: Int[np.ndarray, " statistics"]
    total: Float[np.ndarray, " statistics"]
    squares: Float[np.ndarray, " statistics"]

    def __add__(self, other: "NullTally") -> "NullTally":
        """Merge the tallies of two disjoint sets of draws."""
        return dataclasses.replace(
            self,
            draws=self.draws + other.draws,
            reached=self.reached + other.reached,
            total=self.total + other.total,
            squares=self.squares + other.squares,
        )

    def p_values(self) -> Float[np.ndarray, " statistics"]:
        """Give one-sided p = (1 + #{null >= observed}) / (B + 1).

        Returns:
            Values in [1 / (B + 1), 1]; small where the observed value is more than chance. NaN where nothing was
            observed.

        Source: Phipson & Smyth 2010, "Permutation p-values should never be zero", 4.
        """
        return np.where(np.isnan(self.total), np.nan, (1 + self.reached) / (self.draws + 1))

    def z_values(self) -> Float[np.ndarray, " statistics"]:
        """Give observed minus the draws' mean, in standard deviations of the draws.

        Returns:
            Values that grow with the number of pictures; NaN where the draws do not differ.
        """
        mean = self.total / self.draws
        deviation = np.sqrt(np.maximum(self.squares / self.draws - mean**2, 0.0))
        return np.where(deviation > TOLERANCE, -mean / np.where(deviation > TOLERANCE, deviation, 1.0), np.nan)

    def mean(self) -> Float[np.ndarray, " statistics"]:
        """Give the draws' mean."""
        return self.observed + self.total / self.draws


def tally_null(
    tables: Sequence[SwapTable],
    *,
    draws: int,
    seed: int = 0,
    statistic: Statistic | None = None,
    blocks: Iterable[int] | None = None,
) -> NullTally:
    """Draw the null distribution and compare the observed value with it.

    Draws are numbered; draw b of a seed is the same whatever else is drawn, on any machine and in any order
    of pictures, because each picture has a counter-based generator of its own.

    Args:
        tables: Scores of maps against masks.
        draws: Number B of draws.
        seed: Seed of the draws.
        statistic: What is made of the means over pictures (heads to layers, say); the means themselves if
            left out.
        blocks: Which blocks of `DRAW_BLOCK` draws to do, to spread them; all if left out.

    Returns:
        Sums over the draws. Own masks are measured as the others' are (`SwapTable.like_for_like`), or a difference in
        measuring would be one between own and other masks.

    Raises:
        OptionError: If `draws` is below 1.

    Source: mask-swap null of the scores page (`docs/method.md`); Philox: Salmon et al. 2011.
    """
    if draws < 1:
        raise OptionError(f"Number of draws out of range: {draws}. Expected at least 1; leave it out for the default.")
    tables = [table.like_for_like() for table in tables]
    derive: Statistic = statistic or (lambda means: means)
    observed = derive(observed_means(tables)[None])[0]
    tally = NullTally(
        0, observed, *(np.zeros(observed.shape, dtype=kind) for kind in (np.int64, np.float64, np.float64))
    )
    if all(len(table.image_ids) == 1 for table in tables):  # every draw is the pairing that was observed
        same = observed - observed
        return NullTally(draws, observed, reached=np.where(np.isnan(same), 0, draws), total=same, squares=same)
    sums = pair_sums(tables)
    for block in range(-(-draws // DRAW_BLOCK)) if blocks is None else blocks:
        count = min(DRAW_BLOCK, draws - block * DRAW_BLOCK)
        difference = derive(null_means(tables, block=block, seed=seed, sums=sums)[:count]) - observed
        tally += NullTally(
            draws=count,
            observed=observed,
            reached=(difference >= -TOLERANCE).sum(axis=0),
            total=difference.sum(axis=0),
            squares=(difference**2).sum(axis=0),
        )
    return tally


def observed_means(tables: Sequence[SwapTable]) -> Float[np.ndarray, " columns"]:
    """Average the score against the own mask over pictures; NaN where no picture has one."""
    own = np.concatenate([_diagonal(table) for table in tables])
    count = (~np.isnan(own)).sum(axis=0)
    total = np.nansum(own, axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def pair_sums(tables: Sequence[SwapTable]) -> list[RowSums]:
    """Prepare each table for adding up one value of every picture; its rows are pairs of a map and a mask."""
    return [
        RowSums(np.nan_to_num(table.values, nan=0.0).reshape(-1, table.values.shape[2]), picked=len(table.image_ids))
        for table in tables
    ]


def null_means(
    tables: Sequence[SwapTable], *, block: int, seed: int = 0, sums: Sequence[RowSums] | None = None
) -> Float[np.ndarray, "draws columns"]:
    """Average over pictures in one block of `DRAW_BLOCK` draws.

    Args:
        tables: Scores of maps against masks.
        block: Number of the block, 0-based.
        seed: Seed of the draws.
        sums: The tables' `pair_sums`, where they are needed again.

    Returns:
        One row per draw; NaN in columns that no picture has.
    """
    columns = tables[0].values.shape[2]
    total = np.zeros((DRAW_BLOCK, columns))
    count = np.zeros(columns)
    for table, added in zip(tables, sums or pair_sums(tables), strict=True):
        count += (~np.isnan(_diagonal(table))).sum(axis=0)
        images = len(table.image_ids)
        given = mask_orders(table.image_ids, block=block, seed=seed)
        total += added.of(np.arange(images) * images + given)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


@functools.lru_cache(maxsize=ORDERS_KEPT)
def mask_orders(image_ids: tuple[str, ...], *, block: int, seed: int = 0) -> UInt[np.ndarray, "draws images"]:
    """Permute the masks of a group, once per draw of a block.

    Each picture draws a number from its own Philox stream (key: seed and picture, counter: block); the ranks
    of the numbers are a permutation, uniform over all. They are remembered: they are the same for all scores of a run.

    Args:
        image_ids: Pictures of the group.
        block: Number of the block.
        seed: Seed of the draws.

    Returns:
        For each draw and picture the picture whose mask it gets.
    """
    numbers = np.stack(
        [
            np.random.Generator(
                np.random.Philox(counter=[0, 0, block, 0], key=[seed % 2**64, picture_key(image_id)])
            ).random(DRAW_BLOCK)
            for image_id in image_ids
        ],
        axis=1,
    )
    orders = numbers.argsort(axis=1).astype(np.min_scalar_type(len(image_ids)))
    orders.flags.writeable = False
    return orders


def false_discovery_rates(p_values: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Adjust p-values for the number of tests, leaving NaN out.

    q_(i) = min over j >= i of p_(j) m / j, at most 1.

    Args:
        p_values: One-sided p; NaN for tests that were not made.

    Returns:
        Smallest false discovery rate at which each test would be called; NaN stays NaN.

    Source: Benjamini & Hochberg 1995, (1); holds under positive dependence (Benjamini & Yekutieli 2001).

    Example:
        >>> false_discovery_rates(np.array([0.01, 0.04, np.nan, 0.03])).round(3).tolist()
        [0.03, 0.04, nan, 0.04]
    """
    flat = p_values.ravel()
    known = np.flatnonzero(~np.isnan(flat))
    order = known[np.argsort(flat[known], kind="stable")]
    scaled = flat[order] * len(order) / np.arange(1, len(order) + 1)
    rates = np.full(flat.shape, np.nan)
    rates[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return rates.reshape(p_values.shape)


def _diagonal(table: SwapTable) -> Float[np.ndarray, "images columns"]:
    """Give each picture's score against its own mask, in double precision."""
    here = np.arange(len(table.image_ids))
    return table.values[here, here].astype(np.float64)
