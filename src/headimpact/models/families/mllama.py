"""Llama 3.2 Vision: tiles of a picture, looked at by a few cross-attention layers instead of standing in the text."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import PretrainedConfig
from transformers.models.mllama.image_processing_pil_mllama import (
    get_all_supported_aspect_ratios,
    get_image_size_fit_to_canvas,
    get_optimal_tiled_canvas,
)

from headimpact.core.errors import UnsupportedModelError
from headimpact.core.shapes import TokenBoxes
from headimpact.models.family import ImageSizes, ModelFamily
from headimpact.models.image_tokens import WHOLE_PICTURE, ImageTokenLayout, join_layouts
from headimpact.models.patch_grid import grid_boxes


def mllama_layouts(
    config: PretrainedConfig, processor: Any, inputs: Mapping[str, Any], image_sizes_hw: ImageSizes
) -> list[ImageTokenLayout]:
    """Lay the keys of cross-attention on the grids of their tiles; positions count among those keys.

    A row's keys are as many pictures as the batch's largest row has, times the most tiles a picture may have,
    times a class token `c` and the patches `p` of one tile. With at most four tiles, for a picture of two:

        |              picture 0              |   picture 1 ...
        |  tile 0   tile 1    absent  absent  |
        | c p p p | c p p p | - - - - - - - - |

    Class tokens stand for no place; absent tiles and pictures are masked. Both are left out.

    Args:
        config: The model's config.
        processor: Its `MllamaProcessor`; not needed, since its own functions say how it resizes.
        inputs: What the processor made of a batch.
        image_sizes_hw: Height and width of every picture per batch row.

    Returns:
        One layout per row.

    Raises:
        UnsupportedModelError: If tiles have another size than the tower takes, a picture was cut into other tiles
            than its size says, or the end of a row does not see exactly the tiles of its pictures.
    """
    del processor
    side, patch_size = int(config.vision_config.image_size), int(config.vision_config.patch_size)
    max_tiles, per_side = _check_shapes(inputs, side), side // patch_size
    layouts = []
    for row, sizes in enumerate(image_sizes_hw):
        numbers = inputs["aspect_ratio_ids"][row].tolist()
        grids = [
            _tile_grid(number, size, side=side, max_tiles=max_tiles)
            for number, size in zip(numbers, sizes, strict=False)  # smaller rows are filled up with number 0
        ]
        _refuse_other_tiles(inputs, row, [rows * columns for rows, columns in grids])
        parts = [
            _picture_layout(
                _plane_boxes(size, grid, side=side, patch_size=patch_size),
                per_side=per_side,
                image_index=index,
                first_key=index * max_tiles * (1 + per_side**2),
            )
            for index, (size, grid) in enumerate(zip(sizes, grids, strict=True))
        ]
        layouts.append(join_layouts(parts))
    return layouts


def _check_shapes(inputs: Mapping[str, Any], side: int) -> int:
    """Give the most tiles that a picture may have.

    Raises:
        UnsupportedModelError: If the inputs are not those of an `MllamaProcessor`, or of another tower's.
    """
    shape = tuple(inputs["pixel_values"].shape)
    missing = {"aspect_ratio_ids", "cross_attention_mask"} - set(inputs)
    if missing or len(shape) != 6:
        raise UnsupportedModelError(
            f"Inputs do not say which tiles a text looks at for 'mllama': got {', '.join(inputs)}, pixels of shape "
            f"{shape}; expected what an MllamaProcessor gives. Check processor_config.json."
        )
    if shape[-2:] != (side, side):
        raise UnsupportedModelError(
            f"Processed tiles are {shape[-2]} x {shape[-1]} pixels for 'mllama', expected {side} x {side} from the "
            "tower's image_size. Check size in preprocessor_config.json."
        )
    return int(shape[2])


def _tile_grid(number: int, size_hw: tuple[int, int], *, side: int, max_tiles: int) -> tuple[int, int]:
    """Give the rows and columns of tiles that a picture was cut into.

    The processor numbers its arrangements from 1. Its list is called one of (width, height) pairs, but pictures are
    cut into rows by the first and columns by the second.

    Raises:
        UnsupportedModelError: If the number is not that of the canvas that fits the picture best.
    """
    height, width = (int(length) // side for length in get_optimal_tiled_canvas(*size_hw, max_tiles, side))
    known = get_all_supported_aspect_ratios(max_tiles)
    found = known[number - 1] if 0 < number <= len(known) else None
    if found != (height, width):
        raise UnsupportedModelError(
            f"A picture of {size_hw[1]}x{size_hw[0]} pixels was cut otherwise than known for 'mllama': its rows and "
            f"columns of tiles are {found}, expected {(height, width)}. Use the checkpoint's own processor."
        )
    return height, width


def _refuse_other_tiles(inputs: Mapping[str, Any], row: int, expected: Sequence[int]) -> None:
    """Refuse a row whose last token sees other tiles than those of all its pictures.

    A picture is looked at from its own token on, but only up to the next picture's, unless their tokens are
    neighbours: what follows text and another picture's token would see the last picture alone.

    Raises:
        UnsupportedModelError: If it does.
    """
    last = int(torch.nonzero(inputs["attention_mask"][row]).max())
    seen = inputs["cross_attention_mask"][row, last].bool()
    padded = torch.tensor([*expected, *[0] * (len(seen) - len(expected))], device=seen.device)
    if not torch.equal(seen, torch.arange(seen.shape[1], device=seen.device) < padded[:, None]):
        raise UnsupportedModelError(
            f"The answer does not see all tiles for 'mllama': it sees {seen.sum(dim=1).tolist()}, picture by picture, "
            f"expected {padded.tolist()}. Pictures must follow each other without text between them; check "
            "chat_template.jinja."
        )


def _plane_boxes(size_hw: tuple[int, int], grid: tuple[int, int], *, side: int, patch_size: int) -> list[TokenBoxes]:
    """Give each tile's rectangles on the picture, which keeps its shape at the top left of the tiles.

    Tiles run row by row. Right of the picture and below it (dotted) is padding, whose patches get rectangles
    without area. A side that is no multiple of the patch leaves a strip right and below in every tile unseen:

        +-------+-------+
        | 0     | 1  |..|
        |       |    |..|
        +-------+-------+
        | 2     | 3  |..|
        |............|..|
        +-------+-------+

    Source: transformers' image_processing_pil_mllama.py (resize to fit the canvas, pad, split).
    """
    rows, columns = grid
    plane = get_image_size_fit_to_canvas(*size_hw, rows * side, columns * side, side)
    plane_hw = (int(plane[0]), int(plane[1]))
    return [
        grid_boxes(
            rows=side // patch_size,
            columns=side // patch_size,
            patch_hw=(patch_size, patch_size),
            start_yx=(row * side, column * side),
            plane_hw=plane_hw,
        )
        for row, column in itertools.product(range(rows), range(columns))
    ]


def _picture_layout(
    boxes: Sequence[TokenBoxes], *, per_side: int, image_index: int, first_key: int
) -> ImageTokenLayout:
    """Lay one picture's patches out, tile after tile; a picture in one tile enters as a whole."""
    cells = per_side**2
    tiles = np.arange(len(boxes)) if len(boxes) > 1 else np.array([WHOLE_PICTURE])
    class_tokens = first_key + np.arange(len(boxes)) * (1 + cells)
    grid_row, grid_column = np.divmod(np.arange(cells), per_side)
    return ImageTokenLayout(
        positions=(class_tokens[:, None] + 1 + np.arange(cells)).ravel(),
        boxes=np.concatenate(boxes),
        image_index=np.full(len(boxes) * cells, image_index),
        tile=np.repeat(tiles, cells),
        grid_row=np.tile(grid_row, len(boxes)),
        grid_column=np.tile(grid_column, len(boxes)),
        grid_hw={(image_index, int(tile)): (per_side, per_side) for tile in tiles},
    )


def _refusals(config: PretrainedConfig) -> Mapping[str, str]:
    """Say which attention implementations cannot be proven to give the model's numbers."""
    del config
    return {"flex_attention": "torch's kernel for it aborts in this model's cross-attention on a CPU"}


FAMILY = ModelFamily(
    model_type="mllama",
    checkpoints=("meta-llama/Llama-3.2-11B-Vision-Instruct", "meta-llama/Llama-3.2-90B-Vision-Instruct"),
    grid_rule="one grid a tile, padded right and below; only cross-attention layers look at them",
    tiles="as few as hold the picture in its own shape, at most 4, without a thumbnail",
    image_token_layouts=mllama_layouts,
    tower_call="vision_model.forward",
    pixel_order=None,  # a class token stands before the patches of each tile
    attention_path="model.language_model.layers.{layer_idx}.cross_attn",
    refused_implementations=_refusals,
)
