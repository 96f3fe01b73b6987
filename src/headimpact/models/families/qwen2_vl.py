"""Qwen2-VL: each picture keeps its shape, sides rounded to whole tokens; 2 x 2 patches become one token."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.families.llava import merged_embeddings
from headimpact.models.family import ImageSizes, ModelFamily, image_token_positions
from headimpact.models.image_tokens import ImageTokenLayout
from headimpact.models.whole_pictures import whole_pictures_layout


def qwen2_vl_layouts(
    config: PretrainedConfig,
    processor: Any,
    inputs: Mapping[str, Any],
    image_sizes_hw: ImageSizes,
) -> list[ImageTokenLayout]:
    """Lay each picture's tokens on its own grid: the whole picture, resized, nothing cropped.

    The processor orders patches in blocks of merge x merge, so after merging tokens run row by row:

        patches   0 1 | 4 5        tokens   0 | 1
                  2 3 | 6 7                 -----
                  ---------                 2 | 3
                  8 ...

    Args:
        config: The model's config.
        processor: Its processor; not needed, since the grid comes with the inputs.
        inputs: What the processor made of a batch, with `image_grid_thw`.
        image_sizes_hw: Height and width of every picture per batch row.

    Returns:
        One layout per row.

    Raises:
        UnsupportedModelError: If the tokens do not fill the grids.
    """
    del processor
    grids = merged_grids(inputs, merge=int(config.vision_config.spatial_merge_size))
    return lay_grids(config, inputs, image_sizes_hw, grids=grids)


def merged_grids(inputs: Mapping[str, Any], *, merge: int) -> list[tuple[int, int]]:
    """Give rows and columns of tokens per picture.

    Args:
        inputs: What the processor made of a batch, with `image_grid_thw`.
        merge: Patches along each side of a token's square.
    """
    return [(int(rows) // merge, int(columns) // merge) for _, rows, columns in inputs["image_grid_thw"].tolist()]


def lay_grids(
    config: PretrainedConfig, inputs: Mapping[str, Any], image_sizes_hw: ImageSizes, *, grids: list[tuple[int, int]]
) -> list[ImageTokenLayout]:
    """Lay each picture's tokens on one grid for the whole picture, nothing cropped or padded.

    Args:
        config: The model's config.
        inputs: What the processor made of a batch.
        image_sizes_hw: Height and width of every picture per batch row.
        grids: Rows and columns of tokens per picture.

    Returns:
        One layout per row.

    Raises:
        UnsupportedModelError: If grids are not as many as pictures, or the tokens do not fill them.
    """
    counts = [len(sizes) for sizes in image_sizes_hw]
    if sum(counts) != len(grids):
        raise UnsupportedModelError(f"Processor made {len(grids)} grids of {sum(counts)} pictures; expected one each.")
    layouts = []
    for positions, count in zip(image_token_positions(inputs, config.image_token_id), counts, strict=True):
        own, grids = grids[:count], grids[count:]
        layouts.append(whole_pictures_layout(str(config.model_type), positions, own))
    return layouts


def qwen2_vl_language_inputs(backbone: nn.Module, inputs: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Compute image features and three-axis rotary positions once.

    Args:
        backbone: The `Qwen2VLModel` or `Qwen2_5_VLModel`.
        inputs: Processed inputs on the model's device.

    Returns:
        `inputs_embeds`, `attention_mask` and `position_ids`, for the same backbone.
    """
    model: Any = backbone
    features_of = {name: inputs[name] for name in ("pixel_values", "image_grid_thw")}
    merged = merged_embeddings(model, inputs, features_of=features_of)
    position_ids, _ = model.get_rope_index(
        inputs["input_ids"],
        image_grid_thw=inputs["image_grid_thw"],
        attention_mask=inputs["attention_mask"],
        mm_token_type_ids=inputs["mm_token_type_ids"],
    )
    return {**merged, "position_ids": position_ids}


def qwen2_vl_continued_inputs(backbone: nn.Module, inputs: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Count positions on from the prompt's, whose pictures take fewer positions than tokens.

    Args:
        backbone: The model; it remembers by how many the last prompt's positions differ from its tokens.
        inputs: Tokens behind the prompt and the mask of both.

    Returns:
        `position_ids`, the same on all three axes.

    Source: transformers' `prepare_inputs_for_generation` of the same models.
    """
    model: Any = backbone
    mask, count = inputs["attention_mask"], inputs["input_ids"].shape[1]
    counted = (mask.long().cumsum(dim=-1) - 1)[:, -count:]
    return {"position_ids": (counted + model.rope_deltas.to(mask.device)).expand(3, -1, -1)}


FAMILY = ModelFamily(
    model_type="qwen2_vl",
    checkpoints=("Qwen/Qwen2-VL-2B-Instruct",),
    grid_rule="one grid a picture in its own shape; sides rounded to multiples of 28 pixels",
    image_token_layouts=qwen2_vl_layouts,
    language_inputs=qwen2_vl_language_inputs,
    continued_inputs=qwen2_vl_continued_inputs,
    pixel_order="patches",
)
