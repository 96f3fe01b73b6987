"""Mistral 3: a Pixtral tower, each picture in its own shape; 2 x 2 patches become one token."""

from collections.abc import Mapping
from typing import Any

from transformers import PretrainedConfig

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.families.llava import llava_language_inputs, pixtral_layouts, pixtral_refusals
from headimpact.models.family import ImageSizes, ModelFamily, nothing_more
from headimpact.models.image_tokens import ImageTokenLayout


def mistral3_layouts(
    config: PretrainedConfig, processor: Any, inputs: Mapping[str, Any], image_sizes_hw: ImageSizes
) -> list[ImageTokenLayout]:
    """Lay each picture's tokens on its own grid.

    Args:
        config: The model's config.
        processor: Its `PixtralProcessor`.
        inputs: What the processor made of a batch, with `image_sizes`.
        image_sizes_hw: Height and width of every picture per batch row.

    Returns:
        One layout per row.

    Raises:
        UnsupportedModelError: If tower or image processor are of an unknown kind, or the tokens do not fill the
            grids.
    """
    tower = config.vision_config.model_type
    if tower != "pixtral":
        raise UnsupportedModelError(
            f"Unknown vision tower in a {config.model_type!r} model: {tower!r}; expected pixtral. Where this tower's "
            "patches lie in a picture is not known."
        )
    return pixtral_layouts(config, processor, inputs, image_sizes_hw, merge=int(config.spatial_merge_size))


FAMILY = ModelFamily(
    model_type="mistral3",
    checkpoints=("mistralai/Ministral-3-3B-Instruct-2512", "mistralai/Mistral-Small-3.1-24B-Instruct-2503"),
    grid_rule="one grid a picture in its own shape; sides rounded up to multiples of 28 pixels",
    image_token_layouts=mistral3_layouts,
    language_inputs=llava_language_inputs,
    continued_inputs=nothing_more,
    pixel_order=None,  # pictures of a batch are padded to the largest
    refused_implementations=pixtral_refusals,
    needs_torchvision=True,
)
