"""Regions of image tokens as connected pieces: tokens whose rectangles touch belong together, corners included."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

TOUCHING = 1e-6
"""Rectangles this near touch: far below a token's size, far above rounding; in shares of the picture."""

PAIRS_AT_ONCE = 2**22


def box_areas(boxes: Float[Tensor, "image_tokens 4"]) -> Float[Tensor, " image_tokens"]:
    """Give the area of each token's rectangle; 0 where it has none."""
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0.0)
    return sides[:, 0] * sides[:, 1]


def touching_tokens(boxes: Float[Tensor, "image_tokens 4"]) -> Int[Tensor, "image_tokens touching"]:
    """List for each token those that it touches, itself included.

    On one grid these are the eight around a token; where tiles lie side by side, tokens touch across their border.

    Args:
        boxes: Rectangle (x0, y0, x1, y1) of each token.

    Returns:
        Token numbers; shorter lists are filled up with the token itself.
    """
    count = boxes.shape[0]
    step = max(1, PAIRS_AT_ONCE // max(count, 1))
    low, high = (boxes[:, :2] - TOUCHING).T, boxes[:, 2:].T
    pairs = []
    for start in range(0, count, step):
        some = slice(start, start + step)
        meet = torch.ones((), dtype=torch.bool, device=boxes.device)
        for start_of, end_of in zip(low, high, strict=True):
            meet = meet & (start_of[some, None] <= end_of[None]) & (start_of[None] <= end_of[some, None])
        pairs.append(meet.nonzero() + boxes.new_tensor([start, 0]).long())
    token, other = torch.cat(pairs).T
    number = torch.bincount(token, minlength=count)
    place = torch.arange(len(token), device=boxes.device) - (number.cumsum(0) - number)[token]
    itself = torch.arange(count, device=boxes.device)[:, None]
    touching = itself.expand(-1, int(number.max())).clone()
    touching[token, place] = other
    return touching


def component_areas(
    regions: Bool[Tensor, "rows image_tokens"],
    touching: Int[Tensor, "image_tokens touching"],
    weights: Float[Tensor, " image_tokens"],
) -> Float[Tensor, "rows image_tokens"]:
    """Measure the connected pieces of some regions.

    Every token of a region takes the highest token number among those it touches, then the number that the token of
    that number has, until nothing changes: each piece ends up under the number of its highest token.

    Args:
        regions: One region per row.
        touching: As `touching_tokens` gives it.
        weights: Area of each token.

    Returns:
        Area of each piece, at the place of its highest token; 0 elsewhere.
    """
    outside = -1
    # Short labels: passes over them move fewer bytes.
    short = torch.int16 if regions.shape[1] < torch.iinfo(torch.int16).max else torch.int32
    tokens = torch.arange(regions.shape[1], device=regions.device, dtype=short)[:, None]
    # One token's labels in all regions lie side by side, so that looking at a neighbour is a plain copy.
    inside = regions.T.contiguous()
    labels = torch.where(inside, tokens, tokens.new_tensor(outside))
    while True:
        spread = labels
        for neighbours in touching.T:
            spread = torch.maximum(spread, labels[neighbours])
        spread = torch.where(inside, spread.gather(0, spread.clamp(min=0).long()), tokens.new_tensor(outside))
        if torch.equal(spread, labels):
            break
        labels = spread
    pieces = torch.zeros(labels.shape, dtype=weights.dtype, device=regions.device)
    return pieces.scatter_add(0, labels.clamp(min=0).long(), inside * weights[:, None]).T
