"""Tiles and merging of InternVL and its kin: hand-worked places, uncut pictures, and what is refused."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import (
    AyaVisionConfig,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    GotOcr2ImageProcessorPil,
    InternVLConfig,
    InternVLVisionConfig,
    SiglipVisionConfig,
)

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.families.aya_vision import aya_vision_layouts
from headimpact.models.families.internvl import internvl_layouts
from headimpact.models.image_tokens import WHOLE_PICTURE
from headimpact.models.prompts import encode
from tests.contracts.image_oracle import picture

IMAGE_TOKEN = 7


def config(**changes):
    vision = InternVLVisionConfig(image_size=9, patch_size=2)
    return InternVLConfig(vision_config=vision, image_token_id=IMAGE_TOKEN, **changes)


def processor(side=9, **changes):
    return SimpleNamespace(image_processor=GotOcr2ImageProcessorPil(size={"height": side, "width": side}, **changes))


def batch(*, tiles, tokens, size_hw=(9, 9)):
    ids = torch.tensor([[1, *[IMAGE_TOKEN] * tokens, 2]])
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "pixel_values": torch.zeros(tiles, 3, *size_hw),
    }


def test_a_wide_picture_by_hand():
    """Two tiles of 9 x 9 pixels and the whole; 2 x 2 tokens of 4 x 4 pixels, the ninth pixel unseen."""
    (layout,) = internvl_layouts(config(), processor(), batch(tiles=3, tokens=12), [[(10, 20)]])
    assert layout.positions.tolist() == list(range(1, 13))
    assert layout.tile.tolist() == [0] * 4 + [1] * 4 + [WHOLE_PICTURE] * 4
    assert layout.grid_row.tolist() == [0, 0, 1, 1] * 3
    assert layout.grid_column.tolist() == [0, 1, 0, 1] * 3
    assert layout.grid_hw == {(0, 0): (2, 2), (0, 1): (2, 2), (0, WHOLE_PICTURE): (2, 2)}
    np.testing.assert_allclose(layout.boxes[1], [4 / 18, 0, 8 / 18, 4 / 9])
    np.testing.assert_allclose(layout.boxes[6], [9 / 18, 4 / 9, 13 / 18, 8 / 9])
    np.testing.assert_allclose(layout.boxes[11], [4 / 9, 4 / 9, 8 / 9, 8 / 9])


def test_a_picture_of_one_tile_has_no_second_view():
    (layout,) = internvl_layouts(config(), processor(), batch(tiles=1, tokens=4), [[(5, 5)]])
    assert layout.tile.tolist() == [WHOLE_PICTURE] * 4


def test_two_pictures_of_one_row():
    (layout,) = internvl_layouts(config(), processor(), batch(tiles=4, tokens=16), [[(5, 5), (20, 10)]])
    assert layout.image_index.tolist() == [0] * 4 + [1] * 12
    assert layout.tile.tolist() == [WHOLE_PICTURE] * 4 + [0] * 4 + [1] * 4 + [WHOLE_PICTURE] * 4


def test_pictures_that_the_processor_did_not_cut(tiny_model):
    loaded = tiny_model("internvl")
    loaded.processor.images_kwargs = {"crop_to_patches": False}
    try:
        layouts = encode(loaded, [picture((30, 90)), picture((64, 64))], ["What?", "What?"]).layouts
    finally:
        del loaded.processor.images_kwargs
    assert all((layout.tile == WHOLE_PICTURE).all() and len(layout) == 36 for layout in layouts)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"processor": SimpleNamespace(image_processor=CLIPImageProcessorPil())}, "Unknown image processor.*CLIP"),
        ({"config": config(downsample_ratio=0.4)}, "one divided by a whole number"),
        ({"config": config(vision_feature_select_strategy="full")}, "expected 'default' with one"),
        ({"inputs": batch(tiles=3, tokens=12, size_hw=(8, 16))}, "4 x 8 patches; .* expects a square"),
        ({"inputs": batch(tiles=3, tokens=12, size_hw=(6, 6))}, "3 x 3 patches; .* divisible by 2"),
        ({"inputs": batch(tiles=2, tokens=8)}, "made 2 tiles of 1 pictures; expected 3"),
        ({"inputs": batch(tiles=3, tokens=11)}, "found 11 tokens, expected 3 x 2 x 2 = 12"),
    ],
)
def test_refuses_what_does_not_add_up(changes, message):
    given = {"config": config(), "processor": processor(), "inputs": batch(tiles=3, tokens=12), **changes}
    with pytest.raises(UnsupportedModelError, match=message):
        internvl_layouts(given["config"], given["processor"], given["inputs"], [[(10, 20)]])


@pytest.mark.parametrize(
    ("tower", "strategy", "message"),
    [
        (CLIPVisionConfig(image_size=8, patch_size=2), "default", "Unknown vision tower.*clip_vision_model"),
        (SiglipVisionConfig(image_size=8, patch_size=2), "default", "siglip_vision_model.*0 class tokens"),
    ],
)
def test_aya_vision_refuses_a_tower_that_it_does_not_know(tower, strategy, message):
    aya = AyaVisionConfig(vision_config=tower, vision_feature_select_strategy=strategy, image_token_index=IMAGE_TOKEN)
    with pytest.raises(UnsupportedModelError, match=message):
        aya_vision_layouts(aya, processor(8), batch(tiles=1, tokens=4, size_hw=(8, 8)), [[(5, 5)]])
