"""Gemma 4: the picture in its own shape, as many tokens as a budget allows; squares of patches are averaged."""

from collections.abc import Mapping
from typing import Any

from transformers import PretrainedConfig

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.families.paligemma import FLASH_ATTENTION
from headimpact.models.families.qwen2_vl import lay_grids
from headimpact.models.family import ImageSizes, ModelFamily
from headimpact.models.image_tokens import ImageTokenLayout


def gemma4_layouts(
    config: PretrainedConfig, processor: Any, inputs: Mapping[str, Any], image_sizes_hw: ImageSizes
) -> list[ImageTokenLayout]:
    """Lay each picture's tokens on its own grid: the whole picture, resized, nothing cropped.

    Patches come with their (x, y), (-1, -1) for those that fill up to the budget; a token is the mean of a square:

        patches   0 1 2 | 3 4 5        tokens   0 | 1
                  6 7 8 | 9 ...                 -----
                  ...                           2 | 3

    Args:
        config: The model's config.
        processor: Its `Gemma4Processor`; not needed, since the patches' places come with the inputs.
        inputs: What the processor made of a batch, with `image_position_ids`.
        image_sizes_hw: Height and width of every picture per batch row.

    Returns:
        One layout per row.

    Raises:
        UnsupportedModelError: If patches do not fill whole squares, or the tokens do not fill the grids.
    """
    del processor
    kernel = int(config.vision_config.pooling_kernel_size)
    grids = []
    for columns, rows in (inputs["image_position_ids"].amax(dim=1) + 1).tolist():
        if rows % kernel or columns % kernel:
            raise UnsupportedModelError(
                f"A picture of a 'gemma4' model has {rows} x {columns} patches; expected multiples of "
                f"pooling_kernel_size={kernel}, as many as are averaged. Check preprocessor_config.json."
            )
        grids.append((rows // kernel, columns // kernel))
    return lay_grids(config, inputs, image_sizes_hw, grids=grids)


def gemma4_refusals(config: PretrainedConfig) -> Mapping[str, str]:
    """Refuse what cannot let image tokens see those behind them, where the model does.

    Args:
        config: The model's config.

    Returns:
        Attention implementation to what it leaves out.

    Source: transformers' masking_utils.py (`flash_attention_mask` drops every mask but that of padding).
    """
    if config.get_text_config().use_bidirectional_attention is None:
        return {}
    return dict.fromkeys(FLASH_ATTENTION, "it hides from image tokens those of the same picture that come later")


FAMILY = ModelFamily(
    model_type="gemma4",
    checkpoints=("google/gemma-4-e2b-it", "google/gemma-4-e4b-it"),
    grid_rule="one grid a picture in its own shape, at most 280 tokens; sides rounded to multiples of 48 pixels",
    image_token_layouts=gemma4_layouts,
    pixel_order=None,  # patches fill up to a budget
    refused_implementations=gemma4_refusals,
    uncuttable="layers use keys and values of earlier ones, and each gets inputs of its own from the tokens",
)
