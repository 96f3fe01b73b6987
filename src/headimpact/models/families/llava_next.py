"""LLaVA-NeXT: the whole picture first, then one grid of tokens across all tiles; a newline token ends its rows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PretrainedConfig
from transformers.image_processing_utils import get_patch_output_size, select_best_resolution
from transformers.image_utils import ChannelDimension
from transformers.models.llava_next.modeling_llava_next import unpad_image

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.families.llava import merged_embeddings
from headimpact.models.family import (
    ImageSizes,
    ModelFamily,
    image_token_positions,
    known_image_processor,
    nothing_more,
    refuse_unfilled_grid,
)
from headimpact.models.image_tokens import ImageTokenLayout, join_layouts
from headimpact.models.tiled_grid import Tile, TokenGrid

_CLASS_TOKENS = {"clip_vision_model": 1, "siglip_vision_model": 0}
"""Tokens that each known vision tower puts before its patches; they have no place in the picture."""

_IMAGE_PROCESSORS = ("LlavaNextImageProcessor", "LlavaOnevisionImageProcessor")
"""Processors whose steps (resize, pad to whole tiles, cut; stretch the whole picture) `tiled_grids` follows."""

GridShape = Callable[[int, int], tuple[int, int]]
"""(rows, columns) of patches -> rows and columns of the tokens that they are resized to."""


def llava_next_layouts(
    config: PretrainedConfig, processor: Any, inputs: Mapping[str, Any], image_sizes_hw: ImageSizes
) -> list[ImageTokenLayout]:
    """Lay each picture's tokens on the grid of the whole picture and on the one grid across its tiles.

    Args:
        config: The model's config.
        processor: Its processor, for the image processor's settings.
        inputs: What the processor made of a batch.
        image_sizes_hw: Height and width of every picture per batch row.

    Returns:
        One layout per row.

    Raises:
        UnsupportedModelError: If tower or image processor are of an unknown kind, processor and config disagree on
            tiles or sizes, or the tokens do not fill the grids.
    """
    tile = read_tile(config, processor.image_processor, inputs)
    check_sizes(config, inputs, image_sizes_hw)
    planes = [
        [choose_plane(config, processor.image_processor, size, tile=tile) for size in row] for row in image_sizes_hw
    ]
    check_tiles(config, inputs, planes=[plane for row in planes for plane in row], tile=tile)
    pictures = [
        [tiled_grids(size, plane, tile=tile) for size, plane in zip(sizes, row, strict=True)]
        for sizes, row in zip(image_sizes_hw, planes, strict=True)
    ]
    return lay_rows(config, inputs, pictures)


def llava_next_language_inputs(backbone: nn.Module, inputs: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Compute image features once and put them, with their newlines, into the embeddings.

    Args:
        backbone: The `LlavaNextModel` or `LlavaOnevisionModel`.
        inputs: Processed inputs on the model's device.

    Returns:
        `inputs_embeds` and `attention_mask`, for the same backbone.
    """
    names = ("pixel_values", "image_sizes", "batch_num_images")
    return merged_embeddings(backbone, inputs, features_of={name: inputs[name] for name in names if name in inputs})


def read_tile(config: PretrainedConfig, image_processor: Any, inputs: Mapping[str, Any]) -> Tile:
    """Give the size of one tile and of its patches.

    Args:
        config: The model's config.
        image_processor: The processor's image part.
        inputs: What the processor made of a batch.

    Raises:
        UnsupportedModelError: If tower or image processor are of an unknown kind, other features than patches are
            laid on the grid, or tower, settings and processed pictures differ in the side of a tile.
    """
    vision, model_type = config.vision_config, config.model_type
    strategy = config.vision_feature_select_strategy
    if _CLASS_TOKENS.get(vision.model_type) != (strategy == "default"):
        raise UnsupportedModelError(
            f"Vision tower {vision.model_type!r} with vision_feature_select_strategy={strategy!r} in a {model_type!r} "
            "model: expected 'clip_vision_model' with 'default', or 'siglip_vision_model' with 'full'. Where other "
            "features lie in a picture is not known."
        )
    known_image_processor(model_type, image_processor, known=_IMAGE_PROCESSORS)
    size, crop = image_processor.size, image_processor.crop_size
    settings = (size.shortest_edge,) if size.shortest_edge else (size.height, size.width)
    if crop is not None and crop.height:
        settings = (*settings, crop.height, crop.width)
    if {*settings, *inputs["pixel_values"].shape[-2:]} != {vision.image_size}:
        raise UnsupportedModelError(
            f"Tiles of a {model_type!r} model differ in size: image processor's settings {settings}, processed "
            f"{tuple(inputs['pixel_values'].shape[-2:])}; expected {vision.image_size} x {vision.image_size} pixels "
            "everywhere, as the vision tower takes. Check preprocessor_config.json."
        )
    return Tile(side=int(vision.image_size), patch_size=int(vision.patch_size))


def check_sizes(config: PretrainedConfig, inputs: Mapping[str, Any], image_sizes_hw: ImageSizes) -> None:
    """Refuse a batch whose processed pictures have other sizes than those that were given.

    Args:
        config: The model's config.
        inputs: What the processor made of a batch; the model unpads by its `image_sizes`.
        image_sizes_hw: Height and width of every picture per batch row.

    Raises:
        UnsupportedModelError: If sizes or numbers differ.
    """
    given = [list(size) for row in image_sizes_hw for size in row]
    found = inputs["image_sizes"].tolist()
    if found != given:
        raise UnsupportedModelError(
            f"Processor of a {config.model_type!r} model took pictures of {found}; expected {given}, height and width. "
            "Pass pictures upright, in RGB."
        )


def choose_plane(
    config: PretrainedConfig, image_processor: Any, size_hw: tuple[int, int], *, tile: Tile
) -> tuple[int, int]:
    """Give height and width of the plane of tiles that a picture is fitted into, in pixels.

    Args:
        config: The model's config.
        image_processor: The processor's image part.
        size_hw: Height and width of the picture.
        tile: Size of one tile.

    Raises:
        UnsupportedModelError: If processor and model choose different planes, or the plane is no whole number of
            tiles.
    """
    cut, taken = (
        select_best_resolution(size_hw, settings.image_grid_pinpoints) for settings in (image_processor, config)
    )
    if tuple(cut) != tuple(taken) or any(side % tile.side for side in cut):
        raise UnsupportedModelError(
            f"image_grid_pinpoints of a {config.model_type!r} model: for a picture of {size_hw[0]} x {size_hw[1]} "
            f"pixels the processor takes {tuple(cut)} and the model {tuple(taken)}; expected the same, in multiples "
            f"of {tile.side}. Check preprocessor_config.json against config.json."
        )
    return int(cut[0]), int(cut[1])


def check_tiles(
    config: PretrainedConfig, inputs: Mapping[str, Any], *, planes: Iterable[tuple[int, int]], tile: Tile
) -> None:
    """Refuse a batch whose largest picture has another number of tiles than its plane.

    Args:
        config: The model's config.
        inputs: What the processor made of a batch.
        planes: Plane of each picture that was cut into tiles.
        tile: Size of one tile.

    Raises:
        UnsupportedModelError: If the numbers differ.
    """
    expected = 1 + max((height * width // tile.side**2 for height, width in planes), default=0)
    found = inputs["pixel_values"].shape[1]
    if found != expected:
        raise UnsupportedModelError(
            f"Processor of a {config.model_type!r} model made at most {found} tiles a picture; expected {expected} by "
            "its settings, the whole picture counted. Check preprocessor_config.json."
        )


def tiled_grids(
    size_hw: tuple[int, int], plane_hw: tuple[int, int], *, tile: Tile, resized: GridShape | None = None
) -> list[TokenGrid]:
    """Give the grids of a picture that is cut into tiles: the whole picture, stretched to a tile, and all tiles.

    The picture is fitted into a plane of tiles and padded there; rows or columns of patches that are padding are cut
    off again, equally on both sides. Where padding does not end on a patch, a border token sees some padding, or a
    border of the picture loses its tokens:

        +--------+--------+
        | padding         |   two tiles, one grid: a row of tokens runs through both
        |~~~~~~~~~~~~~~~~~|   <- kept from here
        | picture         |
        |~~~~~~~~~~~~~~~~~|   <- to here
        | padding         |
        +--------+--------+

    Args:
        size_hw: Height and width of the picture.
        plane_hw: Height and width of its plane of tiles.
        tile: Size of one tile.
        resized: Shape that the grid across tiles is resized to; None leaves it.

    Source: `LlavaNextImageProcessor` and `LlavaNextModel.pack_image_features` of transformers.
    """
    patches, side = tile.patches, tile.side
    y, x = (tile.shares(range(patches), tokens=patches, start=0.0, length=float(side)) for _ in size_hw)
    whole = TokenGrid(y, x)
    columns = plane_hw[1] // side * patches
    places = torch.arange(plane_hw[0] // side * patches * columns).view(1, -1, columns)
    kept = unpad_image(places, size_hw)[0]
    if not kept.numel():
        return [whole, TokenGrid(np.zeros((len(kept), 2)), np.zeros((kept.shape[1], 2)), tile=0, newline_in_rows=True)]
    shape = tuple(kept.shape) if resized is None else resized(*kept.shape)
    fitted_hw = get_patch_output_size(
        np.broadcast_to(np.uint8(0), (1, *size_hw)), plane_hw, input_data_format=ChannelDimension.FIRST
    )
    y, x = (
        tile.shares(
            range(first, first + count), tokens=tokens, start=float((plane - fitted) // 2), length=float(fitted)
        )
        for first, count, tokens, plane, fitted in zip(
            divmod(int(kept[0, 0]), columns), kept.shape, shape, plane_hw, fitted_hw, strict=True
        )
    )
    return [whole, TokenGrid(y, x, tile=0, newline_in_rows=True)]


def lay_rows(
    config: PretrainedConfig, inputs: Mapping[str, Any], pictures: Sequence[Sequence[Sequence[TokenGrid]]]
) -> list[ImageTokenLayout]:
    """Lay the tokens of every batch row on the grids of its pictures, in order.

    Args:
        config: The model's config.
        inputs: What the processor made of a batch.
        pictures: Grids per picture and batch row.

    Returns:
        One layout per row.

    Raises:
        UnsupportedModelError: If the tokens do not fill the grids.
    """
    layouts = []
    for positions, row in zip(image_token_positions(inputs, config.image_token_id), pictures, strict=True):
        grids = [(index, grid) for index, own in enumerate(row) for grid in own]
        ends = np.cumsum([len(grid) for _, grid in grids])
        words = " + ".join(grid.in_words() for _, grid in grids)
        refuse_unfilled_grid(str(config.model_type), found=len(positions), expected=int(ends[-1]), grid=words)
        spans = np.split(positions, ends[:-1])
        parts = [grid.layout(span, image_index=index) for (index, grid), span in zip(grids, spans, strict=True)]
        layouts.append(join_layouts(parts))
    return layouts


FAMILY = ModelFamily(
    model_type="llava_next",
    checkpoints=(
        "ibm-granite/granite-vision-3.3-2b",
        "ibm-granite/granite-vision-3.2-2b",
        "llava-hf/llava-v1.6-mistral-7b-hf",
    ),
    grid_rule="a square grid of the whole picture, stretched; then one grid across all tiles, in the picture's shape",
    tiles="the arrangement, out of a list, that keeps most pixels; the picture is padded to it, padding cut off again",
    image_token_layouts=llava_next_layouts,
    language_inputs=llava_next_language_inputs,
    continued_inputs=nothing_more,
    pixel_order="whole",
)
