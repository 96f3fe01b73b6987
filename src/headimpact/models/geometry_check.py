"""Proves on the user's own processor that image tokens lie where the layout says: a mask is sent through it.

Crop, resizing, padding, tiling and merging are the processor's, not this project's. A dark and a light picture of the
same size say what a pixel outside and inside looks like once it is processed, so no setting need be known.
"""

import dataclasses
import logging

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from headimpact.core.errors import RunFailedError, UnsupportedModelError
from headimpact.models.image_tokens import ImageTokenLayout
from headimpact.models.loading import LoadedModel
from headimpact.models.patch_grid import mask_coverage
from headimpact.models.prompts import encode

_LOG = logging.getLogger(__name__)
_DARK, _LIGHT = 32, 224  # a tile that is all 0 once processed counts as padding in some families
_PROMPT = "What?"

_MEAN_TOLERANCE = 0.05
"""Largest mean difference of coverage; a resizing filter blurs an object's edge, a wrong grid misses the object."""


@dataclasses.dataclass(frozen=True)
class GeometryCheck:
    """What the check measured.

    Attributes:
        tokens: Image tokens that were compared.
        mean_difference: Mean absolute difference of coverage, through the processor against by rectangles.
        largest_difference: The largest one.
    """

    tokens: int
    mean_difference: float
    largest_difference: float

    def __str__(self) -> str:
        """Give the figures on one line."""
        return (
            f"a mask sent through the processor covers {self.tokens} image tokens as their rectangles say, to "
            f"{self.mean_difference:.3f} on average and {self.largest_difference:.2f} at most"
        )


def check_geometry(loaded: LoadedModel, mask: Bool[np.ndarray, "height width"]) -> GeometryCheck | None:
    """Compare a mask's coverage through the processor with that of the layout's rectangles.

    Args:
        loaded: Model and processor.
        mask: Key objects of a picture, in its size.

    Returns:
        The differences, also written to the log; None for families whose processed pictures are not pooled token by
        token (`ModelFamily.pixel_order`).

    Raises:
        RunFailedError: If they differ by more than a resizing filter's blur.
        UnsupportedModelError: If the processor refuses a plain picture of this size, or as `encode`.
        DataFormatError: As `encode`.
    """
    if loaded.family.pixel_order is None:
        return None
    found, layout = processed_coverage(loaded, mask)
    difference = np.abs(found - mask_coverage(mask[None], layout.boxes)[0])[layout.areas > 0]
    if not len(difference):
        return None
    check = GeometryCheck(len(difference), float(difference.mean()), float(difference.max()))
    if check.mean_difference > _MEAN_TOLERANCE:
        raise RunFailedError(
            f"Geometry self-check failed: a mask sent through the processor of {loaded.name!r} covers other image "
            f"tokens than their rectangles say (mean difference {check.mean_difference:.2f}, expected at most "
            f"{_MEAN_TOLERANCE}). Scores would be wrong. Report the model, preprocessor_config.json and the versions."
        )
    _LOG.info("Geometry self-check passed: %s.", check)
    return check


def processed_coverage(
    loaded: LoadedModel, mask: Bool[np.ndarray, "height width"]
) -> tuple[Float[np.ndarray, " image_tokens"], ImageTokenLayout]:
    """Send a mask through the processor and pool it to the image tokens.

    Args:
        loaded: Model and processor of a family with a `pixel_order`.
        mask: Key objects of a picture, in its size.

    Returns:
        Mean share of the mask in each token's processed pixels, and the layout of these tokens.

    Raises:
        UnsupportedModelError: If the processor gives another shape for the mask than for a plain picture.
    """
    outside, layout = _processed(loaded, np.zeros_like(mask))
    inside, _ = _processed(loaded, np.ones_like(mask))
    between, _ = _processed(loaded, mask)
    if not outside.shape == inside.shape == between.shape:
        raise UnsupportedModelError(
            f"The processor of {loaded.name!r} gives pictures of one size different shapes: {outside.shape}, "
            f"{inside.shape}, {between.shape}. Where their tokens lie cannot be checked."
        )
    span = inside - outside
    shares = np.where(span != 0, (between - outside) / np.where(span != 0, span, 1.0), 0.0)
    if loaded.family.pixel_order == "patches":
        return shares.reshape(len(layout), -1).mean(axis=1), layout
    if loaded.family.pixel_order == "whole":
        layout, shares = layout.view("global"), shares[:1]
    return _pooled_tiles(shares, layout), layout


def _processed(
    loaded: LoadedModel, mask: Bool[np.ndarray, "height width"]
) -> tuple[Float[np.ndarray, "..."], ImageTokenLayout]:
    """Process a picture that is light inside a mask; axes before the last three are one."""
    pixels = np.where(mask, np.uint8(_LIGHT), np.uint8(_DARK))
    batch = encode(loaded, [Image.fromarray(np.repeat(pixels[..., None], 3, axis=2))], [_PROMPT])
    values = batch.inputs["pixel_values"].cpu().double().numpy()
    return values.reshape(-1, *values.shape[-3:]) if values.ndim > 3 else values, batch.layouts[0]


def _pooled_tiles(
    shares: Float[np.ndarray, "tiles channels height width"], layout: ImageTokenLayout
) -> Float[np.ndarray, " image_tokens"]:
    """Average each token's square of its tile; pixels right and below that fill no square are seen by none."""
    pooled = []
    for picture, tile in zip(shares, dict.fromkeys(layout.tile.tolist()), strict=False):
        rows, columns = layout.grid_hw[0, tile]
        height, width = picture.shape[1] // rows, picture.shape[2] // columns
        cells = picture[:, : rows * height, : columns * width].reshape(-1, rows, height, columns, width)
        pooled.append(cells.mean(axis=(0, 2, 4)).reshape(-1))
    return np.concatenate(pooled)
