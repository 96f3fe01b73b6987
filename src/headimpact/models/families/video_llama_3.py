"""VideoLLaMA3: Qwen2-VL's grid, one token a patch for pictures as published; positions count along one axis."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.families.llava import merged_embeddings
from headimpact.models.families.qwen2_vl import lay_grids, merged_grids
from headimpact.models.family import ImageSizes, ModelFamily, nothing_more
from headimpact.models.image_tokens import ImageTokenLayout

_MERGES = ([1], [2])
"""Patches along a token's side for which the model's bilinear resizing is their mean; from 3 on it skips some."""


def video_llama_3_layouts(
    config: PretrainedConfig, processor: Any, inputs: Mapping[str, Any], image_sizes_hw: ImageSizes
) -> list[ImageTokenLayout]:
    """Lay each picture's tokens on its own grid: the whole picture, resized, nothing cropped.

    Args:
        config: The model's config.
        processor: Its processor; not needed, since grid and merging come with the inputs.
        inputs: What the processor made of a batch, with `image_grid_thw` and `image_merge_sizes`.
        image_sizes_hw: Height and width of every picture per batch row.

    Returns:
        One layout per row.

    Raises:
        UnsupportedModelError: If tokens are no plain means of squares of patches, or do not fill the grids.
    """
    del processor
    merges = sorted(set(inputs["image_merge_sizes"].tolist()))
    if merges not in _MERGES:
        raise UnsupportedModelError(
            f"Patches per token's side of a 'video_llama_3' model: {merges}; expected 1 or 2 for every picture, where "
            "a token sees all of its patches alike. Check merge_size in preprocessor_config.json."
        )
    return lay_grids(config, inputs, image_sizes_hw, grids=merged_grids(inputs, merge=merges[0]))


def plain_language_inputs(backbone: nn.Module, inputs: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Compute image features once and put them into the embeddings of a decoder with positions along one axis.

    Args:
        backbone: A model whose image features depend on pixels, grids and merging alone.
        inputs: Processed inputs on the model's device.

    Returns:
        `inputs_embeds` and `attention_mask`, for the same backbone.
    """
    names = ("pixel_values", "image_grid_thw", "image_merge_sizes")
    return merged_embeddings(backbone, inputs, features_of={name: inputs[name] for name in names if name in inputs})


FAMILY = ModelFamily(
    model_type="video_llama_3",
    checkpoints=("lkhl/VideoLLaMA3-2B-Image-HF", "lkhl/VideoLLaMA3-2B-HF"),
    grid_rule="one grid a picture in its own shape; sides rounded to multiples of 14 pixels",
    image_token_layouts=video_llama_3_layouts,
    pixel_order="patches",
    language_inputs=plain_language_inputs,
    continued_inputs=nothing_more,
)
