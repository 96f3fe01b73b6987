"""Which image tokens are the key object, and which samples say nothing about it."""

import dataclasses

import torch
from jaxtyping import Bool, Float
from torch import Tensor

CROPPED_AWAY = "cropped_away"
"""Skip reason: the mask touches no image token, the processor cropped the object away."""

COVERS_TOO_MUCH = "covers_too_much"
"""Skip reason: the key tokens take more than `LARGEST_SHARE` of the image tokens' area."""

LARGEST_SHARE = 0.8
TOLERANCE = 1e-6
AREA_STEPS = 2.0**12


@dataclasses.dataclass(frozen=True)
class KeyTokens:
    """The key tokens of several masks on one picture's grid.

    Attributes:
        inside: Whether a token is a key token (M); all False where nothing is touched.
        skipped: Per mask, why it says nothing on this grid, or None.
        weights: Area of each token, as `token_weights` gives it.
        sizes: Area |M| of each mask's key tokens, in these weights.
    """

    inside: Bool[Tensor, "masks image_tokens"]
    skipped: tuple[str | None, ...]
    weights: Float[Tensor, " image_tokens"]
    sizes: Float[Tensor, " masks"]


def key_tokens(coverage: Float[Tensor, "masks image_tokens"], areas: Float[Tensor, " image_tokens"]) -> KeyTokens:
    """Find the tokens that are at least half covered, or else those covered most.

    M = {j in V : m[j] >= 0.5}; where that is empty, all tokens of the highest coverage. V leaves out tokens
    without area. Coverages are compared with a tolerance of a millionth, so that rounding in the coverage
    decides neither about a token that is exactly half covered nor between equally covered ones. A donor
    mask is put through the same rules on the same grid; where it is skipped, it is no donor for that sample.

    Args:
        coverage: Share of each token's area that a mask covers, in [0, 1].
        areas: Area of each token on the image plane; 0 for tokens that see nothing of the picture.

    Returns:
        Key tokens and skip reasons, one per mask.

    Source: definition of M on the scores page of this project (`docs/method.md`); the binarisation of
    arXiv 2511.23375 is not known.
    """
    weights = token_weights(areas)
    is_placed = weights > 0
    seen = coverage.to(weights.dtype)
    if not bool(is_placed.all()):
        seen = torch.where(is_placed, seen, -1.0)
    inside = seen >= 0.5 - TOLERANCE
    sizes = inside.to(weights.dtype) @ weights
    is_thin = sizes == 0
    if seen.shape[1] and bool(is_thin.any()):
        thin = seen[is_thin]
        highest = thin.amax(dim=1, keepdim=True)
        inside[is_thin] = (thin >= highest - TOLERANCE) & (highest > TOLERANCE)
        sizes[is_thin] = inside[is_thin].to(weights.dtype) @ weights
    largest = LARGEST_SHARE * float(weights.sum())
    reasons = tuple(
        CROPPED_AWAY if size == 0 else COVERS_TOO_MUCH if size > largest else None for size in sizes.tolist()
    )
    return KeyTokens(inside, reasons, weights, sizes)


def token_weights(areas: Float[Tensor, " image_tokens"]) -> Float[Tensor, " image_tokens"]:
    """Give areas relative to the largest one, rounded to multiples of 2^-12, in double precision.

    Areas come from differences of box corners, so equal tokens differ in their last bits (in single
    precision by some 1e-5). Rounded to a binary grid, equal areas are equal and sums of thousands of them exact in
    any order, on any device; what is lost is a 8192nd of a token.

    Args:
        areas: Area of each token; at least 0.

    Returns:
        Weights in [0, 1]; 0 for tokens below an 8192nd of the largest, which count as having no place.

    Example:
        >>> token_weights(torch.tensor([0.25, 0.25, 0.125, 0.0])).tolist()
        [1.0, 1.0, 0.5, 0.0]
    """
    precise = areas.double()
    largest = precise.max() if precise.numel() else precise.new_ones(())
    return torch.round(precise / torch.where(largest > 0, largest, 1.0) * AREA_STEPS) / AREA_STEPS
