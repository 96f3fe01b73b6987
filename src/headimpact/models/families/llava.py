"""LLaVA 1.x: one picture, one grid; centre crop, plain resize, padding to a square, or, with Pixtral, its own shape."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PretrainedConfig
from transformers.image_transforms import get_resize_output_image_size

from headimpact.core.errors import UnsupportedModelError
from headimpact.core.shapes import TokenBoxes
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
from headimpact.models.whole_pictures import whole_pictures_layout

_CLASS_TOKENS = {"clip_vision_model": 1, "siglip_vision_model": 0, "pixtral": 0}
"""Tokens that each known vision tower puts before its patches; they have no place in the picture."""

_IMAGE_PROCESSORS = ("CLIPImageProcessor", "SiglipImageProcessor", "LlavaImageProcessor")
"""Processors whose steps (pad to a square, resize, centre crop) `_window` follows."""


def llava_layouts(
    config: PretrainedConfig, processor: Any, inputs: Mapping[str, Any], image_sizes_hw: ImageSizes
) -> list[ImageTokenLayout]:
    """Lay each picture's tokens on the grid of its tower's patches.

    Args:
        config: The model's config.
        processor: Its `LlavaProcessor`, or `PixtralProcessor` with a Pixtral tower.
        inputs: What the processor made of a batch.
        image_sizes_hw: Height and width of every picture per batch row.

    Returns:
        One layout per row.

    Raises:
        UnsupportedModelError: If tower or image processor are of an unknown kind, or the tokens do not fill
            the grid.
    """
    skipped, patch_size = _tower(config)
    if config.vision_config.model_type == "pixtral":
        return pixtral_layouts(config, processor, inputs, image_sizes_hw, merge=1)
    height, width = (int(side) for side in inputs["pixel_values"].shape[-2:])
    rows, columns = height // patch_size, width // patch_size
    per_image = skipped + rows * columns
    layouts = []
    for positions, sizes in zip(image_token_positions(inputs, config.image_token_id), image_sizes_hw, strict=True):
        grid = f"{len(sizes)} x ({rows} x {columns} + {skipped})"
        refuse_unfilled_grid("llava", found=len(positions), expected=len(sizes) * per_image, grid=grid)
        parts = [
            grid_layout(
                positions[index * per_image + skipped : (index + 1) * per_image],
                _boxes(processor.image_processor, size, shape=(height, width), patch_size=patch_size),
                rows=rows,
                columns=columns,
                image_index=index,
            )
            for index, size in enumerate(sizes)
        ]
        layouts.append(join_layouts(parts))
    return layouts


def pixtral_layouts(
    config: PretrainedConfig, processor: Any, inputs: Mapping[str, Any], image_sizes_hw: ImageSizes, *, merge: int
) -> list[ImageTokenLayout]:
    """Lay each picture's tokens on its own grid, as a Pixtral tower takes it: resized to whole tokens, nothing cropped.

    Row breaks (b) and the end token (e) are no image tokens; pictures of a batch are padded, padding gets no token:

        picture   0 1 2     sequence   0 1 2 b
                  3 4 5                3 4 5 e

    Args:
        config: The model's config.
        processor: Its `PixtralProcessor`.
        inputs: What the processor made of a batch, with `image_sizes`.
        image_sizes_hw: Height and width of every picture per batch row.
        merge: Patches along each side of a token's square.

    Returns:
        One layout per row.

    Raises:
        UnsupportedModelError: If the image processor is unknown, a processed picture does not end with a token, or
            the tokens do not fill the grids.

    Source: transformers' pixtral/modeling_pixtral.py (patches) and mistral3/modeling_mistral3.py (merging).
    """
    model_type = str(config.model_type)
    known_image_processor(model_type, processor.image_processor, known=("PixtralImageProcessor",))
    side = int(config.vision_config.patch_size) * merge
    sizes = [(int(height), int(width)) for height, width in inputs["image_sizes"].tolist()]
    for height, width in sizes:
        if height % side or width % side:
            raise UnsupportedModelError(
                f"Processed picture of a {model_type!r} model is {height} x {width} pixels; expected multiples of "
                f"{side}, the side of a token. Check that processor and model belong together."
            )
    layouts = []
    for positions, row in zip(image_token_positions(inputs, config.image_token_id), image_sizes_hw, strict=True):
        own, sizes = sizes[: len(row)], sizes[len(row) :]
        grids = [(height // side, width // side) for height, width in own]
        layouts.append(whole_pictures_layout(model_type, positions, grids))
    return layouts


def llava_language_inputs(backbone: nn.Module, inputs: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Compute image features once and put them into the embeddings.

    Args:
        backbone: The `LlavaModel`.
        inputs: Processed inputs on the model's device.

    Returns:
        `inputs_embeds` and `attention_mask`, for the same backbone.
    """
    features_of = {name: inputs[name] for name in ("pixel_values", "image_sizes") if name in inputs}
    return merged_embeddings(backbone, inputs, features_of=features_of)


def merged_embeddings(
    backbone: Any, inputs: Mapping[str, Any], *, features_of: Mapping[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Replace the image tokens' embeddings by image features.

    Args:
        backbone: A transformers model with `get_image_features` and input embeddings.
        inputs: Processed inputs with `input_ids` and `attention_mask`.
        features_of: Arguments of `get_image_features`.

    Returns:
        `inputs_embeds` and `attention_mask`.
    """
    embeddings = backbone.get_input_embeddings()(inputs["input_ids"])
    features = torch.cat(list(backbone.get_image_features(**features_of).pooler_output), dim=0)
    chosen = (inputs["input_ids"] == backbone.config.image_token_id)[..., None].expand_as(embeddings)
    merged = embeddings.masked_scatter(chosen, features.to(embeddings))
    return {"inputs_embeds": merged, "attention_mask": inputs["attention_mask"]}


def _tower(config: PretrainedConfig) -> tuple[int, int]:
    """Give the number of leading features that are no patch, and the patch size.

    Raises:
        UnsupportedModelError: If the tower is unknown or its first patch would be dropped.
    """
    vision = config.vision_config
    if vision.model_type not in _CLASS_TOKENS:
        raise UnsupportedModelError(
            f"Unknown vision tower in a 'llava' model: {vision.model_type!r}; expected one of "
            f"{', '.join(_CLASS_TOKENS)}. Where this tower's patches lie in a picture is not known."
        )
    skipped = _CLASS_TOKENS[vision.model_type] - (config.vision_feature_select_strategy == "default")
    if skipped < 0:
        raise UnsupportedModelError(
            f"vision_feature_select_strategy='default' drops the first feature, but {vision.model_type!r} has no "
            "class token: a patch would be lost. Expected 'full' in the model's config."
        )
    return skipped, int(vision.patch_size)


def _boxes(image_processor: Any, size_hw: tuple[int, int], *, shape: tuple[int, int], patch_size: int) -> TokenBoxes:
    """Give each patch's rectangle on one picture.

    With padding, the picture is the middle of a square; shares of the square become shares of the picture:

        +---------+ -
        | padding | |          share of the square        0.25 .. 0.75
        |---------| |   side   becomes share of picture   0 .. 1
        | picture | |          and is cut there, so that padding has no area
        |---------| |
        | padding | |
        +---------+ -

    Raises:
        UnsupportedModelError: If the image processor is unknown.
    """
    name = known_image_processor("llava", image_processor, known=_IMAGE_PROCESSORS)
    padded = bool(getattr(image_processor, "do_pad", False)) and name == "LlavaImageProcessor"
    side = max(size_hw)
    plane_hw, start_yx = _window(image_processor, (side, side) if padded else size_hw, shape=shape)
    boxes = grid_boxes(
        rows=shape[0] // patch_size,
        columns=shape[1] // patch_size,
        patch_hw=(patch_size, patch_size),
        start_yx=start_yx,
        plane_hw=plane_hw,
    )
    if not padded:
        return boxes
    height, width = size_hw
    scale = side / np.array([width, height, width, height])
    start = np.array([(side - width) // 2, (side - height) // 2] * 2) / np.array([width, height] * 2)
    return np.asarray(np.clip(boxes * scale - start, 0.0, 1.0))


def _window(
    image_processor: Any, size_hw: tuple[int, int], *, shape: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Give the resized plane's size and where the tower's window starts on it.

    Source: transformers' PIL image-processing backend (resize, then centre crop, padded where too small).

    Raises:
        UnsupportedModelError: If the processed picture has another size than the settings say.
    """
    size = image_processor.size
    plane = size_hw
    if image_processor.do_resize and getattr(size, "shortest_edge", None):
        dummy = np.broadcast_to(np.uint8(0), (1, *size_hw))
        plane = get_resize_output_image_size(
            dummy, size=size.shortest_edge, default_to_square=False, input_data_format="channels_first"
        )
    elif image_processor.do_resize:
        plane = (size.height, size.width)
    start = (0, 0)
    if getattr(image_processor, "do_center_crop", False):
        crop = image_processor.crop_size
        start = ((plane[0] - crop.height) // 2, (plane[1] - crop.width) // 2)
        plane_shape = (crop.height, crop.width)
    else:
        plane_shape = plane
    if plane_shape != shape:
        raise UnsupportedModelError(
            f"Processed picture is {shape[0]} x {shape[1]} pixels, expected {plane_shape[0]} x {plane_shape[1]} from "
            "the image processor's settings. Check preprocessor_config.json."
        )
    return plane, start


def pixtral_refusals(config: PretrainedConfig) -> Mapping[str, str]:
    """Say which attention implementations a Pixtral tower cannot be run with; other towers take all.

    Args:
        config: The model's config.
    """
    if config.vision_config.model_type != "pixtral":
        return {}
    return {"flex_attention": "torch's kernel for it crashes in the Pixtral tower on a CPU"}


FAMILY = ModelFamily(
    model_type="llava",
    checkpoints=("llava-hf/llava-1.5-7b-hf", "llava-hf/bakLlava-v1-hf", "mistral-community/pixtral-12b"),
    grid_rule="one grid a picture; centre crop, plain resize, padding to a square, or with Pixtral its own shape",
    image_token_layouts=llava_layouts,
    language_inputs=llava_language_inputs,
    continued_inputs=nothing_more,
    refused_implementations=pixtral_refusals,
    plain_template="USER: {image}\n{prompt} ASSISTANT:",
)
