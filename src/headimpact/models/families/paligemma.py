"""PaliGemma 1 and 2: the whole picture, resized to a square; image and prompt see each other both ways."""

from collections.abc import Mapping
from typing import Any

from transformers import PretrainedConfig

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.family import (
    ImageSizes,
    ModelFamily,
    image_token_positions,
    known_image_processor,
    refuse_unfilled_grid,
)
from headimpact.models.image_tokens import ImageTokenLayout, grid_layout, join_layouts
from headimpact.models.patch_grid import grid_boxes

FLASH_ATTENTION = (
    "flash_attention_2",
    "flash_attention_3",
    "flash_attention_4",
    "kernels-community/flash-attn2",
    "kernels-community/flash-attn3",
    "kernels-community/flash-attn4",
    "kernels-community/vllm-flash-attn3",
    "kernels-community/aiter-flash-attn",
)
"""Implementations that know a sequence as causal or not and take no other mask than that of padding."""


def paligemma_layouts(
    config: PretrainedConfig, processor: Any, inputs: Mapping[str, Any], image_sizes_hw: ImageSizes
) -> list[ImageTokenLayout]:
    """Lay each picture's tokens on the grid of its tower's patches, one token a patch.

    Args:
        config: The model's config.
        processor: Its `PaliGemmaProcessor`.
        inputs: What the processor made of a batch.
        image_sizes_hw: Height and width of every picture per batch row.

    Returns:
        One layout per row.

    Raises:
        UnsupportedModelError: If tower or image processor are of an unknown kind or set to anything but
            resizing whole pictures, or the tokens do not fill the grid.
    """
    shape = whole_picture_shape(config, processor.image_processor, inputs, known="SiglipImageProcessor")
    patch_size = int(config.vision_config.patch_size)
    rows, columns = shape[0] // patch_size, shape[1] // patch_size
    count = rows * columns
    patch_hw = (patch_size, patch_size)
    boxes = grid_boxes(rows=rows, columns=columns, patch_hw=patch_hw, start_yx=(0, 0), plane_hw=shape)
    layouts = []
    for positions, sizes in zip(image_token_positions(inputs, config.image_token_id), image_sizes_hw, strict=True):
        grid = f"{len(sizes)} x {rows} x {columns}"
        refuse_unfilled_grid("paligemma", found=len(positions), expected=len(sizes) * count, grid=grid)
        parts = [
            grid_layout(
                positions[index * count : (index + 1) * count], boxes, rows=rows, columns=columns, image_index=index
            )
            for index in range(len(sizes))
        ]
        layouts.append(join_layouts(parts))
    return layouts


def paligemma_refusals(config: PretrainedConfig) -> Mapping[str, str]:
    """Refuse what does not know the prefix's mask and, with a Gemma 2 decoder, what leaves out soft-capping.

    Args:
        config: The model's config.

    Returns:
        Attention implementation to what it leaves out.

    Source: transformers' masking_utils.py (`flash_attention_mask` drops every mask but that of padding) and
    gemma2/modeling_gemma2.py (`_supports_sdpa` is off because of soft-capping).
    """
    refused = dict.fromkeys(FLASH_ATTENTION, "it cannot hide the end of a response from what comes before it")
    if getattr(config.get_text_config(), "attn_logit_softcapping", None) is not None:
        refused["sdpa"] = "it leaves out the soft-capping of attention logits"
    return refused


def whole_picture_shape(
    config: PretrainedConfig, image_processor: Any, inputs: Mapping[str, Any], *, known: str
) -> tuple[int, int]:
    """Give the size that all pictures were resized to, once nothing but that was done to them.

    Args:
        config: The model's config.
        image_processor: The processor's image part.
        inputs: What the processor made of a batch.
        known: Class name of the image processor whose steps are known, without its backend.

    Returns:
        Height and width in pixels.

    Raises:
        UnsupportedModelError: If the tower is no SigLIP, the image processor is of another class or set to
            crop, pad or keep a picture's shape, or pictures came out with another size than its settings say.
    """
    tower = config.vision_config.model_type
    if tower != "siglip_vision_model":
        raise UnsupportedModelError(
            f"Unknown vision tower in a {config.model_type!r} model: {tower!r}; expected 'siglip_vision_model'. Where "
            "this tower's patches lie in a picture is not known."
        )
    known_image_processor(str(config.model_type), image_processor, known=(known,))
    height, width = (int(side) for side in inputs["pixel_values"].shape[-2:])
    size = image_processor.size
    others = [step for step in ("do_center_crop", "do_pad") if getattr(image_processor, step, False)]
    if not image_processor.do_resize or others or (size.height, size.width) != (height, width):
        raise UnsupportedModelError(
            f"Processed pictures of a {config.model_type!r} model are {height} x {width} pixels with "
            f"do_resize={image_processor.do_resize}, size={dict(size)} and {', '.join(others) or 'no further step'}; "
            "expected whole pictures resized to that height and width. Check preprocessor_config.json."
        )
    return height, width


FAMILY = ModelFamily(
    model_type="paligemma",
    checkpoints=("google/paligemma2-3b-mix-224", "google/paligemma-3b-mix-224"),
    grid_rule="one square grid a picture, 16 x 16 at 224 pixels; the picture's shape is not kept",
    image_token_layouts=paligemma_layouts,
    refused_implementations=paligemma_refusals,
    # The processor puts the start token behind the pictures, ends the prompt's line and takes the answer apart.
    plain_template="{image}{prompt}\n",
    answer_template="answer-en",
)
