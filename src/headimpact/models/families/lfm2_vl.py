"""LFM2-VL: small pictures keep their shape, large ones are cut into square tiles; 2 x 2 patches become one token."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig

from headimpact.core.errors import UnsupportedModelError
from headimpact.core.shapes import TokenPositions
from headimpact.models.families.llava import merged_embeddings
from headimpact.models.family import (
    ImageSizes,
    ModelFamily,
    image_token_positions,
    known_image_processor,
    refuse_unfilled_grid,
)
from headimpact.models.image_tokens import WHOLE_PICTURE, ImageTokenLayout, grid_layout, join_layouts
from headimpact.models.patch_grid import grid_boxes

_VIEW_INPUTS = ("pixel_values", "spatial_shapes", "pixel_attention_mask")
"""What the processor makes of every view: patches, their rows and columns, and which of them are no padding."""


def lfm2_vl_layouts(
    config: PretrainedConfig, processor: Any, inputs: Mapping[str, Any], image_sizes_hw: ImageSizes
) -> list[ImageTokenLayout]:
    """Lay each picture's tokens on the grids of its views: tiles first, the picture as a whole last.

    Tiles are square; the picture is stretched over them. The whole keeps the picture's shape, so its grid is another:

        +-----+-----+     tile 0    tile 1    whole
        |  0  |  1  |     . .       . .       . . . .
        +-----+-----+     . .       . .       . . . .

    Args:
        config: The model's config.
        processor: Its `Lfm2VlProcessor`.
        inputs: What the processor made of a batch, with `spatial_shapes`.
        image_sizes_hw: Height and width of every picture per batch row.

    Returns:
        One layout per row.

    Raises:
        UnsupportedModelError: If the image processor is unknown, made another number of views than its settings say,
            patches do not merge to whole tokens, or the tokens do not fill the grids.

    Source: transformers' lfm2_vl/image_processing_lfm2_vl.py (tiles) and lfm2_vl/modeling_lfm2_vl.py (merging).
    """
    known_image_processor("lfm2_vl", processor.image_processor, known=("Lfm2VlImageProcessor",))
    views = [[_views(processor.image_processor, size) for size in row] for row in image_sizes_hw]
    grids = _token_grids(inputs["spatial_shapes"], merge=int(config.downsample_factor))
    expected = sum(len(picture) for row in views for picture in row)
    if len(grids) != expected:
        raise UnsupportedModelError(
            f"Processor made {len(grids)} views of {sum(map(len, views))} pictures; expected {expected} from its "
            "settings. Check preprocessor_config.json."
        )
    layouts = []
    for positions, row in zip(image_token_positions(inputs, config.image_token_id), views, strict=True):
        count = sum(map(len, row))
        layouts.append(_row_layout(positions, row, grids[:count]))
        grids = grids[count:]
    return layouts


def lfm2_vl_language_inputs(backbone: nn.Module, inputs: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Compute image features once and put them into the embeddings.

    Args:
        backbone: The `Lfm2VlModel`.
        inputs: Processed inputs on the model's device.

    Returns:
        `inputs_embeds` and `attention_mask`, for the same backbone.
    """
    return merged_embeddings(backbone, inputs, features_of={name: inputs[name] for name in _VIEW_INPUTS})


_View = tuple[int, tuple[int, int], tuple[int, int]]
"""Number of a tile or `WHOLE_PICTURE`, its row and column, and rows and columns of all tiles."""


def _views(image_processor: Any, size_hw: tuple[int, int]) -> list[_View]:
    """Give a picture's views in the order in which they enter, by the functions by which the processor chose them."""
    fewest, most = int(image_processor.min_tiles), int(image_processor.max_tiles)
    is_large = image_processor._is_image_too_large(
        *size_hw,
        max_image_tokens=image_processor.max_image_tokens,
        encoder_patch_size=image_processor.encoder_patch_size,
        downsample_factor=image_processor.downsample_factor,
        max_pixels_tolerance=image_processor.max_pixels_tolerance,
    )
    whole: _View = (WHOLE_PICTURE, (0, 0), (1, 1))
    if not (is_large and image_processor.do_image_splitting and (fewest, most) != (1, 1)):
        return [whole]
    columns, rows, *_ = image_processor._get_grid_layout(
        *size_hw, min_tiles=fewest, max_tiles=most, tile_size=image_processor.tile_size
    )
    if rows * columns == 1:
        return [whole]
    tiles: list[_View] = [(number, divmod(number, columns), (rows, columns)) for number in range(rows * columns)]
    return [*tiles, whole] if image_processor.use_thumbnail else tiles


def _token_grids(spatial_shapes: torch.Tensor, *, merge: int) -> list[tuple[int, int]]:
    """Give rows and columns of tokens of every view.

    Raises:
        UnsupportedModelError: If patches do not merge to whole tokens.
    """
    shapes = [(int(rows), int(columns)) for rows, columns in spatial_shapes.tolist()]
    for rows, columns in shapes:
        if rows % merge or columns % merge:
            raise UnsupportedModelError(
                f"A view of an 'lfm2_vl' model has {rows} x {columns} patches; expected sides divisible by {merge} "
                "(downsample_factor). Check tile_size and encoder_patch_size in preprocessor_config.json."
            )
    return [(rows // merge, columns // merge) for rows, columns in shapes]


def _row_layout(
    positions: TokenPositions, pictures: list[list[_View]], grids: list[tuple[int, int]]
) -> ImageTokenLayout:
    """Lay one row's tokens on the views of its pictures, in order."""
    views = [(index, *view) for index, picture in enumerate(pictures) for view in picture]
    expected = sum(rows * columns for rows, columns in grids)
    text = " + ".join(f"{rows} x {columns}" for rows, columns in grids)
    refuse_unfilled_grid("lfm2_vl", found=len(positions), expected=expected, grid=text)
    parts, start = [], 0
    for (image_index, number, (row, column), tiles), (rows, columns) in zip(views, grids, strict=True):
        boxes = grid_boxes(
            rows=rows,
            columns=columns,
            patch_hw=(1, 1),
            start_yx=(row * rows, column * columns),
            plane_hw=(tiles[0] * rows, tiles[1] * columns),
        )
        span = positions[start : start + rows * columns]
        parts.append(grid_layout(span, boxes, rows=rows, columns=columns, image_index=image_index, tile=number))
        start += rows * columns
    return join_layouts(parts)


def _refusals(config: PretrainedConfig) -> Mapping[str, str]:
    """Say which attention implementations the model class offers and its tower has not."""
    del config
    return {"flex_attention": "transformers has none for its SigLIP 2 tower"}


FAMILY = ModelFamily(
    model_type="lfm2_vl",
    checkpoints=("LiquidAI/LFM2-VL-3B", "LiquidAI/LFM2-VL-1.6B"),
    grid_rule="one grid a picture in its own shape, at most 256 tokens; only attention layers look at it",
    tiles="above twice that, 2 to 10 square tiles in the arrangement nearest to its shape, then the picture as a whole",
    image_token_layouts=lfm2_vl_layouts,
    language_inputs=lfm2_vl_language_inputs,
    pixel_order=None,  # patches are padded to the largest view
    refused_implementations=_refusals,
    needs_torchvision=True,
)
