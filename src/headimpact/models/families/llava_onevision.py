"""LLaVA-OneVision: one picture is tiled as in LLaVA-NeXT, large grids shrunk; several enter whole, as squares."""

import functools
import math
from collections.abc import Mapping
from typing import Any

from transformers import PretrainedConfig

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.families.llava_next import (
    check_sizes,
    check_tiles,
    choose_plane,
    lay_rows,
    llava_next_language_inputs,
    read_tile,
    tiled_grids,
)
from headimpact.models.family import ImageSizes, ModelFamily, nothing_more
from headimpact.models.image_tokens import ImageTokenLayout
from headimpact.models.tiled_grid import Tile, TokenGrid

_ANYRES = "anyres_max_"
"""How `vision_aspect_ratio` begins; the number of tiles follows above which the grid across tiles is shrunk."""

_TOLERATED = 1.1
"""Ratio of sides above which it really is."""


def llava_onevision_layouts(
    config: PretrainedConfig, processor: Any, inputs: Mapping[str, Any], image_sizes_hw: ImageSizes
) -> list[ImageTokenLayout]:
    """Lay each picture's tokens on their grids; whether a picture is tiled depends on its row's number of pictures.

    Args:
        config: The model's config.
        processor: Its processor, for the image processor's settings.
        inputs: What the processor made of a batch.
        image_sizes_hw: Height and width of every picture per batch row.

    Returns:
        One layout per row.

    Raises:
        UnsupportedModelError: If tower or image processor are of an unknown kind, processor and config disagree on
            tiles or sizes, the limit on tiles cannot be read, or the tokens do not fill the grids.
    """
    tile = read_tile(config, processor.image_processor, inputs)
    check_sizes(config, inputs, image_sizes_hw)
    counts = [len(row) for row in image_sizes_hw]
    if inputs["batch_num_images"].tolist() != counts:
        raise UnsupportedModelError(
            f"Processor of a 'llava_onevision' model took {inputs['batch_num_images'].tolist()} pictures by row; "
            f"expected {counts}. Which pictures were cut into tiles is not known."
        )
    shrunk = functools.partial(_shrunk, most_patches=_most_tiles(config) * tile.patches**2)
    pictures: list[list[list[TokenGrid]]] = []
    planes = []
    for row in image_sizes_hw:
        if len(row) > 1:
            pictures.append([[_squared_grid(size, tile=tile)] for size in row])
            continue
        planes.append(choose_plane(config, processor.image_processor, row[0], tile=tile))
        pictures.append([tiled_grids(row[0], planes[-1], tile=tile, resized=shrunk)])
    check_tiles(config, inputs, planes=planes, tile=tile)
    return lay_rows(config, inputs, pictures)


def _most_tiles(config: PretrainedConfig) -> int:
    """Give the number of tiles above which the model shrinks the grid across them.

    Raises:
        UnsupportedModelError: If the config's setting is of another form.
    """
    number = config.vision_aspect_ratio.removeprefix(_ANYRES)
    if not number.isdecimal():
        raise UnsupportedModelError(
            f"vision_aspect_ratio={config.vision_aspect_ratio!r} of a 'llava_onevision' model; expected {_ANYRES!r} "
            "with a number of tiles, as in 'anyres_max_9'. How its tokens are laid out is not known."
        )
    return int(number)


def _shrunk(rows: int, columns: int, *, most_patches: int) -> tuple[int, int]:
    """Give the shape that the model resizes a grid of patches to; grids up to 1.21 times the limit stay.

    Source: transformers' `LlavaOnevisionModel.pack_image_features`.
    """
    ratio = math.sqrt(rows * columns / most_patches)
    return (int(rows // ratio), int(columns // ratio)) if ratio > _TOLERATED else (rows, columns)


def _squared_grid(size_hw: tuple[int, int], *, tile: Tile) -> TokenGrid:
    """Give the grid of a picture that is padded to a square around it and resized to one tile."""
    square = max(size_hw)
    y, x = (
        tile.shares(
            range(tile.patches),
            tokens=tile.patches,
            start=(square - length) // 2 * tile.side / square,
            length=length * tile.side / square,
        )
        for length in size_hw
    )
    return TokenGrid(y, x, newline_behind=True)


FAMILY = ModelFamily(
    model_type="llava_onevision",
    checkpoints=("llava-hf/llava-onevision-qwen2-0.5b-ov-hf", "llava-hf/llava-onevision-qwen2-7b-ov-hf"),
    grid_rule="a square grid of the whole picture, stretched; then one grid across all tiles, shrunk above 9 tiles",
    tiles="as LLaVA-NeXT, up to 6 x 6; of several pictures each enters whole, padded to a square",
    image_token_layouts=llava_onevision_layouts,
    language_inputs=llava_next_language_inputs,
    continued_inputs=nothing_more,
    pixel_order="whole",
)
