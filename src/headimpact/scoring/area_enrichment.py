"""Area enrichment: how many times more attention the key object draws than its area would."""

from jaxtyping import Float, Int
from torch import Tensor

from headimpact.scoring.energy_pointing import energy_shares
from headimpact.scoring.shared_work import once
from headimpact.scoring.views import average_views


def area_enrichment(
    maps: Float[Tensor, "layers heads image_tokens"],
    coverage: Float[Tensor, "masks image_tokens"],
    areas: Float[Tensor, " image_tokens"],
    *,
    views: Int[Tensor, " image_tokens"] | None = None,
) -> Float[Tensor, "masks layers heads"]:
    """Divide every head's `energy_pointing` by the key tokens' share of the picture's area.

    It makes small and large objects comparable one by one; averaged over pictures, small ones weigh most, for they
    can reach the largest values.

    Args:
        maps: Attention to the image tokens, averaged over response rows; at least 0.
        coverage: Share of each token's area that a mask covers: the sample's own and its donors'.
        areas: Area of each token on the image plane; 0 for tokens without a place there.
        views: Label of each token where a picture enters whole and in tiles; each view is scored by itself and views
            are averaged by the area they see. One view if left out.

    Returns:
        Ratio in single precision: 1 for attention that is the same on all tokens (of equal area), 0 where the head
        looks past the key object, at most |V| / |M|; NaN for masks that say nothing on this grid (`key_tokens`) and
        for heads with NaN in their map. Higher is better.

    Source: an option of ours, `docs/method.md`; the share is that of Wang et al. 2020, "Score-CAM", section 4.3.

    Example:
        >>> import torch
        >>> maps = torch.tensor([[[0.1, 0.3, 0.2, 0.0]]])
        >>> coverage = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
        >>> [round(ratio, 4) for ratio in area_enrichment(maps, coverage, torch.ones(4)).flatten().tolist()]
        [2.0, 0.6667]
    """
    return average_views(
        maps,
        coverage,
        areas,
        views,
        lambda rows, tokens: once(energy_shares, rows, tokens) / (tokens.sizes / tokens.weights.sum()),
    )
