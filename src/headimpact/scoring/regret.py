"""How much worse than the best layers can the chosen ones be, as far as the pictures scored so far can tell?

The best set is that of the k highest means over all pictures there could be. A set is chosen because its means came out
high, partly by luck, so a bound must hold for whatever set comes out. One statement about the means is enough, made to
hold with the confidence asked for: no difference of two layers' means, and no mean, is off by more than `reach` of its
standard errors. Where it holds, it holds for every pair of a chosen and another layer, however they were chosen.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

LOOK_STREAM = 3
DRAWS = 10_000
DRAW_BLOCK = 500
SMALLEST = 1e-12

LayerMeans = Float[np.ndarray, " layers"]


@dataclasses.dataclass(frozen=True, eq=False)
class MeanErrors:
    """How far the layers' means over pictures, and their differences, may be off.

    Attributes:
        means: Mean score of each layer over the pictures scored.
        widths: Greatest error of each mean.
        difference_widths: Greatest error of the difference of each two means.
    """

    means: LayerMeans
    widths: LayerMeans
    difference_widths: Float[np.ndarray, "layers layers"]


@dataclasses.dataclass(frozen=True)
class RegretBound:
    """What some pictures say about the k layers of highest mean.

    Attributes:
        chosen: These layers, ascending.
        tied: Layers, ascending, of which the pictures cannot tell on which side of the cut they belong.
        bound: Upper bound of (B - S) / B, in [0, 1], where S is the mean score of the chosen layers over all pictures
            there could be and B that of the best k layers; 0 where no layer is tied.
    """

    chosen: tuple[int, ...]
    tied: tuple[int, ...]
    bound: float


def mean_errors(
    values: Float[np.ndarray, "images layers"], *, error_rate: float, draws: int = DRAWS, seed: int = 0
) -> MeanErrors:
    """Say how far means over pictures, and all their differences at once, may be off.

    The largest studentised error of all means and differences is drawn by a multiplier bootstrap, that is from the
    normal distribution with the pictures' covariance, widened to Student's t for few pictures. Layers are drawn
    together: a picture on which all of them score high moves no difference.

    Args:
        values: Every picture's score by layer; at least two pictures.
        error_rate: How often any of the errors may be larger than said, in (0, 1).
        draws: Number of draws.
        seed: Seed of the draws.

    Returns:
        Means and greatest errors.

    Source: Chernozhukov, Chetverikov & Kato 2013 (multiplier bootstrap of maxima); Hothorn, Bretz & Westfall 2008, 3
    (all contrasts at once, multivariate t).
    """
    images, layers = values.shape
    _, sizes, axes = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    root = sizes[:, None] * axes / np.sqrt(images * (images - 1))
    points = np.concatenate([root.T, np.zeros((1, len(root)))])  # one row a layer; less the last, it is the mean itself
    first, second = np.triu_indices(layers + 1, k=1)
    spread = np.linalg.norm(points[first] - points[second], axis=1)
    known = spread > SMALLEST
    contrasts = (points[first] - points[second])[known] / spread[known, None]
    generator = np.random.Generator(np.random.Philox(key=[seed % 2**64, LOOK_STREAM]))
    normal = generator.standard_normal((draws, len(root)))
    student = normal * np.sqrt((images - 1) / generator.chisquare(images - 1, size=(draws, 1)))
    blocks = (student[start : start + DRAW_BLOCK] for start in range(0, draws, DRAW_BLOCK))
    largest = np.concatenate([np.abs(block @ contrasts.T).max(axis=1, initial=0.0) for block in blocks])
    reach = np.quantile(largest, 1 - error_rate, method="higher")
    widths = np.zeros((layers + 1, layers + 1))
    widths[first, second] = widths[second, first] = reach * spread
    return MeanErrors(values.mean(axis=0), widths[:layers, layers], widths[:layers, :layers])


def bound_regret(errors: MeanErrors, *, k: int) -> RegretBound:
    """Choose the k layers of highest mean and bound what the choice may cost.

    A better set swaps some chosen layers for others, one for one. A swap of i for j gains at most
    u_ij = mean_j - mean_i + width_ij; as each layer is swapped once, all swaps together gain at most the sum over
    chosen layers of their largest u, and at most the sum over the others of theirs. With c the smaller sum over k and m
    the least mean of the chosen set, the bound is c / (m + c).

    Args:
        errors: Means and how far they may be off.
        k: Layers to choose, fewer than there are.

    Returns:
        The choice, the layers tied at its cut (some swap might gain), and the bound; of equal means the earlier layer
        is chosen.

    Source: ours; the distance from the best after Hsu 1984, for sets.

    Example:
        >>> widths = np.full((3, 3), 0.2)
        >>> bound_regret(MeanErrors(np.array([0.9, 0.5, 0.4]), np.full(3, 0.1), widths), k=1)
        RegretBound(chosen=(0,), tied=(), bound=0.0)
    """
    order = np.argsort(-errors.means, kind="stable")
    chosen, others = np.sort(order[:k]), np.sort(order[k:])
    gains = errors.means[others] - errors.means[chosen][:, None] + errors.difference_widths[np.ix_(chosen, others)]
    gains = np.maximum(gains, 0.0)
    cost = min(gains.max(axis=1).sum(), gains.max(axis=0).sum()) / k
    mean = float((errors.means - errors.widths)[chosen].mean())
    tied = [*chosen[gains.any(axis=1)].tolist(), *others[gains.any(axis=0)].tolist()]
    return RegretBound(
        chosen=tuple(chosen.tolist()),
        tied=tuple(sorted(tied)),
        bound=0.0 if not cost else 1.0 if mean <= 0 else float(cost / (mean + cost)),
    )
