"""Regions of image tokens as connected pieces: tokens whose rectangles touch belong together, corners included."""

import functools

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

TOUCHING = 1e-6
"""Rectangles this near touch: far below a token's size, far above rounding; in shares of the picture."""

PAIRS_AT_ONCE = 2**22

GRIDS_KEPT = 16
"""Grids whose touching tokens are remembered: most models have one or a few for all pictures."""

JUMPS = 2
"""Steps that every token goes up between two looks at its neighbours; more of them save few looks."""


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
        Token numbers; shorter lists are filled up with the token itself. To be read only: the same for the same boxes.
    """
    plain = boxes.cpu().numpy()
    return _touching(plain.tobytes(), plain.dtype.str, boxes.device)


@functools.lru_cache(maxsize=GRIDS_KEPT)
def _touching(content: bytes, dtype: str, device: torch.device) -> Int[Tensor, "image_tokens touching"]:
    """Compare every rectangle with every other one."""
    boxes = torch.from_numpy(np.frombuffer(content, dtype=dtype).reshape(-1, 4).copy()).to(device)
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

    Every token of a region points to one of its piece with at least its own number, at first to itself. Until no token
    touches one that points elsewhere, the token that others point to takes the highest number among all that those
    touch, and all follow the pointers. Each piece ends up under the number of its highest token.

    Args:
        regions: One region per row.
        touching: As `touching_tokens` gives it.
        weights: Area of each token.

    Returns:
        Area of each piece, at the place of its highest token; 0 elsewhere.

    Source: hooking and pointer jumping, Shiloach & Vishkin 1982, "An O(log n) parallel connectivity algorithm".
    """
    # Short labels: passes over them move fewer bytes. Label 0 stands for "in no region", token t has the label t + 1.
    short = torch.int16 if regions.shape[1] < torch.iinfo(torch.int16).max else torch.int32
    # One token's labels in all regions lie side by side, so that looking at a neighbour is a plain copy.
    inside = torch.nn.functional.pad(regions.T, (0, 0, 1, 0)).to(short)
    labels = inside * torch.arange(len(inside), device=regions.device, dtype=short)[:, None]
    neighbours = torch.nn.functional.pad(touching.T + 1, (1, 0)).flatten()
    while True:
        spread = inside * labels.index_select(0, neighbours).view(-1, *labels.shape).amax(dim=0)
        if torch.equal(spread, labels):
            break
        pointed_to = labels.long()
        labels = labels.scatter_reduce(0, pointed_to, spread, "amax").gather(0, pointed_to)
        for _ in range(JUMPS):
            labels = labels.gather(0, labels.long())
    pieces = torch.zeros(labels.shape, dtype=weights.dtype, device=regions.device)
    return pieces.scatter_add(0, labels.long()[1:], inside[1:] * weights[:, None])[1:].T
