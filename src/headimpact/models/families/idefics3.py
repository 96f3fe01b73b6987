"""Idefics3: a picture is cut into tiles, row by row, and follows them once more as a whole."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig
from transformers.models.idefics3.image_processing_pil_idefics3 import get_resize_output_image_size

from headimpact.core.errors import UnsupportedModelError
from headimpact.core.shapes import TokenPositions
from headimpact.models.families.llava import merged_embeddings
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

_IMAGE_PROCESSORS = ("Idefics3ImageProcessor", "SmolVLMImageProcessor")
"""Processors whose steps (resize twice, cut, resize the whole) `_tile_grid` follows."""


@dataclasses.dataclass(frozen=True)
class _Frame:
    """What the tower makes of one tile, or of the picture as a whole: `rows` x `rows` tokens.

    Where the side is no multiple of the token's, a strip right and below is seen by no token:

        |<----- side ----->|
        | token | token |  |
    """

    side: int
    token_side: int

    @property
    def rows(self) -> int:
        """Rows, and columns, of the grid."""
        return self.side // self.token_side


def idefics3_layouts(
    config: PretrainedConfig, processor: Any, inputs: Mapping[str, Any], image_sizes_hw: ImageSizes
) -> list[ImageTokenLayout]:
    """Lay each picture's tokens on the grids of its tiles and, last, on the grid of the whole picture.

    The picture is stretched to a plane of whole tiles, large enough for its resized sides; nothing is cropped or
    padded. The plane, stretched once more, is the whole picture's frame. Text stands between the frames:

        +---+---+---+
        | 0 | 1 | 2 |     sequence:  <row_1_col_1> 0 <row_1_col_2> 1 ... 5 <global-img> whole
        +---+---+---+
        | 3 | 4 | 5 |     a picture that fits into one tile enters only as a whole
        +---+---+---+

    Args:
        config: The model's config.
        processor: Its processor, for the image processor's settings.
        inputs: What the processor made of a batch.
        image_sizes_hw: Height and width of every picture per batch row.

    Returns:
        One layout per row.

    Raises:
        UnsupportedModelError: If the image processor is of an unknown kind, the processed tiles have another size
            or number than its settings say, patches cannot be merged evenly, or the tokens do not fill the grids.
    """
    model_type = str(config.model_type)
    frame = _frame(config, processor.image_processor, inputs["pixel_values"].shape)
    # The model takes a frame of zeros for padding, whatever the mask says, and drops it.
    filled = inputs["pixel_values"].flatten(2).any(dim=-1).sum(dim=1).tolist()
    layouts = []
    for positions, sizes, found in zip(
        image_token_positions(inputs, config.image_token_id), image_sizes_hw, filled, strict=True
    ):
        grids = [_tile_grid(processor.image_processor, size) for size in sizes]
        words = " + ".join(f"({rows} x {columns} + 1)" for rows, columns in grids)
        expected = sum(rows * columns + 1 for rows, columns in grids)
        if found != expected:
            raise UnsupportedModelError(
                f"Processor made {found} tiles with pixels for {model_type!r}, expected {words} = {expected} from the "
                "pictures' sizes. Check preprocessor_config.json; a tile whose processed pixels are all 0 is lost."
            )
        refuse_unfilled_grid(
            model_type,
            found=len(positions),
            expected=expected * frame.rows**2,
            grid=f"({words}) x {frame.rows} x {frame.rows}",
        )
        layouts.append(_row_layout(positions, grids, frame))
    return layouts


def idefics3_language_inputs(backbone: nn.Module, inputs: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Compute image features once and put them into the embeddings.

    Args:
        backbone: The `Idefics3Model` or `SmolVLMModel`.
        inputs: Processed inputs on the model's device.

    Returns:
        `inputs_embeds` and `attention_mask`, for the same backbone.
    """
    names = ("pixel_values", "pixel_attention_mask")
    return merged_embeddings(backbone, inputs, features_of={name: inputs[name] for name in names if name in inputs})


def _frame(config: PretrainedConfig, image_processor: Any, shape: Sequence[int]) -> _Frame:
    """Give the size of one tile and of its tokens.

    Raises:
        UnsupportedModelError: If the image processor is unknown, the processed tiles have another size than it says,
            or a row of patches cannot be merged evenly.
    """
    known_image_processor(str(config.model_type), image_processor, known=_IMAGE_PROCESSORS)
    side = int(image_processor.max_image_size["longest_edge"])
    if tuple(shape[-2:]) != (side, side):
        raise UnsupportedModelError(
            f"Processed tiles are {shape[-2]} x {shape[-1]} pixels, expected {side} x {side} from the image "
            "processor's settings. Check max_image_size in preprocessor_config.json."
        )
    patch_size, scale = int(config.vision_config.patch_size), int(config.scale_factor)
    if side // patch_size % scale:
        raise UnsupportedModelError(
            f"Patches cannot be merged evenly: a tile of {side} pixels has {side // patch_size} patches a side, "
            f"expected a multiple of scale_factor={scale}. Check max_image_size in preprocessor_config.json."
        )
    return _Frame(side=side, token_side=patch_size * scale)


class _SizesOnly:
    """Stands in for an image processor where only the sizes that it would resize to are asked for."""

    def resize(self, image: torch.Tensor, size: Any, resample: Any = None) -> torch.Tensor:
        """Give a picture of the new size, without pixels."""
        del image, resample
        return _without_pixels((size.height, size.width))


def _tile_grid(image_processor: Any, size_hw: tuple[int, int]) -> tuple[int, int]:
    """Give the rows and columns of tiles that a picture is cut into; 0 x 0 where it is not cut.

    Not from `get_number_of_image_patches`, which rounds otherwise than the processor where the first resize does not
    end on whole tiles. Source: transformers' `Idefics3ImageProcessorPil._preprocess`.
    """
    if not image_processor.do_image_splitting:
        return 0, 0
    tile = int(image_processor.max_image_size["longest_edge"])
    plane = _without_pixels(size_hw)
    size = image_processor.size
    if image_processor.do_resize and size.longest_edge:
        plane = _without_pixels(get_resize_output_image_size(plane, resolution_max_side=size.longest_edge))
    elif image_processor.do_resize:
        plane = _without_pixels((size.height, size.width))
    height, width = type(image_processor).resize_for_vision_encoder(_SizesOnly(), plane, tile).shape[-2:]
    if max(height, width) <= tile:
        return 0, 0
    return math.ceil(height / tile), math.ceil(width / tile)


def _without_pixels(size_hw: tuple[int, int]) -> torch.Tensor:
    """Make a picture that has a size and takes no memory."""
    return torch.empty((3, *size_hw), device="meta")


def _row_layout(positions: TokenPositions, grids: Sequence[tuple[int, int]], frame: _Frame) -> ImageTokenLayout:
    """Lay one row's tokens on the frames of its pictures, in order."""
    count = frame.rows**2
    parts: list[ImageTokenLayout] = []
    for index, (rows, columns) in enumerate(grids):
        for tile in (*range(rows * columns), WHOLE_PICTURE):
            row, column = (0, 0) if tile == WHOLE_PICTURE else divmod(tile, columns)
            plane = (1, 1) if tile == WHOLE_PICTURE else (rows, columns)
            boxes = grid_boxes(
                rows=frame.rows,
                columns=frame.rows,
                patch_hw=(frame.token_side, frame.token_side),
                start_yx=(row * frame.side, column * frame.side),
                plane_hw=(plane[0] * frame.side, plane[1] * frame.side),
            )
            own = positions[len(parts) * count :][:count]
            parts.append(grid_layout(own, boxes, rows=frame.rows, columns=frame.rows, image_index=index, tile=tile))
    return join_layouts(parts)


FAMILY = ModelFamily(
    model_type="idefics3",
    checkpoints=("HuggingFaceTB/SmolVLM-Instruct", "HuggingFaceM4/Idefics3-8B-Llama3"),
    grid_rule="one square grid a tile; the picture is stretched to whole tiles, nothing cropped or padded",
    tiles="rows x columns of tiles by shape, small pictures too, then the whole; a setting leaves only the whole",
    image_token_layouts=idefics3_layouts,
    language_inputs=idefics3_language_inputs,
    continued_inputs=nothing_more,
    attention_path="model.text_model.layers.{layer_idx}.self_attn",
)
