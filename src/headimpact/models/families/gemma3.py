"""Gemma 3: the picture as a whole in a square grid of pooled patches; with pan-and-scan, crops of it as well."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from transformers import PretrainedConfig

from headimpact.core.errors import UnsupportedModelError
from headimpact.core.shapes import TokenBoxes
from headimpact.models.families.paligemma import FLASH_ATTENTION, whole_picture_shape
from headimpact.models.family import ImageSizes, ModelFamily, image_token_positions, nothing_more, refuse_unfilled_grid
from headimpact.models.image_tokens import WHOLE_PICTURE, ImageTokenLayout, grid_layout, join_layouts
from headimpact.models.patch_grid import grid_boxes

Crop = tuple[float, float, float, float]
"""Rectangle (x0, y0, x1, y1) in shares of the picture's width and height."""

_UNCROPPED: Crop = (0.0, 0.0, 1.0, 1.0)


def gemma3_layouts(
    config: PretrainedConfig, processor: Any, inputs: Mapping[str, Any], image_sizes_hw: ImageSizes
) -> list[ImageTokenLayout]:
    """Lay each picture's tokens on one grid for the picture as a whole and one for each crop.

    Crops lie side by side along the longer side. Their size is rounded up, so the last one may be narrower; each is
    resized to the tower's square, whatever its shape, so its tokens are narrower too:

        +---------+---------+-------+
        | crop 0  | crop 1  | crop 2|    sequence: whole picture, crop 0, crop 1, crop 2
        |         |         |       |
        +---------+---------+-------+

    Args:
        config: The model's config.
        processor: Its `Gemma3Processor`.
        inputs: What the processor made of a batch.
        image_sizes_hw: Height and width of every picture per batch row.

    Returns:
        One layout per row.

    Raises:
        UnsupportedModelError: If tower or image processor are of an unknown kind or set to anything but resizing
            whole pictures or crops, the crops are not as many as the settings say, or the tokens do not fill the
            grids.
    """
    shape = whole_picture_shape(config, processor.image_processor, inputs, known="Gemma3ImageProcessor")
    side, boxes = _pooled_grid(config, shape)
    sizes = [size for row in image_sizes_hw for size in row]
    crops = _crops(processor, sizes, num_views=len(inputs["pixel_values"]))
    layouts = []
    for positions, row in zip(image_token_positions(inputs, config.image_token_id), image_sizes_hw, strict=True):
        own, crops = crops[: len(row)], crops[len(row) :]
        views = [
            (index, tile, crop)
            for index, cut in enumerate(own)
            for tile, crop in enumerate([_UNCROPPED, *cut], start=WHOLE_PICTURE)
        ]
        text = f"{len(views)} x {side} x {side}"
        refuse_unfilled_grid("gemma3", found=len(positions), expected=len(views) * side**2, grid=text)
        parts = []
        for place, (index, tile, crop) in enumerate(views):
            span = positions[place * side**2 : (place + 1) * side**2]
            inside = _inside(crop, boxes)
            parts.append(grid_layout(span, inside, rows=side, columns=side, image_index=index, tile=tile))
        layouts.append(join_layouts(parts))
    return layouts


def gemma3_refusals(config: PretrainedConfig) -> Mapping[str, str]:
    """Refuse what cannot let image tokens see those behind them.

    Args:
        config: The model's config; not needed.

    Returns:
        Attention implementation to what it leaves out.

    Source: transformers' masking_utils.py (`flash_attention_mask` drops every mask but that of padding).
    """
    del config
    return dict.fromkeys(FLASH_ATTENTION, "it hides from image tokens those of the same picture that come later")


def _pooled_grid(config: PretrainedConfig, shape: tuple[int, int]) -> tuple[int, TokenBoxes]:
    """Give the tokens along each side and their rectangles: patches are averaged in squares from the top left.

    Patches that fill no square, and pixels that fill no patch, are seen by no token.

    Source: transformers' gemma3/modeling_gemma3.py, `Gemma3MultiModalProjector`.

    Raises:
        UnsupportedModelError: If the pictures' patches are not those that the pooling expects.
    """
    vision = config.vision_config
    patch_size = int(vision.patch_size)
    patches = int(vision.image_size) // patch_size
    if (shape[0] // patch_size, shape[1] // patch_size) != (patches, patches):
        raise UnsupportedModelError(
            f"Processed pictures of a 'gemma3' model are {shape[0]} x {shape[1]} pixels; expected those of the tower, "
            f"{vision.image_size} x {vision.image_size}. Check preprocessor_config.json."
        )
    kernel = patches // int(config.mm_tokens_per_image**0.5)
    side, cell = patches // kernel, kernel * patch_size
    return side, grid_boxes(rows=side, columns=side, patch_hw=(cell, cell), start_yx=(0, 0), plane_hw=shape)


def _crops(processor: Any, sizes_hw: list[tuple[int, int]], *, num_views: int) -> list[list[Crop]]:
    """Give every picture's crops; whether there are any shows in the number of views that came out.

    Raises:
        UnsupportedModelError: If the processor's settings give another number of crops.
    """
    if num_views == len(sizes_hw):
        return [[] for _ in sizes_hw]
    crops = [_pan_and_scan(processor, size_hw) for size_hw in sizes_hw]
    expected = sum(1 + len(cut) for cut in crops)
    if num_views != expected:
        raise UnsupportedModelError(
            f"Processor made {num_views} views of {len(sizes_hw)} pictures; expected {expected} from its pan-and-scan "
            "settings. Check preprocessor_config.json."
        )
    return crops


def _pan_and_scan(processor: Any, size_hw: tuple[int, int]) -> list[Crop]:
    """Let the processor itself cut one picture whose pixels are their own row and column numbers."""
    image_processor = processor.image_processor
    # What the processor hands on at a call wins over what its image part was saved with.
    handed_on = processor._merge_kwargs(
        processor.valid_processor_kwargs, tokenizer_init_kwargs=processor.tokenizer.init_kwargs
    )["images_kwargs"]
    names = ("pan_and_scan_min_crop_size", "pan_and_scan_max_num_crops", "pan_and_scan_min_ratio_to_activate")
    settings = {name: handed_on.get(name, getattr(image_processor, name)) for name in names}
    # The backend on torchvision has the same function under another name.
    cut = getattr(image_processor, "pan_and_scan_batched", None) or image_processor.pan_and_scan
    height, width = size_hw
    rows = cut(np.broadcast_to(np.arange(height)[None, :, None], (1, height, width)), **settings)
    columns = cut(np.broadcast_to(np.arange(width), (1, height, width)), **settings)
    return [
        (x[0, 0, 0] / width, y[0, 0, 0] / height, (x[0, 0, -1] + 1) / width, (y[0, -1, 0] + 1) / height)
        for y, x in zip(rows, columns, strict=True)
    ]


def _inside(crop: Crop, boxes: TokenBoxes) -> TokenBoxes:
    """Turn shares of a crop into shares of the picture."""
    x0, y0, x1, y1 = crop
    inside = boxes * np.array([x1 - x0, y1 - y0] * 2) + np.array([x0, y0] * 2)
    return np.asarray(np.clip(inside, 0.0, 1.0))  # rounding may lead beyond the edge


FAMILY = ModelFamily(
    model_type="gemma3",
    checkpoints=("google/gemma-3-4b-it", "google/medgemma-4b-it"),
    grid_rule="one grid of 16 x 16 tokens a picture; the picture's shape is not kept",
    tiles="off as published; with pan-and-scan, up to 4 crops along the longer side, after the picture as a whole",
    image_token_layouts=gemma3_layouts,
    continued_inputs=nothing_more,
    refused_implementations=gemma3_refusals,
)
