"""Visual score: how often a head's highest weight over all keys is on the key object, small objects counting more."""

from jaxtyping import Float, Int
from torch import Tensor

from headimpact.scoring.views import ViewTokens, average_views


def visual_score(
    peaks: Float[Tensor, "layers heads image_tokens"],
    coverage: Float[Tensor, "masks image_tokens"],
    areas: Float[Tensor, " image_tokens"],
    *,
    views: Int[Tensor, " image_tokens"] | None = None,
) -> Float[Tensor, "masks layers heads"]:
    """Average over response rows: 1 / |M| where the row's highest weight, over all keys, is on a key token, else 0.

    |M| counts key tokens. Text and start tokens compete, so most heads score 0: it asks for heads that look at the
    object more than at anything else.

    Args:
        peaks: Share of the response rows whose highest weight over all keys of the sequence is at each image token, as
            the capture gives it beside the maps; sums to at most 1.
        coverage: Share of each token's area that a mask covers: the sample's own and its donors'.
        areas: Area of each token on the image plane; 0 for tokens without a place there.
        views: Label of each token where a picture enters whole and in tiles; each view is scored by itself and views
            are averaged by the area they see.

    Returns:
        Values in [0, 1] in single precision; NaN for masks that say nothing on this grid and for heads with NaN in
        their peaks. Higher is better.

    Source: SparseMM, Wang et al., arXiv 2506.05344 (visual score). There the mask is the box of the text that a
    generated token reads, here that of the key objects, for every token of the response. The released code, as its
    public copies have it, lets a generated token count only where it is part of exactly one box's text, adds up over
    tokens without dividing, and counts the tiles' tokens alone.

    Example:
        >>> import torch
        >>> peaks = torch.tensor([[[0.5, 0.25, 0.0, 0.0]]])
        >>> coverage = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
        >>> visual_score(peaks, coverage, torch.ones(4)).flatten().tolist()
        [0.375, 0.0]
    """
    return average_views(peaks, coverage, areas, views, _hits_by_size)


def _hits_by_size(rows: Float[Tensor, "rows image_tokens"], tokens: ViewTokens) -> Float[Tensor, "rows masks"]:
    """Divide the rows' peaks on each mask by its number of tokens."""
    return tokens.sum_inside(rows) / tokens.inside.sum(dim=1)
