"""Depth alone: what a head's layer number says about its score before anything is known of the head."""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

from headimpact.core.shapes import HeadValues


@dataclasses.dataclass(frozen=True)
class DepthAlone:
    """How far the layer number predicts a score.

    Attributes:
        best: Highest value that the curve gives: what is to be expected of a head chosen by its layer number alone.
        layer_idx: The layer where it does.
        explained: Share of the variance over heads that the curve explains, adjusted for its own freedom: 1 where
            depth says all, about 0 (also below it) where it says nothing. NaN with too few heads, or where all have
            the same score.
    """

    best: float
    layer_idx: int
    explained: float


def depth_alone(values: HeadValues) -> DepthAlone | None:
    """Fit a parabola in the layer number to the heads' scores.

    Middle layers often localise best whatever the score, so a straight line would miss what depth knows; a parabola is
    the plainest curve with one bulge. Its freedom is paid for in `explained`:

        1 - [RSS / (n - 3)] / [TSS / (n - 1)]

    With fewer than three layers the curve is a line or a constant, and n - 3 grows accordingly.

    Args:
        values: One number per head; heads without one are left out. For layers, one column.

    Returns:
        What depth alone gives; None where no head has a score.

    Source: adjusted R^2, Ezekiel 1930, "Methods of Correlation Analysis"; depth as a baseline of its own and the
    parabola are ours (`docs/method.md`).

    Example:
        >>> found = depth_alone(np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]))
        >>> round(found.best, 6), found.layer_idx, round(found.explained, 6)
        (1.0, 1, 1.0)
    """
    layers, heads = np.nonzero(np.isfinite(values))
    if not layers.size:
        return None
    scores = values[layers, heads].astype(np.float64)
    present = np.unique(layers)
    degree = min(2, len(present) - 1)
    curve = _powers(layers, len(values), degree)
    weights = np.linalg.lstsq(curve, scores, rcond=None)[0]
    fitted = _powers(present, len(values), degree) @ weights
    best = int(fitted.argmax())
    left, total = _squares(scores - curve @ weights), _squares(scores - scores.mean())
    freedom = len(scores) - degree - 1
    explained = 1.0 - left / freedom / (total / (len(scores) - 1)) if freedom > 0 and total > 1e-18 else math.nan
    return DepthAlone(best=float(fitted[best]), layer_idx=int(present[best]), explained=explained)


def _powers(layers: np.ndarray, num_layers: int, degree: int) -> Float[np.ndarray, "units powers"]:
    """Give 1, x, x^2 of the layers, x from -1 to 1."""
    place = 2.0 * layers / max(num_layers - 1, 1) - 1.0
    return np.vander(place, degree + 1, increasing=True)


def _squares(differences: np.ndarray) -> float:
    """Add up squares."""
    return float(differences @ differences)
