"""Aya Vision: tiles as InternVL's, with a marker before each; the picture as a whole comes last."""

from collections.abc import Mapping
from typing import Any

from transformers import PretrainedConfig

from headimpact.models.families.internvl import tiled_layouts
from headimpact.models.families.llava import llava_language_inputs
from headimpact.models.family import ImageSizes, ModelFamily, nothing_more
from headimpact.models.image_tokens import ImageTokenLayout


def aya_vision_layouts(
    config: PretrainedConfig, processor: Any, inputs: Mapping[str, Any], image_sizes_hw: ImageSizes
) -> list[ImageTokenLayout]:
    """Lay each picture's tokens on the grids of its tiles; markers between tiles have no place.

    Args:
        config: The model's config.
        processor: Its processor.
        inputs: What the processor made of a batch.
        image_sizes_hw: Height and width of every picture per batch row.

    Returns:
        One layout per row.

    Raises:
        UnsupportedModelError: If tower or image processor are of an unknown kind, patches do not merge to a
            square of tokens, or the tokens do not fill the grids.
    """
    return tiled_layouts(config, processor, inputs, image_sizes_hw, merge=int(config.downsample_factor))


FAMILY = ModelFamily(
    model_type="aya_vision",
    checkpoints=("CohereLabs/aya-vision-8b",),
    grid_rule="one square grid a tile, 13 x 13 as published; the picture's shape is not kept",
    tiles="up to 12 tiles in the arrangement nearest to the picture's shape, then the picture as a whole",
    image_token_layouts=aya_vision_layouts,
    language_inputs=llava_language_inputs,
    continued_inputs=nothing_more,
)
