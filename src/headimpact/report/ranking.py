"""The few numbers that the report works out itself: which heads are best, how many are beyond chance."""

import numpy as np
from jaxtyping import Bool

from headimpact.core.shapes import HeadValues

LEVEL = 0.05
"""q at or below which a head counts as beyond chance."""

Head = tuple[int, int]


def rank_heads(values: HeadValues, *, count: int) -> tuple[tuple[Head, ...], tuple[Head, ...]]:
    """Give the best and the worst heads.

    Args:
        values: One number per head; heads without one are left out.
        count: How many of each at most.

    Returns:
        Best heads, best first, and worst heads, worst last, as (layer_idx, head_idx). No head is in both;
        of equal heads the earlier one ranks higher.

    Example:
        >>> rank_heads(np.array([[0.1, np.nan], [0.3, 0.2]]), count=2)
        (((1, 0), (1, 1)), ((0, 0),))
    """
    layers, heads = np.nonzero(np.isfinite(values))
    order = sorted(zip(layers.tolist(), heads.tolist(), strict=True), key=lambda head: -float(values[head]))
    best = tuple(order[:count])
    return best, tuple(order[len(best) :][-count:])


def beyond_chance(q: HeadValues, *, level: float = LEVEL) -> Bool[np.ndarray, "layers heads"]:
    """Tell which heads' q is at or below a level; NaN never is."""
    return np.asarray(np.nan_to_num(q, nan=np.inf) <= level)


def highest(*arrays: np.ndarray, size_only: bool = False) -> float:
    """Give the highest finite value of some arrays, 0 where there is none; signs are dropped with `size_only`."""
    every = np.concatenate([np.abs(a).ravel() if size_only else a.ravel() for a in arrays])
    finite = every[np.isfinite(every)]
    return float(finite.max()) if finite.size else 0.0
