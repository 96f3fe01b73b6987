"""Ovis2: the picture as a whole first, then its tiles; each token is a mixture of visual words."""

import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.families.internvl import WHOLE_WINDOW, SquareTile, Window, lay_windows, tile_windows
from headimpact.models.family import ImageSizes, ModelFamily, image_token_positions, known_image_processor, nothing_more
from headimpact.models.image_tokens import ImageTokenLayout

_COVERED = 0.9
"""Share of a picture that its tiles must cover; the image processor has it as a default, not as a setting."""


def ovis2_layouts(
    config: PretrainedConfig, processor: Any, inputs: Mapping[str, Any], image_sizes_hw: ImageSizes
) -> list[ImageTokenLayout]:
    """Lay each picture's tokens on the grid of the whole picture and on those of its tiles.

    A picture is resized to whole tiles without keeping its shape. The whole, resized to one tile, comes before them.
    Five kinds of markers between tiles carry embeddings of their own and have no place:

        +---+---+
        | 0 | 1 |     sequence:  <IMG_START> whole <IMG_GRID> 0 <IMG_COL> 1 <IMG_ROW> 2 <IMG_COL> 3 <IMG_END>
        +---+---+
        | 2 | 3 |     a picture that fills one tile enters only as a whole
        +---+---+

    Args:
        config: The model's config.
        processor: Its `Ovis2Processor`.
        inputs: What the processor made of a batch.
        image_sizes_hw: Height and width of every picture per batch row.

    Returns:
        One layout per row.

    Raises:
        UnsupportedModelError: If the image processor is of an unknown kind or made another number of tiles than its
            settings say, patches do not merge evenly, or the tokens do not fill the grids.
    """
    tile = _tile(config, tuple(inputs["pixel_values"].shape[-2:]))
    sizes = [size for row in image_sizes_hw for size in row]
    pictures = _pictures(processor.image_processor, sizes, num_tiles=len(inputs["pixel_values"]))
    layouts = []
    for positions, row in zip(image_token_positions(inputs, config.image_token_id), image_sizes_hw, strict=True):
        own, pictures = pictures[: len(row)], pictures[len(row) :]
        layouts.append(lay_windows("ovis2", positions, own, tile=tile))
    return layouts


def ovis2_language_inputs(backbone: nn.Module, inputs: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Compute image features once and put them, and the markers' own embeddings, into the embeddings.

    Args:
        backbone: The `Ovis2Model`.
        inputs: Processed inputs on the model's device.

    Returns:
        `inputs_embeds` and `attention_mask`, for the same backbone.
    """
    model: Any = backbone
    ids = inputs["input_ids"]
    embeddings = model.get_input_embeddings()(ids)
    features = model.get_image_features(pixel_values=inputs["pixel_values"])
    chosen = (ids == model.config.image_token_id)[..., None].expand_as(embeddings)
    merged = embeddings.masked_scatter(chosen, features.pooler_output.to(embeddings))
    for marker, embedding in zip(
        model.config.visual_indicator_token_ids, features.visual_indicator_features, strict=True
    ):
        merged = torch.where((ids == marker)[..., None], embedding.to(merged), merged)
    return {"inputs_embeds": merged, "attention_mask": inputs["attention_mask"]}


def _tile(config: PretrainedConfig, size_hw: tuple[int, ...]) -> SquareTile:
    """Give the grid of tokens on one tile; a side that is no multiple of the patch leaves a strip unseen.

    Raises:
        UnsupportedModelError: If the tower would pad the grid of patches before merging it.
    """
    vision = config.vision_config
    patch_size, merge = int(vision.patch_size), int(vision.hidden_stride)
    height, width = (int(pixels) for pixels in size_hw)
    rows, columns = height // patch_size, width // patch_size
    if rows != columns or rows % merge or rows < merge:
        raise UnsupportedModelError(
            f"Tiles of {height} x {width} pixels have {rows} x {columns} patches for 'ovis2'; expected a square of "
            f"them with sides divisible by hidden_stride={merge}. Check size in preprocessor_config.json."
        )
    return SquareTile((height, width), (merge * patch_size, merge * patch_size), rows // merge)


def _pictures(image_processor: Any, sizes_hw: list[tuple[int, int]], *, num_tiles: int) -> list[list[Window]]:
    """Give every picture's windows in the order in which they enter, from the function by which they were chosen.

    Whether pictures were cut at all shows in the number of tiles that came out.

    Source: transformers' `Ovis2ImageProcessorPil.crop_image_to_patches`, which takes the first number of the pair
    for columns.

    Raises:
        UnsupportedModelError: If the image processor is unknown, or made another number of tiles.
    """
    known_image_processor("ovis2", image_processor, known=("Ovis2ImageProcessor",))
    functions: Any = vars(sys.modules[type(image_processor).__module__])
    size, fewest, most = image_processor.size, image_processor.min_patches, image_processor.max_patches
    pictures = []
    for size_hw in sizes_hw:
        if image_processor.use_covering_area_grid:
            columns, rows = functions["get_min_tile_covering_grid"](size_hw, size.height, most, _COVERED)
        else:
            columns, rows = functions["get_optimal_tiled_canvas"](size_hw, (size.height, size.width), fewest, most)
        pictures.append([WHOLE_WINDOW, *(tile_windows((rows, columns)) if rows * columns > 1 else [])])
    expected = sum(map(len, pictures))
    if num_tiles == expected:
        return pictures
    if num_tiles == len(sizes_hw):
        return [[WHOLE_WINDOW] for _ in sizes_hw]
    raise UnsupportedModelError(
        f"Processor made {num_tiles} tiles of {len(sizes_hw)} pictures for 'ovis2'; expected {expected} from its "
        "settings. Check preprocessor_config.json."
    )


FAMILY = ModelFamily(
    model_type="ovis2",
    checkpoints=("thisisiron/Ovis2-2B-hf", "thisisiron/Ovis2-4B-hf"),
    grid_rule="one square grid a tile, 16 x 16 as published; the picture's shape is not kept",
    tiles="the whole first, then up to 12 tiles, as few as cover nine tenths of it; a setting leaves only the whole",
    image_token_layouts=ovis2_layouts,
    language_inputs=ovis2_language_inputs,
    continued_inputs=nothing_more,
)
