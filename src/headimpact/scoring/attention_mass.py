"""Attention mass: how much of a head's attention lies on the key object."""

from jaxtyping import Float, Int
from torch import Tensor

from headimpact.scoring.shared_work import once
from headimpact.scoring.views import ViewTokens, average_views


def attention_mass(
    maps: Float[Tensor, "layers heads image_tokens"],
    coverage: Float[Tensor, "masks image_tokens"],
    areas: Float[Tensor, " image_tokens"],
    *,
    views: Int[Tensor, " image_tokens"] | None = None,
) -> Float[Tensor, "masks layers heads"]:
    """Add up every head's attention to the key tokens.

    The sum is over attention itself, not over its share of the image: a head that hardly looks at the picture scores
    low however well it aims. Compare `energy_pointing`, which takes that out.

    Args:
        maps: Attention to the image tokens, averaged over response rows; at least 0.
        coverage: Share of each token's area that a mask covers: the sample's own and its donors'.
        areas: Area of each token on the image plane; 0 for tokens without a place there.
        views: Label of each token where a picture enters whole and in tiles; each view is scored by itself and views
            are averaged by the area they see. One view if left out.

    Returns:
        Mass in [0, 1] in single precision, 1 where all of the head's attention, text included, is on the key object;
        NaN for masks that say nothing on this grid (`key_tokens`) and for heads with NaN in their map. Higher is
        better.

    Source: what picks gaze heads, arXiv 2606.14703, and the retrieval attention mass of CoRe heads, arXiv 2606.05843;
    key tokens and the mean over rows are this project's (`docs/method.md`).

    Example:
        >>> import torch
        >>> maps = torch.tensor([[[0.1, 0.3, 0.2, 0.0]]])
        >>> coverage = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
        >>> [round(mass, 4) for mass in attention_mass(maps, coverage, torch.ones(4)).flatten().tolist()]
        [0.3, 0.2]
    """
    return average_views(maps, coverage, areas, views, lambda rows, tokens: once(ViewTokens.sum_inside, tokens, rows))
