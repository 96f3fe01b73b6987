"""ViP-LLaVA: LLaVA 1.x with features of several layers of the tower side by side; its class token is always dropped."""

import copy
from collections.abc import Mapping
from typing import Any

from transformers import PretrainedConfig

from headimpact.models.families.llava import llava_language_inputs, llava_layouts
from headimpact.models.family import ImageSizes, ModelFamily, nothing_more
from headimpact.models.image_tokens import ImageTokenLayout


def vipllava_layouts(
    config: PretrainedConfig, processor: Any, inputs: Mapping[str, Any], image_sizes_hw: ImageSizes
) -> list[ImageTokenLayout]:
    """Lay each picture's tokens on the grid of its tower's patches.

    Args:
        config: The model's config.
        processor: Its `LlavaProcessor`.
        inputs: What the processor made of a batch.
        image_sizes_hw: Height and width of every picture per batch row.

    Returns:
        One layout per row.

    Raises:
        UnsupportedModelError: If tower or image processor are of an unknown kind, the tower has no class token, or
            the tokens do not fill the grid.
    """
    as_llava: Any = copy.copy(config)
    as_llava.vision_feature_select_strategy = "default"
    return llava_layouts(as_llava, processor, inputs, image_sizes_hw)


FAMILY = ModelFamily(
    model_type="vipllava",
    checkpoints=("llava-hf/vip-llava-7b-hf",),
    grid_rule="one grid a picture; centre crop, plain resize or padding to a square",
    image_token_layouts=vipllava_layouts,
    language_inputs=llava_language_inputs,
    continued_inputs=nothing_more,
    plain_template=(
        "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, "
        "detailed, and polite answers to the human's questions.###Human: {image}\n{prompt}###Assistant:"
    ),
)
