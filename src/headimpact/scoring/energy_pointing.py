"""Energy-based pointing: which share of a head's attention to the picture lies on the key object."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headimpact.scoring.shared_work import once
from headimpact.scoring.views import ViewTokens, average_views


def energy_pointing(
    maps: Float[Tensor, "layers heads image_tokens"],
    coverage: Float[Tensor, "masks image_tokens"],
    areas: Float[Tensor, " image_tokens"],
    *,
    views: Int[Tensor, " image_tokens"] | None = None,
) -> Float[Tensor, "masks layers heads"]:
    """Divide every head's attention to the key tokens by its attention to all image tokens.

    How much the head looks at the picture does not matter, only where. A head without any attention to the picture
    counts as one that looks everywhere alike.

    Args:
        maps: Attention to the image tokens, averaged over response rows; at least 0.
        coverage: Share of each token's area that a mask covers: the sample's own and its donors'.
        areas: Area of each token on the image plane; 0 for tokens without a place there.
        views: Label of each token where a picture enters whole and in tiles; each view is scored by itself and views
            are averaged by the area they see. One view if left out.

    Returns:
        Share in [0, 1] in single precision, 1 where the head sees nothing of the picture but the key object; NaN for
        masks that say nothing on this grid (`key_tokens`) and for heads with NaN in their map. Higher is better.

    Source: energy-based pointing game, Wang et al. 2020, "Score-CAM", section 4.3 (there with a box for the object);
    here with the key tokens of its mask.

    Example:
        >>> maps = torch.tensor([[[0.1, 0.3, 0.2, 0.0]]])
        >>> coverage = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
        >>> [round(share, 4) for share in energy_pointing(maps, coverage, torch.ones(4)).flatten().tolist()]
        [0.5, 0.3333]
    """
    return average_views(maps, coverage, areas, views, lambda rows, tokens: once(energy_shares, rows, tokens))


def energy_shares(rows: Float[Tensor, "rows image_tokens"], tokens: ViewTokens) -> Float[Tensor, "rows masks"]:
    """Give the key tokens' share of each head's attention within one view.

    Args:
        rows: Attention of some heads; at least 0.
        tokens: The view's tokens and masks.

    Returns:
        Shares in double precision; the key tokens' share of the area for heads without attention.
    """
    whole = rows.to(tokens.weights.dtype).sum(dim=1, keepdim=True)
    shares = once(ViewTokens.sum_inside, tokens, rows) / torch.where(whole > 0, whole, 1.0)
    return torch.where(whole > 0, shares, tokens.sizes / tokens.weights.sum())
