"""Pointing game: whether the token that a head attends to most is the key object's."""

from jaxtyping import Float, Int
from torch import Tensor

from headimpact.scoring.views import ViewTokens, average_views


def pointing_game(
    maps: Float[Tensor, "layers heads image_tokens"],
    coverage: Float[Tensor, "masks image_tokens"],
    areas: Float[Tensor, " image_tokens"],
    *,
    views: Int[Tensor, " image_tokens"] | None = None,
) -> Float[Tensor, "masks layers heads"]:
    """Look whether every head's token of highest attention is a key token.

    One of several tokens with the same highest attention is drawn at random, each by its area, and the hit averaged
    over the draw: a head that looks everywhere alike scores the key tokens' share of the area.

    Args:
        maps: Attention to the image tokens, averaged over response rows; at least 0.
        coverage: Share of each token's area that a mask covers: the sample's own and its donors'.
        areas: Area of each token on the image plane; 0 for tokens without a place there.
        views: Label of each token where a picture enters whole and in tiles; each view is scored by itself and views
            are averaged by the area they see. One view if left out.

    Returns:
        1 for a hit and 0 for a miss, in between for ties and over views, in single precision; the mean over pictures
        is the share of hits. NaN for masks that say nothing on this grid (`key_tokens`) and for heads with NaN in
        their map. Higher is better.

    Source: Zhang et al., "Top-down Neural Attention by Excitation Backprop", arXiv 1608.00507, the pointing game;
    there the maximum is a pixel, here a token, and no margin around the object counts as a hit.

    Example:
        >>> import torch
        >>> maps = torch.tensor([[[0.1, 0.3, 0.3, 0.0]]])
        >>> coverage = torch.tensor([[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 1.0]])
        >>> pointing_game(maps, coverage, torch.ones(4)).flatten().tolist()
        [0.5, 0.0]
    """
    return average_views(maps, coverage, areas, views, _hits)


def _hits(rows: Float[Tensor, "rows image_tokens"], tokens: ViewTokens) -> Float[Tensor, "rows masks"]:
    """Give the key tokens' share of the area of highest attention."""
    highest = (rows == rows.amax(dim=1, keepdim=True)) * tokens.weights
    return tokens.sum_inside(highest) / highest.sum(dim=1, keepdim=True)
