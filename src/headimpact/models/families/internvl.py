"""InternVL: a picture is cut into tiles, then comes the picture as a whole; 2 x 2 patches become one token."""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from transformers import PretrainedConfig

from headimpact.core.errors import UnsupportedModelError
from headimpact.core.shapes import TokenPositions
from headimpact.models.families.llava import llava_language_inputs
from headimpact.models.family import (
    ImageSizes,
    ModelFamily,
    image_token_positions,
    known_image_processor,
    nothing_more,
    refuse_unfilled_grid,
)
from headimpact.models.image_tokens import WHOLE_PICTURE, ImageTokenLayout, grid_layout, join_layouts
from headimpact.models.patch_grid import grid_boxes

_CLASS_TOKENS = {"internvl_vision": 1, "siglip_vision_model": 0}
"""Tokens that each known vision tower puts before its patches; they have no place in the picture."""

_IMAGE_PROCESSORS = ("GotOcr2ImageProcessor", "Cohere2VisionImageProcessor")
"""Processors that resize a picture to whole tiles, cut it, and put the picture as a whole behind the tiles."""


Window = tuple[int, tuple[int, int], tuple[int, int]]
"""Number of a tile, its row and column, and the rows and columns of tiles that its picture has."""

WHOLE_WINDOW: Window = (WHOLE_PICTURE, (0, 0), (1, 1))


@dataclasses.dataclass(frozen=True)
class SquareTile:
    """What the tower makes of one tile: a square of tokens.

    Attributes:
        size_hw: Height and width of a tile, in pixels.
        cell_hw: Height and width of one token's square on it, in pixels.
        side: Tokens along each side.
    """

    size_hw: tuple[int, int]
    cell_hw: tuple[int, int]
    side: int


def internvl_layouts(
    config: PretrainedConfig, processor: Any, inputs: Mapping[str, Any], image_sizes_hw: ImageSizes
) -> list[ImageTokenLayout]:
    """Lay each picture's tokens on the grids of its tiles.

    Args:
        config: The model's config.
        processor: Its `InternVLProcessor`.
        inputs: What the processor made of a batch.
        image_sizes_hw: Height and width of every picture per batch row.

    Returns:
        One layout per row.

    Raises:
        UnsupportedModelError: If tower or image processor are of an unknown kind, patches do not merge to a
            square of tokens, or the tokens do not fill the grids.
    """
    ratio = float(config.downsample_ratio)
    merge = round(1 / ratio)
    if merge * ratio != 1:
        raise UnsupportedModelError(
            f"downsample_ratio of an 'internvl' model is {ratio}; expected one divided by a whole number, as in 0.5. "
            "Which patches become one token is not known."
        )
    return tiled_layouts(config, processor, inputs, image_sizes_hw, merge=merge)


def tiled_layouts(
    config: PretrainedConfig, processor: Any, inputs: Mapping[str, Any], image_sizes_hw: ImageSizes, *, merge: int
) -> list[ImageTokenLayout]:
    """Lay tokens on tiles where merge x merge patches become one token by pixel shuffle.

    A picture is resized to whole tiles without keeping its shape; the picture as a whole follows, resized to one
    tile, unless there is only one. Pixel shuffle takes squares of patches and leaves tokens row by row:

        +---------+---------+    order of tiles: 0, 1, whole picture
        | tile 0  | tile 1  |
        |  0   1  |  0   1  |    tokens of a tile    0 0 1 1
        |  2   3  |  2   3  |    of 4 x 4 patches:   0 0 1 1
        +---------+---------+                        2 2 3 3
                                                     2 2 3 3

    Args:
        config: The model's config.
        processor: Its processor.
        inputs: What the processor made of a batch.
        image_sizes_hw: Height and width of every picture per batch row.
        merge: Patches along each side of a token's square.

    Returns:
        One layout per row.

    Raises:
        UnsupportedModelError: If tower or image processor are of an unknown kind, patches do not merge to a
            square of tokens, or the tokens do not fill the grids.

    Source: transformers' got_ocr2/image_processing_pil_got_ocr2.py (tiles) and internvl/modeling_internvl.py (pixel
        shuffle).
    """
    tile = _tile(config, tuple(inputs["pixel_values"].shape[-2:]), merge=merge)
    sizes = [size for row in image_sizes_hw for size in row]
    grids = _tile_grids(str(config.model_type), processor.image_processor, sizes, num_tiles=len(inputs["pixel_values"]))
    layouts = []
    for positions, row in zip(image_token_positions(inputs, config.image_token_id), image_sizes_hw, strict=True):
        own, grids = grids[: len(row)], grids[len(row) :]
        layouts.append(lay_windows(str(config.model_type), positions, [_windows(grid) for grid in own], tile=tile))
    return layouts


def lay_windows(
    model_type: str, positions: TokenPositions, pictures: Sequence[Sequence[Window]], *, tile: SquareTile
) -> ImageTokenLayout:
    """Lay one row's tokens on the tiles of its pictures, in order.

    Args:
        model_type: Family, for the message.
        positions: Positions of the row's image tokens.
        pictures: Windows of each picture in the order of the sequence.
        tile: What the tower makes of each.

    Raises:
        UnsupportedModelError: If the tokens do not fill the tiles.
    """
    per_tile = tile.side**2
    windows = [(index, *window) for index, picture in enumerate(pictures) for window in picture]
    text = f"{len(windows)} x {tile.side} x {tile.side}"
    refuse_unfilled_grid(model_type, found=len(positions), expected=len(windows) * per_tile, grid=text)
    parts = []
    for place, (image_index, number, (row, column), (rows, columns)) in enumerate(windows):
        boxes = grid_boxes(
            rows=tile.side,
            columns=tile.side,
            patch_hw=tile.cell_hw,
            start_yx=(row * tile.size_hw[0], column * tile.size_hw[1]),
            plane_hw=(rows * tile.size_hw[0], columns * tile.size_hw[1]),
        )
        span = positions[place * per_tile : (place + 1) * per_tile]
        parts.append(grid_layout(span, boxes, rows=tile.side, columns=tile.side, image_index=image_index, tile=number))
    return join_layouts(parts)


def tile_windows(grid: tuple[int, int]) -> list[Window]:
    """Give the windows of a picture's tiles, row by row, without the picture as a whole.

    Args:
        grid: Rows and columns of tiles.
    """
    return [(number, divmod(number, grid[1]), grid) for number in range(grid[0] * grid[1])]


def _windows(grid: tuple[int, int]) -> list[Window]:
    """Give a picture's windows in the order in which they enter: the whole last, or alone."""
    return [WHOLE_WINDOW] if grid == (1, 1) else [*tile_windows(grid), WHOLE_WINDOW]


def _tile_grids(
    model_type: str, image_processor: Any, sizes_hw: list[tuple[int, int]], *, num_tiles: int
) -> list[tuple[int, int]]:
    """Give rows and columns of tiles per picture, from the function by which the processor chose them.

    Whether pictures were cut at all shows in the number of tiles that came out: the processor's defaults overrule
    what preprocessor_config.json says of it.

    Raises:
        UnsupportedModelError: If the image processor is unknown, or made another number of tiles.
    """
    known_image_processor(model_type, image_processor, known=_IMAGE_PROCESSORS)
    choose: Any = vars(sys.modules[type(image_processor).__module__])["get_optimal_tiled_canvas"]
    size, fewest, most = image_processor.size, image_processor.min_patches, image_processor.max_patches
    canvases = [choose(size_hw, (size.height, size.width), fewest, most) for size_hw in sizes_hw]
    grids = [(int(rows), int(columns)) for columns, rows in canvases]
    expected = sum(len(_windows(grid)) for grid in grids)
    if num_tiles == expected:
        return grids
    if num_tiles == len(sizes_hw):
        return [(1, 1)] * len(sizes_hw)
    raise UnsupportedModelError(
        f"Processor made {num_tiles} tiles of {len(sizes_hw)} pictures; expected {expected} from its settings. "
        "Check preprocessor_config.json."
    )


def _tile(config: PretrainedConfig, size_hw: tuple[int, ...], *, merge: int) -> SquareTile:
    """Give the grid of tokens on one tile.

    Raises:
        UnsupportedModelError: If the tower is unknown, other features than patches reach the pixel shuffle, or
            patches do not merge to a square of tokens.
    """
    vision = config.vision_config
    if vision.model_type not in _CLASS_TOKENS:
        raise UnsupportedModelError(
            f"Unknown vision tower in a {config.model_type!r} model: {vision.model_type!r}; expected one of "
            f"{', '.join(_CLASS_TOKENS)}. Where this tower's patches lie in a picture is not known."
        )
    strategy = getattr(config, "vision_feature_select_strategy", "full")
    if _CLASS_TOKENS[vision.model_type] != (strategy == "default"):
        raise UnsupportedModelError(
            f"vision_feature_select_strategy={strategy!r} does not fit {vision.model_type!r}, which has "
            f"{_CLASS_TOKENS[vision.model_type]} class tokens: expected 'default' with one, 'full' with none. "
            "Check the model's config."
        )
    height, width = (int(pixels) for pixels in size_hw)
    patch_height, patch_width = (int(pixels) for pixels in np.broadcast_to(vision.patch_size, 2))
    rows, columns = height // patch_height, width // patch_width
    if rows != columns or rows % merge or rows < merge:
        raise UnsupportedModelError(
            f"Tiles of {height} x {width} pixels have {rows} x {columns} patches; the pixel shuffle of a "
            f"{config.model_type!r} model expects a square of them with sides divisible by {merge}. Check the tile "
            "size in preprocessor_config.json."
        )
    return SquareTile((height, width), (merge * patch_height, merge * patch_width), rows // merge)


FAMILY = ModelFamily(
    model_type="internvl",
    checkpoints=("OpenGVLab/InternVL3-2B-hf", "OpenGVLab/InternVL3_5-2B-HF", "OpenGVLab/InternVL3_5-4B-HF"),
    grid_rule="one square grid a tile, 16 x 16 as published; the picture's shape is not kept",
    tiles="up to 12 tiles in the arrangement nearest to the picture's shape, then the picture as a whole",
    image_token_layouts=internvl_layouts,
    language_inputs=llava_language_inputs,
    continued_inputs=nothing_more,
)
