"""Molmo 2: a square grid of the whole picture, then one grid across overlapping crops; 2 x 2 patches become a token."""

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float
from transformers import PretrainedConfig

from headimpact.core.errors import UnsupportedModelError
from headimpact.core.shapes import TokenPositions
from headimpact.models.families.paligemma import FLASH_ATTENTION
from headimpact.models.family import (
    ImageSizes,
    ModelFamily,
    image_token_positions,
    known_image_processor,
    refuse_unfilled_grid,
)
from headimpact.models.image_tokens import WHOLE_PICTURE, ImageTokenLayout, join_layouts
from headimpact.models.tiled_grid import TokenGrid


def molmo2_layouts(
    config: PretrainedConfig, processor: Any, inputs: Mapping[str, Any], image_sizes_hw: ImageSizes
) -> list[ImageTokenLayout]:
    """Lay each picture's tokens on its two grids.

    The whole picture comes first, stretched to one crop. Then it is stretched to a canvas of crops that overlap; of
    patches that two crops share, one counts, so their tokens form one grid across the canvas:

        crop 0  |-----------|
        crop 1            |-----------|     patches of the overlap are taken
        used    |..........|..........|     from either side of its middle

    Args:
        config: The model's config.
        processor: Its `Molmo2Processor`.
        inputs: What the processor made of a batch, with `image_grids`.
        image_sizes_hw: Height and width of every picture per batch row.

    Returns:
        One layout per row.

    Raises:
        UnsupportedModelError: If the image processor is unknown, made other grids than its settings say, or the tokens
            do not fill the grids.

    Source: transformers' molmo2/image_processing_molmo2.py (crops and pooling windows).
    """
    known_image_processor("molmo2", processor.image_processor, known=("Molmo2ImageProcessor",))
    pictures = [[_grids(processor.image_processor, size) for size in row] for row in image_sizes_hw]
    made = [(int(grid[0] * grid[1]), int(grid[2] * grid[3])) for grid in inputs["image_grids"].tolist()]
    expected = [(len(whole), len(across)) for row in pictures for whole, across in row]
    if made != expected:
        raise UnsupportedModelError(
            f"Processor made grids of {made} tokens; expected {expected} from its settings. Check "
            "preprocessor_config.json."
        )
    rows = zip(image_token_positions(inputs, config.image_token_id), pictures, strict=True)
    return [_row_layout(positions, row) for positions, row in rows]


def _grids(image_processor: Any, size_hw: tuple[int, int]) -> tuple[TokenGrid, TokenGrid]:
    """Give a picture's two grids, the canvas by the function by which the processor chose it."""
    side, patch = int(image_processor.size.height), int(image_processor.patch_size)
    choose: Any = vars(sys.modules[type(image_processor).__module__])["compute_crop_geometry"]
    *_, canvas_height, canvas_width = choose(
        *size_hw,
        max_crops=image_processor.max_crops,
        overlap_margins=image_processor.overlap_margins,
        crop_size=side,
        patch_size=patch,
    )
    pool_rows, pool_columns = image_processor.pooling_size
    whole = TokenGrid(_shares(side // patch, pool_rows), _shares(side // patch, pool_columns), tile=WHOLE_PICTURE)
    across = TokenGrid(_shares(canvas_height // patch, pool_rows), _shares(canvas_width // patch, pool_columns), tile=0)
    return whole, across


def _shares(patches: int, pool: int) -> Float[np.ndarray, "rows 2"]:
    """Give where tokens begin and end along one axis; what a row of patches lacks is made up half on either side."""
    tokens = -(-patches // pool)
    before = (tokens * pool - patches) // 2
    edges = np.arange(tokens + 1) * pool - before
    return np.clip(np.stack([edges[:-1], edges[1:]], axis=1) / patches, 0.0, 1.0)


def _row_layout(positions: TokenPositions, pictures: list[tuple[TokenGrid, TokenGrid]]) -> ImageTokenLayout:
    """Lay one row's tokens on the grids of its pictures, in order."""
    grids = [(index, grid) for index, picture in enumerate(pictures) for grid in picture]
    text = " + ".join(grid.in_words() for _, grid in grids)
    refuse_unfilled_grid("molmo2", found=len(positions), expected=sum(len(grid) for _, grid in grids), grid=text)
    parts, start = [], 0
    for index, grid in grids:
        parts.append(grid.layout(positions[start : start + len(grid)], image_index=index))
        start += len(grid)
    return join_layouts(parts)


def _refusals(config: PretrainedConfig) -> Mapping[str, str]:
    """Say what each attention implementation leaves out."""
    del config
    return dict.fromkeys(FLASH_ATTENTION, "it hides from image tokens those that come later")


FAMILY = ModelFamily(
    model_type="molmo2",
    checkpoints=("allenai/Molmo2-4B", "allenai/Molmo2-8B"),
    grid_rule="a square grid of 14 x 14 tokens of the whole picture, stretched; then one grid across all crops",
    tiles="up to 8 overlapping crops in the arrangement that the picture fills with the least enlargement",
    image_token_layouts=molmo2_layouts,
    pixel_order=None,  # crops overlap
    refused_implementations=_refusals,
    needs_torchvision=True,
)
