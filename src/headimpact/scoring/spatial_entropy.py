"""Spatial entropy: whether a head's map is one of the least scattered; it needs no mask."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headimpact.scoring.binarization import above_mean
from headimpact.scoring.image_attention import image_attention
from headimpact.scoring.key_tokens import token_weights
from headimpact.scoring.shared_work import once
from headimpact.scoring.token_components import box_areas, component_areas, touching_tokens
from headimpact.scoring.views import average_views_without_masks

CHOSEN_HEADS = 10
"""Heads of lowest entropy that a picture chooses."""


def spatial_entropy(
    maps: Float[Tensor, "layers heads image_tokens"],
    boxes: Float[Tensor, "image_tokens 4"],
    *,
    views: Int[Tensor, " image_tokens"] | None = None,
) -> Float[Tensor, "layers heads"]:
    """Say which heads one picture chooses: those of lowest `map_entropy` among those that look at it enough.

    Heads whose `image_attention` is below the elbow of all heads' (`elbow`) are left out, as are maps without a
    region; of the others, the `CHOSEN_HEADS` of lowest entropy are chosen. Heads of equal entropy at the cut share
    the places left, for many maps are one piece and have entropy 0. The heads of all layers compete.

    Args:
        maps: Attention to the image tokens, averaged over response rows; at least 0.
        boxes: Rectangle (x0, y0, x1, y1) of each token on the image plane; without area for tokens without a place.
        views: Label of each token where a picture enters whole and in tiles; views are averaged by the area they see.

    Returns:
        1 for chosen heads, 0 for others, in between for ties, in single precision; the mean over pictures is the
        selection frequency. NaN for heads with NaN in their map. Higher is better.

    Source: Kang et al., arXiv 2503.06287, criteria 1 and 2 and the selection frequency. The released code, as its
    public copies have it, differs from the paper: it cuts at twice the mean, weighs pieces by their attention above
    the cut, leaves out the first two layers and maps that look at the bottom row, and breaks ties by layer. This
    follows the paper.
    """
    attention = image_attention(maps, boxes, views=views)
    known = ~attention.isnan()
    if not bool(known.any()):
        return attention
    looks = known & (attention >= elbow(attention[known]))
    entropy = torch.full_like(attention, torch.nan)
    entropy[looks] = map_entropy(maps[looks][None], boxes, views=views)[0]
    competes = ~entropy.isnan()
    chosen = torch.where(known, 0.0, torch.nan)
    chosen[competes] = lowest_shares(entropy[competes], count=CHOSEN_HEADS)
    return chosen


def map_entropy(
    maps: Float[Tensor, "layers heads image_tokens"],
    boxes: Float[Tensor, "image_tokens 4"],
    *,
    views: Int[Tensor, " image_tokens"] | None = None,
) -> Float[Tensor, "layers heads"]:
    """Measure how scattered every head's map is: the entropy of the sizes of its pieces.

    The map is cut at its mean; tokens above it that touch, corners included, are one piece C_n, and
    H = - sum over n of P_n log P_n with P_n = |C_n| / sum |C_i|, sizes in area.

    Args:
        maps: Attention to the image tokens; at least 0.
        boxes: Rectangle (x0, y0, x1, y1) of each token on the image plane.
        views: Label of each token where a picture enters whole and in tiles; views are averaged by the area they see.

    Returns:
        Entropy in nats in single precision, 0 for one piece; NaN for maps without a region (the same attention
        everywhere) and for heads with NaN in their map. Lower is better.

    Source: Kang et al., arXiv 2503.06287, criterion 2; spatial entropy after Peruzzo et al., arXiv 2206.04636.
    """
    areas = once(box_areas, boxes)

    def entropies(rows: Tensor, chosen: Tensor) -> Tensor:
        weights = token_weights(areas[chosen])
        pieces = component_areas(above_mean(rows, weights), touching_tokens(boxes[chosen]), weights)
        whole = pieces.sum(dim=1, keepdim=True)
        entropy = torch.special.entr(pieces / torch.where(whole > 0, whole, 1.0)).sum(dim=1)
        return torch.where(whole[:, 0] > 0, entropy, torch.nan)

    return average_views_without_masks(maps, areas, views, entropies)


def elbow(values: Float[Tensor, " values"]) -> float:
    """Give the value at the elbow of the sorted values: the one farthest from the line from lowest to highest.

    Args:
        values: At least one number, none NaN.

    Returns:
        One of the values; the lowest where they lie on a line.

    Source: stands for "maximum curvature" in Kang et al., arXiv 2503.06287, as in their released code.

    Example:
        >>> round(elbow(torch.tensor([0.9, 0.1, 0.1, 0.2])), 4)
        0.2
    """
    ordered = values.to(torch.float64).sort().values
    line = torch.linspace(float(ordered[0]), float(ordered[-1]), len(ordered), dtype=torch.float64)
    distance = (ordered.cpu() - line).abs()
    farthest = (distance >= distance.max() - 1e-12).nonzero()[0, 0]
    return float(ordered[farthest])


def lowest_shares(values: Float[Tensor, " values"], *, count: int) -> Float[Tensor, " values"]:
    """Give each value's share in the places for the lowest ones; equal values at the cut share what is left.

    Example:
        >>> lowest_shares(torch.tensor([0.0, 2.0, 1.0, 2.0]), count=3).tolist()
        [1.0, 0.5, 1.0, 0.5]
    """
    if len(values) <= count:
        return torch.ones_like(values)
    cut = values.sort().values[count - 1]
    below, level = values < cut, values == cut
    share = (count - below.sum()) / level.sum()
    return below.to(values.dtype) + level * share
