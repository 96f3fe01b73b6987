"""DeepSeek-VL: the picture in its own shape in the middle of a grey square; one token a patch."""

from collections.abc import Mapping
from typing import Any

from transformers import PretrainedConfig

from headimpact.core.errors import UnsupportedModelError
from headimpact.core.shapes import TokenBoxes
from headimpact.models.families.llava import llava_language_inputs
from headimpact.models.family import (
    ImageSizes,
    ModelFamily,
    image_token_positions,
    known_image_processor,
    nothing_more,
    refuse_unfilled_grid,
)
from headimpact.models.image_tokens import ImageTokenLayout, grid_layout, join_layouts
from headimpact.models.patch_grid import grid_boxes

_TOWERS = ("siglip_vision_model", "janus_vision_model")
"""Towers that give one feature a patch, row by row, and nothing else."""

_IMAGE_PROCESSORS = ("DeepseekVLImageProcessor", "JanusImageProcessor")
"""Processors that resize a picture by its longer side and pad it to a square."""


def deepseek_vl_layouts(
    config: PretrainedConfig, processor: Any, inputs: Mapping[str, Any], image_sizes_hw: ImageSizes
) -> list[ImageTokenLayout]:
    """Lay each picture's tokens on the grid of the square that it was padded to; padding gets no area.

    Args:
        config: The model's config.
        processor: Its processor, for the image processor's settings.
        inputs: What the processor made of a batch.
        image_sizes_hw: Height and width of every picture per batch row.

    Returns:
        One layout per row.

    Raises:
        UnsupportedModelError: If tower or image processor are of an unknown kind, pictures were not resized and
            padded to a square, or the tokens do not fill the grid.
    """
    model_type = str(config.model_type)
    side = _side(config, processor.image_processor, inputs)
    patch_size = int(config.vision_config.patch_size)
    rows = side // patch_size
    layouts = []
    for positions, sizes in zip(image_token_positions(inputs, config.image_token_id), image_sizes_hw, strict=True):
        grid = f"{len(sizes)} x {rows} x {rows}"
        refuse_unfilled_grid(model_type, found=len(positions), expected=len(sizes) * rows**2, grid=grid)
        parts = [
            grid_layout(
                positions[index * rows**2 : (index + 1) * rows**2],
                _boxes(processor.image_processor, size, side=side, patch_size=patch_size),
                rows=rows,
                columns=rows,
                image_index=index,
            )
            for index, size in enumerate(sizes)
        ]
        layouts.append(join_layouts(parts))
    return layouts


def _side(config: PretrainedConfig, image_processor: Any, inputs: Mapping[str, Any]) -> int:
    """Give the side of the square that every picture was fitted into, in pixels.

    Raises:
        UnsupportedModelError: If tower or image processor are of an unknown kind, or the processed pictures are no
            squares of the size that settings and tower say.
    """
    vision, model_type = config.vision_config, str(config.model_type)
    if vision.model_type not in _TOWERS:
        raise UnsupportedModelError(
            f"Unknown vision tower in a {model_type!r} model: {vision.model_type!r}; expected one of "
            f"{', '.join(_TOWERS)}. Where this tower's patches lie in a picture is not known."
        )
    known_image_processor(model_type, image_processor, known=_IMAGE_PROCESSORS)
    height, width = (int(pixels) for pixels in inputs["pixel_values"].shape[-2:])
    size = image_processor.size
    fitted = image_processor.do_resize and image_processor.do_pad
    if not fitted or {height, width, size.height, size.width} != {vision.image_size}:
        raise UnsupportedModelError(
            f"Processed pictures of a {model_type!r} model are {height} x {width} pixels with size={dict(size)}, "
            f"do_resize={image_processor.do_resize}, do_pad={image_processor.do_pad}; expected pictures padded to the "
            f"tower's {vision.image_size} x {vision.image_size}. Check preprocessor_config.json."
        )
    return height


def _boxes(image_processor: Any, size_hw: tuple[int, int], *, side: int, patch_size: int) -> TokenBoxes:
    """Give each patch's rectangle on one picture.

    The picture lies in the middle of the square:

        +---------+ -
        | padding | |  (side - height) // 2
        |---------| -
        | picture | |  height, at least min_size: a very long picture loses its shape
        |---------| -
        | padding | |
        +---------+ -

    Source: transformers' `DeepseekVLImageProcessorPil.resize` and `pad_to_square`.
    """
    scale = side / max(size_hw)
    height, width = (max(round(pixels * scale), int(image_processor.min_size)) for pixels in size_hw)
    return grid_boxes(
        rows=side // patch_size,
        columns=side // patch_size,
        patch_hw=(patch_size, patch_size),
        start_yx=(-((side - height) // 2), -((side - width) // 2)),
        plane_hw=(height, width),
    )


FAMILY = ModelFamily(
    model_type="deepseek_vl",
    checkpoints=("deepseek-community/deepseek-vl-1.3b-chat",),
    grid_rule="one square grid a picture, 24 x 24 as published; the picture keeps its shape and is padded",
    image_token_layouts=deepseek_vl_layouts,
    language_inputs=llava_language_inputs,
    continued_inputs=nothing_more,
)
