"""Rules that turn a head's attention into a predicted region without looking at the mask."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headimpact.core.errors import OptionError

ROUNDING = 1e-9


def above_mean(
    maps: Float[Tensor, "rows image_tokens"], weights: Float[Tensor, " image_tokens"], *, k: float = 1.0
) -> Bool[Tensor, "rows image_tokens"]:
    """Mark tokens with more than k times the area-weighted mean attention.

    Args:
        maps: Attention of each head to the image tokens.
        weights: Area of each token.
        k: Factor; above 0.

    Returns:
        The predicted region; empty for uniform attention with k >= 1.

    Raises:
        OptionError: If k is not above 0.

    Source: an option of ours; scores page (`docs/method.md`).

    Example:
        >>> above_mean(torch.tensor([[1.0, 2.0, 6.0]]), torch.ones(3, dtype=torch.float64)).tolist()
        [[False, False, True]]
    """
    if not k > 0:
        raise OptionError(f"Factor of the rule 'mean' out of range: {k}. Expected a number above 0, such as 1.0.")
    precise = maps.to(weights.dtype)
    mean = precise @ weights / weights.sum()
    return precise > k * mean[:, None] * (1 + ROUNDING)


def above_quantile(
    maps: Float[Tensor, "rows image_tokens"], weights: Float[Tensor, " image_tokens"], *, quantile: float = 0.8
) -> Bool[Tensor, "rows image_tokens"]:
    """Mark tokens above the attention below which a share `quantile` of the area lies.

    The threshold is the smallest attention value v such that tokens with at most v take at least that
    share of the area; nothing is interpolated.

    Args:
        maps: Attention of each head to the image tokens.
        weights: Area of each token.
        quantile: Share of the area left out; in (0, 1).

    Returns:
        The predicted region, at most 1 - quantile of the area; empty for uniform attention.

    Raises:
        OptionError: If quantile is not in (0, 1).

    Source: an option of ours; scores page (`docs/method.md`).
    """
    if not 0 < quantile < 1:
        raise OptionError(f"Quantile out of range: {quantile}. Expected a number in (0, 1), such as 0.8.")
    ordered, order = maps.sort(dim=1)
    filled = weights[order].cumsum(dim=1)
    goal = (quantile * weights.sum() * (1 - ROUNDING)).expand(maps.shape[0], 1).contiguous()
    cut = torch.searchsorted(filled, goal).clamp(max=maps.shape[1] - 1)
    return maps > ordered.gather(1, cut)


def above_otsu(
    maps: Float[Tensor, "rows image_tokens"], weights: Float[Tensor, " image_tokens"]
) -> Bool[Tensor, "rows image_tokens"]:
    """Mark tokens above the threshold that separates attention into two classes best.

    Every cut between two different values is tried (no histogram); the one of the largest variance
    between the classes, w0 w1 (mu0 - mu1)^2 with area as weight, wins, the lowest among equals.

    Args:
        maps: Attention of each head to the image tokens.
        weights: Area of each token.

    Returns:
        The predicted region; empty where all tokens have the same attention.

    Source: Otsu, "A threshold selection method from gray-level histograms", 1979, eq. 14.
    """
    ordered, order = maps.sort(dim=1)
    values, mass = ordered.to(weights.dtype), weights[order]
    scale = values[:, -1:].abs().clamp(min=torch.finfo(values.dtype).tiny)
    below = mass.cumsum(dim=1)
    moment = (mass * values / scale).cumsum(dim=1)
    total, total_moment = below[:, -1:], moment[:, -1:]
    between = (total_moment * below - total * moment).square() / (below * (total - below)).clamp(min=ROUNDING)
    is_cut = torch.zeros_like(between, dtype=torch.bool)
    is_cut[:, :-1] = ordered[:, 1:] > ordered[:, :-1]
    best = torch.where(is_cut, between, -1.0).argmax(dim=1, keepdim=True)
    return (maps > ordered.gather(1, best)) & is_cut.any(dim=1, keepdim=True)
