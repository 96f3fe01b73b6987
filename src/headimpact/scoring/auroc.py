"""AUROC: how well a head's attention ranks the key object's tokens above the others."""

from jaxtyping import Float, Int
from torch import Tensor

from headimpact.scoring.attention_ranks import rank_tokens
from headimpact.scoring.shared_work import once
from headimpact.scoring.views import ViewTokens, average_views


def auroc(
    maps: Float[Tensor, "layers heads image_tokens"],
    coverage: Float[Tensor, "masks image_tokens"],
    areas: Float[Tensor, " image_tokens"],
    *,
    views: Int[Tensor, " image_tokens"] | None = None,
) -> Float[Tensor, "masks layers heads"]:
    """Give the chance that a key token has more attention than another token of the picture.

    Both tokens are drawn by their area, and equal attention counts as half. No threshold, and no matter how large
    attention is: only its order counts. The head is sorted once for all masks:

        sum over j in M of w[j] (area below j + half of the area level with j)  =  area of won pairs + |M|^2 / 2

    because pairs within M are won half of the time.

    Args:
        maps: Attention to the image tokens, averaged over response rows; at least 0.
        coverage: Share of each token's area that a mask covers: the sample's own and its donors'.
        areas: Area of each token on the image plane; 0 for tokens without a place there.
        views: Label of each token where a picture enters whole and in tiles; each view is scored by itself and views
            are averaged by the area they see. One view if left out.

    Returns:
        Area under the ROC curve in [0, 1] in single precision, 0.5 for uniform attention, 1 where every key token has
        more attention than any other; NaN for masks that say nothing on this grid (`key_tokens`) and for heads with
        NaN in their map. Higher is better.

    Source: Hanley & McNeil 1982, the area under the curve as the Mann-Whitney statistic; area as weight is this
    project's.

    Example:
        >>> import torch
        >>> maps = torch.tensor([[[0.1, 0.3, 0.2, 0.0]]])
        >>> coverage = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
        >>> auroc(maps, coverage, torch.ones(4)).flatten().tolist()
        [1.0, 0.25]
    """
    return average_views(maps, coverage, areas, views, _won_pairs)


def _won_pairs(rows: Float[Tensor, "rows image_tokens"], tokens: ViewTokens) -> Float[Tensor, "rows masks"]:
    """Give the share of pairs of a key token and another one that the key token wins."""
    ranked = once(rank_tokens, rows, tokens.weights)
    whole, sizes = tokens.weights.sum(), tokens.sizes
    below = whole - ranked.by_token(ranked.above + ranked.through) / 2
    return (tokens.sum_inside(tokens.weights * below) - sizes.square() / 2) / (sizes * (whole - sizes))
