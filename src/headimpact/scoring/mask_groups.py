"""Masks of about the same size, taken together: each costs its own tokens and not all of the picture's."""

from collections.abc import Iterator

from jaxtyping import Bool, Float, Int
from torch import Tensor, uint8

MASKS_AT_ONCE = 8
"""Masks compared in one go: fewer calls, which a GPU waits for, against idle room in the rows of the smaller ones."""


def masks_by_size(
    inside: Bool[Tensor, "masks image_tokens"], weights: Float[Tensor, " image_tokens"]
) -> Iterator[tuple[list[int], Int[Tensor, "some own"], Float[Tensor, "some own"]]]:
    """Go through the masks from the smallest to the largest, a few at a time.

    Args:
        inside: Key tokens of each mask.
        weights: Area of each token.

    Yields:
        Numbers of some masks; each one's own tokens, filled up with others to the length of the largest; and the
        area of those tokens, 0 for what fills the row.
    """
    order = inside.to(uint8).argsort(dim=1, descending=True, stable=True)
    shares = weights[order] * inside.gather(1, order)
    sizes = inside.sum(dim=1).tolist()
    smallest_first = sorted(range(len(sizes)), key=sizes.__getitem__)
    for start in range(0, len(sizes), MASKS_AT_ONCE):
        masks = smallest_first[start : start + MASKS_AT_ONCE]
        own = slice(0, sizes[masks[-1]])
        yield masks, order[masks, own], shares[masks, own]
