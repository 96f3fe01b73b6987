"""Average precision: how clean the tokens that a head attends to most are, from the first key token to the last."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headimpact.scoring.attention_ranks import is_last, rank_tokens, value_at_next
from headimpact.scoring.shared_work import once
from headimpact.scoring.sorting import ascending, ascending_order
from headimpact.scoring.views import ViewTokens, average_views


def average_precision(
    maps: Float[Tensor, "layers heads image_tokens"],
    coverage: Float[Tensor, "masks image_tokens"],
    areas: Float[Tensor, " image_tokens"],
    *,
    views: Int[Tensor, " image_tokens"] | None = None,
) -> Float[Tensor, "masks layers heads"]:
    """Average the precision of every head's ranking over the key tokens.

    Going down the tokens from the highest attention, the precision at a key token is the share of key tokens among
    all down to it, those of equal attention taken in together; the key tokens' precisions are averaged by area. It
    looks at the top of the ranking where `auroc` looks at all of it.

    Args:
        maps: Attention to the image tokens, averaged over response rows; at least 0.
        coverage: Share of each token's area that a mask covers: the sample's own and its donors'.
        areas: Area of each token on the image plane; 0 for tokens without a place there.
        views: Label of each token where a picture enters whole and in tiles; each view is scored by itself and views
            are averaged by the area they see. One view if left out.

    Returns:
        Average precision in (0, 1] in single precision: |M| / |V| for uniform attention, 1 where every key token has
        more attention than any other; NaN for masks that say nothing on this grid (`key_tokens`) and for heads with
        NaN in their map. Higher is better.

    Source: sum over thresholds of (R_n - R_(n-1)) P_n, Manning et al. 2008, "Introduction to Information Retrieval",
    8.4, without interpolation; area as weight is this project's.

    Example:
        >>> maps = torch.tensor([[[0.1, 0.3, 0.2, 0.0]]])
        >>> coverage = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
        >>> average_precision(maps, coverage, torch.ones(4)).flatten().tolist()
        [1.0, 0.5]
    """
    return average_views(maps, coverage, areas, views, _mean_precision)


def _mean_precision(rows: Float[Tensor, "rows image_tokens"], tokens: ViewTokens) -> Float[Tensor, "rows masks"]:
    """Average precision over the key tokens of each mask, going through those alone."""
    ranked = once(rank_tokens, rows, tokens.weights)
    by_token = torch.nn.functional.pad(ranked.by_token(ranked.through), (0, 1), value=torch.inf)
    found = torch.empty(rows.shape[0], tokens.inside.shape[0], dtype=tokens.weights.dtype, device=rows.device)
    for masks, own, held in tokens.by_size:
        # What fills a mask's own tokens up is found beyond the last: it goes to the end and weighs nothing there.
        places = own.masked_fill(held == 0, rows.shape[1])
        through = by_token.index_select(1, places.flatten()).view(-1, *own.shape)
        if tokens.are_equal:
            through, area = ascending(through), held.to(through.dtype)[None]
        else:
            order = ascending_order(through)
            through, area = through.gather(2, order), held.expand(rows.shape[0], -1, -1).gather(2, order)
        hits = area.cumsum(dim=2)
        found[:, masks] = _mean(area, hits, through)
        if len(ranked.tied):
            # Tokens of equal attention are reached together: each counts the key tokens down to the last of them.
            tied = through[ranked.tied]
            area, hits = (part.expand_as(through)[ranked.tied] for part in (area, hits))
            found[ranked.tied[:, None], masks] = _mean(area, value_at_next(hits, is_last(tied)), tied)
    return found


def _mean(
    area: Float[Tensor, "*#rows masks own"],
    hits: Float[Tensor, "*#rows masks own"],
    through: Float[Tensor, "*#rows masks own"],
) -> Float[Tensor, "rows masks"]:
    """Average precision, hits through the area taken, over the area of the key tokens."""
    return ((area * hits) / through).sum(dim=-1).to(torch.float64) / area.sum(dim=-1)
