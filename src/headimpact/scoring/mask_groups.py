"""Masks of about the same size, taken together: each costs its own tokens and not all of the picture's."""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

MASKS_AT_ONCE = 8
"""Masks compared in one go at least: fewer calls, against idle room in the rows of the smaller ones."""

MaskGroup = tuple[Int[Tensor, " some"], Int[Tensor, "some own"], Float[Tensor, "some own"]]
"""Numbers of some masks, each one's own tokens, and the area of those."""

SMALL = 2**12
"""Tokens of some masks together that are no work: fewer calls count for more than idle room."""

GPU_SMALL = 2**14
"""The same on a GPU."""


def masks_by_size(
    inside: Bool[Tensor, "masks image_tokens"], weights: Float[Tensor, " image_tokens"], *, small: int = SMALL
) -> Iterator[MaskGroup]:
    """Go through the masks from the smallest to the largest, a few at a time.

    Args:
        inside: Key tokens of each mask.
        weights: Area of each token.
        small: Tokens of some masks together that may always go in one group.

    Yields:
        Numbers of some masks; each one's own tokens, filled up with others to the length of the largest; and the
        area of those tokens, 0 for what fills the row.
    """
    mask, token = inside.nonzero(as_tuple=True)
    counts = inside.sum(dim=1)
    sizes = counts.tolist()
    place = torch.arange(len(mask), device=inside.device) - (counts.cumsum(0) - counts)[mask]
    own = torch.zeros(len(sizes), max(sizes, default=0), dtype=torch.long, device=inside.device)
    own[mask, place] = token
    held = torch.zeros_like(own, dtype=weights.dtype)
    held[mask, place] = weights[token]
    smallest_first = sorted(range(len(sizes)), key=sizes.__getitem__)
    start = 0
    while start < len(sizes):
        stop = start + MASKS_AT_ONCE
        while stop < len(sizes) and (stop + 1 - start) * sizes[smallest_first[stop]] <= small:
            stop += 1
        masks = smallest_first[start:stop]
        longest = slice(0, sizes[masks[-1]])
        yield torch.tensor(masks), own[masks, longest], held[masks, longest]
        start = stop
