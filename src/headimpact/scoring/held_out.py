"""The best head, chosen on one half of the pictures and reported on the other."""

from typing import Any

import numpy as np

from headimpact.scoring.aggregation import nan_mean
from headimpact.scoring.donors import picture_key
from headimpact.scoring.gaps import PictureGaps, interval, resampled_gaps


def best_heads_held_out(
    gaps: PictureGaps, *, score: str, num_heads: int, resamples: int = 1000, seed: int = 0
) -> tuple[dict[str, Any], ...]:
    """Choose the head of highest score on each half and report it on the other.

    The highest of many heads is highest partly by luck; on pictures it was not chosen on, the luck is gone.

    Args:
        gaps: Each picture's scores and gap shares; columns are the heads, layer by layer.
        score: What the scores are called.
        num_heads: Heads per layer.
        resamples: Bootstrap resamples of the interval.
        seed: Seed of the halves and the resamples.

    Returns:
        Two entries with `layer_idx`, `head_idx`, `chosen_on` and `reported_on` (pictures), the score on both halves
        (`head_impact_chosen` and `head_impact`, where that is the score), and `gap`, `gap_low`, `gap_high` on the
        reporting half; empty with fewer than four pictures, or where a half has no head with a score.
    """
    images = len(gaps.image_ids)
    order = sorted(range(images), key=lambda place: picture_key(f"half:{seed}:{gaps.image_ids[place]}"))
    halves = (np.array(order[: images // 2], dtype=int), np.array(order[images // 2 :], dtype=int))
    own, shares = gaps.own, gaps.gap
    if images < 4 or any(np.isnan(nan_mean(own[half])).all() for half in halves):
        return ()
    return tuple(
        _report(score, own, shares, chosen, reported, num_heads=num_heads, resamples=resamples, seed=seed)
        for chosen, reported in (halves, halves[::-1])
    )


def _report(
    score: str,
    own: np.ndarray,
    shares: np.ndarray,
    chosen: np.ndarray,
    reported: np.ndarray,
    *,
    num_heads: int,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Choose on one half, report on the other."""
    scores = nan_mean(own[chosen])
    best = int(np.nanargmax(scores))
    low, high = interval(resampled_gaps(shares[reported][:, [best]], resamples=resamples, seed=seed))
    return {
        "layer_idx": best // num_heads,
        "head_idx": best % num_heads,
        "chosen_on": len(chosen),
        "reported_on": len(reported),
        f"{score}_chosen": float(scores[best]),
        score: float(nan_mean(own[reported][:, best])),
        "gap": float(nan_mean(shares[reported][:, best])),
        "gap_low": float(low[0]),
        "gap_high": float(high[0]),
    }
