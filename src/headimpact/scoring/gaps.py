"""The gap between a score and its chance level, with an interval over pictures."""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from headimpact.scoring.swap_tables import SwapTable

COVERED = 0.95
BOOTSTRAP_STREAM = 1

RESAMPLES_KEPT = 3
"""Sets of resamples that are remembered: a run draws from all of its pictures and from either half of them."""


@dataclasses.dataclass(frozen=True, eq=False)
class PictureGaps:
    """What each picture adds to the gap.

    Attributes:
        image_ids: Pictures, in an order that depends on nothing else.
        own: Score against the own mask; NaN where a head sees nothing.
        chance: Mean score against the other masks of its group; NaN also where there is none.
        gap: The picture's share in score minus chance; its mean over pictures is the gap.
    """

    image_ids: tuple[str, ...]
    own: Float[np.ndarray, "images columns"]
    chance: Float[np.ndarray, "images columns"]
    gap: Float[np.ndarray, "images columns"]


def picture_gaps(tables: Sequence[SwapTable]) -> PictureGaps:
    """Split the gap into pictures.

    With s_ij the score of picture i's map against picture j's mask, r_i and c_j the means of row and column
    off the diagonal and g the mean of r, the gap of a group is mean(s_ii) - g. A picture brings a map *and* a
    mask, so leaving it out changes own score and chance level together: to first order its share is

        s_ii - g - (r_i + c_i - 2 g) (n - 1) / (n - 2)        (factor 1 for n = 2 pictures)

    That share is free of "this mask is large" and "this map is broad", which move score and chance alike: with
    s_ij = a_i + b_j + d [i = j] it is d. s_ii - r_i has the same mean but counts them as noise.

    Args:
        tables: Scores of maps against masks.

    Returns:
        Shares whose mean is the gap.

    Source: first-order (Hajek) projection of score minus chance, a U-statistic of pictures; the gap itself:
    scores page (`docs/method.md`).
    """
    parts = [_table_gaps(table) for table in tables]
    return PictureGaps(
        image_ids=tuple(image_id for table in tables for image_id in table.image_ids),
        own=np.concatenate([part[0] for part in parts]),
        chance=np.concatenate([part[1] for part in parts]),
        gap=np.concatenate([part[2] for part in parts]),
    )


def resampled_gaps(
    gaps: Float[np.ndarray, "images columns"], *, resamples: int, seed: int = 0
) -> Float[np.ndarray, "resamples columns"]:
    """Average the gap over pictures drawn with replacement, all columns from the same pictures.

    Args:
        gaps: Each picture's share; NaN is left out.
        resamples: Number of bootstrap resamples.
        seed: Seed of the resamples.

    Returns:
        One row per resample; NaN where a resample holds no picture with a value.

    Source: Efron 1979.
    """
    weights = _resamples(gaps.shape[0], resamples, seed)
    known = ~np.isnan(gaps)
    count = weights @ known
    total = weights @ np.where(known, gaps, 0.0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


@functools.lru_cache(maxsize=RESAMPLES_KEPT)
def _resamples(images: int, resamples: int, seed: int) -> Float[np.ndarray, "resamples images"]:
    """Draw how often each picture comes up in each resample; the same for all scores of a run."""
    generator = np.random.Generator(np.random.Philox(key=[seed % 2**64, BOOTSTRAP_STREAM]))
    weights = generator.multinomial(images, np.full(images, 1 / images), size=resamples).astype(np.float64)
    weights.flags.writeable = False
    return weights


def interval(resampled: Float[np.ndarray, "resamples *shape"]) -> tuple[np.ndarray, np.ndarray]:
    """Give the central interval of resampled values; NaN columns stay NaN.

    Source: percentile interval, Efron & Tibshirani 1993, 13.3.
    """
    empty = np.isnan(resampled).any(axis=0)
    tail = (1 - COVERED) / 2
    low, high = np.quantile(np.where(empty, 0.0, resampled), [tail, 1 - tail], axis=0)
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)


def _table_gaps(table: SwapTable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give own score, chance level and gap share of one group's pictures."""
    values = table.values.astype(np.float64)
    here = np.arange(len(table.image_ids))
    own = values[here, here]
    known = ~np.isnan(own)
    plain = np.where(np.isnan(values), 0.0, values)
    swapped = table.swapped()
    counted = swapped.astype(np.float64)
    chance = _ratio((counted[:, None] @ plain)[:, 0], swapped.sum(axis=1)[:, None])
    chance = np.where(known, chance, np.nan)
    lenders = counted.T @ known.astype(np.float64)
    lent = _ratio((counted.T[:, None] @ plain.swapaxes(0, 1))[:, 0], lenders)
    usable = known & ~np.isnan(chance)
    middle = _ratio(np.where(usable, chance, 0.0).sum(axis=0), usable.sum(axis=0))
    images = known.sum(axis=0)
    factor = np.where(images > 2, (images - 1) / np.maximum(images - 2, 1), 1.0)
    share = own - middle - factor * (chance + np.where(np.isnan(lent), middle, lent) - 2 * middle)
    plain_gap = np.where(usable, own - chance, 0.0).sum(axis=0)
    shift = _ratio(plain_gap - np.where(usable, share, 0.0).sum(axis=0), usable.sum(axis=0))
    return own, chance, np.where(usable, share + shift, np.nan)


def _ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Divide, with NaN where the count is 0."""
    ratio: np.ndarray = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return ratio
