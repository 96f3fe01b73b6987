"""Where each image token stands in the order of a head's attention, measured in area."""

import dataclasses

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headimpact.scoring.sorting import descending_order


@dataclasses.dataclass(frozen=True, eq=False)
class RankedTokens:
    """Every head's image tokens from the highest attention to the lowest.

    Attributes:
        order: Token numbers.
        above: Area of the tokens with more attention than the one at this place.
        through: Area of those with at least as much, its own included; equal attention gives equal numbers.
        tied: Rows that hold equal attention anywhere.
    """

    order: Int[Tensor, "rows image_tokens"]
    above: Float[Tensor, "rows image_tokens"]
    through: Float[Tensor, "rows image_tokens"]
    tied: Int[Tensor, " tied_rows"]

    def by_token(self, values: Float[Tensor, "rows image_tokens"]) -> Float[Tensor, "rows image_tokens"]:
        """Bring values back into the order of the tokens."""
        return torch.empty_like(values).scatter_(1, self.order, values)


def rank_tokens(rows: Float[Tensor, "rows image_tokens"], weights: Float[Tensor, " image_tokens"]) -> RankedTokens:
    """Sort every head's tokens and add up area down the order, tokens of equal attention taken together.

    Args:
        rows: Attention of some heads.
        weights: Area of each token, above 0, as `token_weights` gives it: sums of them are exact.

    Returns:
        The ranks.

    Example:
        >>> ranked = rank_tokens(torch.tensor([[0.2, 0.5, 0.2]]), torch.tensor([1.0, 0.5, 1.0]).double())
        >>> ranked.above.tolist(), ranked.through.tolist()
        ([[0.0, 0.5, 0.5]], [[0.5, 2.5, 2.5]])
    """
    order = descending_order(rows)
    ordered = rows.gather(1, order)
    if bool((weights == weights[0]).all()):
        # Equal tokens stand at the same places in every row, and single precision counts them exactly.
        weights = weights.to(torch.float32)
        through = weights.cumsum(dim=0).repeat(len(rows), 1)
        above = through - weights
    else:
        area = weights[order]
        through = area.cumsum(dim=1)
        above = through - area
    last = is_last(ordered)
    tied = (~last.all(dim=1)).nonzero()[:, 0]
    if len(tied):
        first = torch.nn.functional.pad(last[tied, :-1], (1, 0), value=True)
        above[tied] = torch.where(first, above[tied], 0.0).cummax(dim=1).values
        through[tied] = value_at_next(through[tied], last[tied])
    return RankedTokens(order=order, above=above, through=through, tied=tied)


def is_last(ordered: Float[Tensor, "*rows places"]) -> Bool[Tensor, "*rows places"]:
    """Mark the last of each run of equal values."""
    differs = ordered[..., 1:] != ordered[..., :-1]
    return torch.nn.functional.pad(differs, (0, 1), value=True)


def value_at_next(
    values: Float[Tensor, "*rows places"], marked: Bool[Tensor, "*rows places"]
) -> Float[Tensor, "*rows places"]:
    """Give for each place of rising values the one at the next marked place, itself included; the last is marked."""
    return torch.where(marked, values, torch.inf).flip(-1).cummin(dim=-1).values.flip(-1)
