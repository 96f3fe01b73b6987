"""Sinks: image tokens that most heads look at, whatever is to be found where."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headimpact.scoring.views import view_tokens

TIMES_ITS_AREA = 10.0
"""A sink draws more than this many times its share of the area ..."""

SHARE_OF_HEADS = 0.5
"""... in at least this share of the heads that look at the picture at all."""


def find_sinks(
    maps: Float[Tensor, "layers heads image_tokens"],
    areas: Float[Tensor, " image_tokens"],
    *,
    views: Int[Tensor, " image_tokens"] | None = None,
) -> Bool[Tensor, " image_tokens"]:
    """Find the sinks of one picture by attention alone; no mask is asked.

    A token is a sink if it draws more than `TIMES_ITS_AREA` times what it would if the head looked everywhere alike, in
    at least `SHARE_OF_HEADS` of the heads. Both are compared within a view. A view of few tokens can have none: no
    token of 1 / 10 of the area or more can draw ten times its share.

    Args:
        maps: Attention to the image tokens; at least 0. Heads with NaN or without any attention are not asked.
        areas: Area of each token on the image plane; tokens without a place are no sinks.
        views: Label of each token where a picture enters whole and in tiles.

    Returns:
        Which tokens are sinks.

    Source: attention sinks, Xiao et al., arXiv 2309.17453; among image tokens, Kang et al., arXiv 2503.03321, who find
    them by large values (above 20, after root-mean-square scaling) in a few dimensions of the hidden states that are
    known for each language model. Those dimensions are not known for every model, so this goes by attention; rule
    and numbers are ours.

    Example:
        >>> maps = torch.full((1, 2, 40), 0.01)
        >>> maps[:, :, 3] = 0.6
        >>> find_sinks(maps, torch.ones(40)).nonzero().flatten().tolist()
        [3]
    """
    rows = maps.flatten(0, 1)
    sinks = torch.zeros(rows.shape[1], dtype=torch.bool, device=maps.device)
    for chosen in view_tokens(areas, views):
        seen = rows[:, chosen].float()
        total = seen.sum(dim=1, keepdim=True)
        looks = (total[:, 0] > 0) & ~total[:, 0].isnan()
        if not bool(looks.any()):
            continue
        even = areas[chosen].float() / areas[chosen].float().sum()
        draws = seen[looks] > TIMES_ITS_AREA * even * total[looks]
        sinks[chosen] = draws.float().mean(dim=0) >= SHARE_OF_HEADS
    return sinks
