"""Sink share: how much of a head's attention to the picture goes to sinks; it needs no mask."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headimpact.scoring.shared_work import once
from headimpact.scoring.sinks import find_sinks
from headimpact.scoring.token_components import box_areas
from headimpact.scoring.views import average_views_without_masks


def sink_share(
    maps: Float[Tensor, "layers heads image_tokens"],
    boxes: Float[Tensor, "image_tokens 4"],
    *,
    views: Int[Tensor, " image_tokens"] | None = None,
) -> Float[Tensor, "layers heads"]:
    """Give the share of every head's attention to the picture that the picture's sinks (`find_sinks`) draw.

    Args:
        maps: Attention to the image tokens, averaged over response rows; at least 0.
        boxes: Rectangle (x0, y0, x1, y1) of each token on the image plane; without area for tokens without a place.
        views: Label of each token where a picture enters whole and in tiles; views are averaged by the area they see.

    Returns:
        Share in [0, 1] in single precision, 0 in a picture without sinks; a head without any attention to the picture
        counts as one that looks everywhere alike; NaN for heads with NaN in their map. Higher is more attention to
        sinks, which is not better.

    Source: Kang et al., arXiv 2503.03321, whose image-centric heads are those where it is at most 0.5; sinks as in
    `find_sinks`.

    Example:
        >>> edges = torch.linspace(0, 1, 41)
        >>> boxes = torch.stack([edges[:-1], torch.zeros(40), edges[1:], torch.ones(40)], dim=1)
        >>> maps = torch.full((1, 2, 40), 0.01)
        >>> maps[:, :, 3] = 0.61
        >>> [round(share, 2) for share in sink_share(maps, boxes).flatten().tolist()]
        [0.61, 0.61]
    """
    areas = once(box_areas, boxes)
    sinks = find_sinks(maps, areas, views=views)

    def share(rows: Tensor, chosen: Tensor) -> Tensor:
        precise = rows.to(torch.float64)
        total, inside = precise.sum(dim=1), precise[:, sinks[chosen]].sum(dim=1)
        even = areas[chosen][sinks[chosen]].sum() / areas[chosen].sum()
        return torch.where(total > 0, inside / total.clamp(min=1e-300), even.to(torch.float64))

    return average_views_without_masks(maps, areas, views, share)
