"""Image attention: how much of a head's attention goes to the picture at all; it needs no mask."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headimpact.scoring.shared_work import once
from headimpact.scoring.token_components import box_areas
from headimpact.scoring.views import average_views_without_masks


def image_attention(
    maps: Float[Tensor, "layers heads image_tokens"],
    boxes: Float[Tensor, "image_tokens 4"],
    *,
    views: Int[Tensor, " image_tokens"] | None = None,
) -> Float[Tensor, "layers heads"]:
    """Add up every head's attention to the image tokens.

    It says nothing about where the head looks; sinks among the image tokens count like any other.

    Args:
        maps: Attention to the image tokens, averaged over response rows; at least 0.
        boxes: Rectangle (x0, y0, x1, y1) of each token on the image plane; without area for tokens without a place.
        views: Label of each token where a picture enters whole and in tiles; views are averaged by the area they see.

    Returns:
        S in [0, 1] in single precision, 1 where the head attends to nothing but the picture; NaN for heads with NaN in
        their map. Higher is more attention to the picture, which is not better in itself.

    Source: Kang et al., arXiv 2503.06287, criterion 1 (attention sum), there of the last text token's row.

    Example:
        >>> boxes = torch.tensor([[0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
        >>> round(image_attention(torch.tensor([[[0.25, 0.5, 0.125]]]), boxes).item(), 4)
        0.75
    """
    return once(_sums, maps, boxes, views)


def _sums(
    maps: Float[Tensor, "layers heads image_tokens"],
    boxes: Float[Tensor, "image_tokens 4"],
    views: Int[Tensor, " image_tokens"] | None,
) -> Float[Tensor, "layers heads"]:
    """Add up attention view by view."""
    areas = once(box_areas, boxes)
    return average_views_without_masks(maps, areas, views, lambda rows, _: rows.to(torch.float64).sum(dim=1))
