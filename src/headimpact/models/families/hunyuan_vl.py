"""Hunyuan-VL: Qwen2-VL's grid with a newline token behind every row and a token before and behind each picture."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from transformers import PretrainedConfig

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.families.qwen2_vl import qwen2_vl_language_inputs
from headimpact.models.family import ImageSizes, ModelFamily, image_token_positions, refuse_unfilled_grid
from headimpact.models.image_tokens import ImageTokenLayout, join_layouts
from headimpact.models.tiled_grid import TokenGrid


def hunyuan_vl_layouts(
    config: PretrainedConfig, processor: Any, inputs: Mapping[str, Any], image_sizes_hw: ImageSizes
) -> list[ImageTokenLayout]:
    """Lay each picture's tokens on its own grid: the whole picture, resized, nothing cropped.

    Tokens that begin (b) and end (e) a picture and newlines (n) are image tokens to the model and see nothing:

        b
        0 1 2 n
        3 4 5 n
        e

    Args:
        config: The model's config.
        processor: Its processor; not needed, since the grid comes with the inputs.
        inputs: What the processor made of a batch, with `image_grid_thw`.
        image_sizes_hw: Height and width of every picture per batch row.

    Returns:
        One layout per row.

    Raises:
        UnsupportedModelError: If grids are not as many as pictures, or the tokens do not fill them.
    """
    del processor
    merge = int(config.vision_config.spatial_merge_size)
    grids = [_grid(int(rows) // merge, int(columns) // merge) for _, rows, columns in inputs["image_grid_thw"].tolist()]
    counts = [len(sizes) for sizes in image_sizes_hw]
    if sum(counts) != len(grids):
        raise UnsupportedModelError(f"Processor made {len(grids)} grids of {sum(counts)} pictures; expected one each.")
    layouts = []
    for positions, count in zip(image_token_positions(inputs, config.image_token_id), counts, strict=True):
        own, grids = grids[:count], grids[count:]
        ends = np.cumsum([len(grid) + 2 for grid in own])
        words = " + ".join(f"({grid.in_words()} + 2)" for grid in own)
        refuse_unfilled_grid("hunyuan_vl", found=len(positions), expected=int(ends[-1]), grid=words)
        spans = np.split(positions, ends[:-1])
        parts = [
            grid.layout(span[1:-1], image_index=index)
            for index, (grid, span) in enumerate(zip(own, spans, strict=True))
        ]
        layouts.append(join_layouts(parts))
    return layouts


def _grid(rows: int, columns: int) -> TokenGrid:
    """Give the grid of a whole picture."""
    y, x = (np.stack([np.arange(count), np.arange(count) + 1], axis=1) / count for count in (rows, columns))
    return TokenGrid(y, x, newline_in_rows=True)


FAMILY = ModelFamily(
    model_type="hunyuan_vl",
    checkpoints=("tencent/HunyuanOCR",),
    grid_rule="one grid a picture in its own shape; sides rounded to multiples of 32 pixels",
    image_token_layouts=hunyuan_vl_layouts,
    pixel_order=None,  # patches come row by row, not in the blocks that are merged
    language_inputs=qwen2_vl_language_inputs,
    uncuttable="its positions count pictures through the whole batch, so that a row kept apart is another one",
)
