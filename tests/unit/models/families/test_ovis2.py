"""Tiles of Ovis2 by hand, and what is refused."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import CLIPImageProcessorPil, Ovis2Config, Ovis2ImageProcessorPil, Ovis2VisionConfig

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.families.ovis2 import ovis2_layouts
from headimpact.models.image_tokens import WHOLE_PICTURE

IMAGE_TOKEN = 7


def config(**changes):
    vision = Ovis2VisionConfig(**{"image_size": 9, "patch_size": 2, "hidden_stride": 2, **changes})
    return Ovis2Config(vision_config=vision, image_token_id=IMAGE_TOKEN)


def processor(**changes):
    return SimpleNamespace(image_processor=Ovis2ImageProcessorPil(size={"height": 9, "width": 9}, **changes))


def batch(*, tiles, tokens, size_hw=(9, 9)):
    ids = torch.tensor([[1, *[IMAGE_TOKEN] * tokens, 2]])
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "pixel_values": torch.zeros(tiles, 3, *size_hw),
    }


def test_a_wide_picture_cut_by_its_shape():
    """The whole, then two tiles of 9 x 9 pixels; 2 x 2 tokens of 4 x 4 pixels, the ninth pixel unseen."""
    inputs = batch(tiles=3, tokens=12)
    (layout,) = ovis2_layouts(config(), processor(use_covering_area_grid=False), inputs, [[(9, 18)]])
    assert layout.tile.tolist() == [WHOLE_PICTURE] * 4 + [0] * 4 + [1] * 4
    np.testing.assert_allclose(layout.boxes[3], [4 / 9, 4 / 9, 8 / 9, 8 / 9])
    np.testing.assert_allclose(layout.boxes[5], [4 / 18, 0, 8 / 18, 4 / 9])
    np.testing.assert_allclose(layout.boxes[10], [9 / 18, 4 / 9, 13 / 18, 8 / 9])


def test_a_wide_picture_cut_by_default():
    """One row of two tiles covers it best, but the processor takes the pair for columns and rows: one above another."""
    (layout,) = ovis2_layouts(config(), processor(), batch(tiles=3, tokens=12), [[(9, 18)]])
    assert layout.tile.tolist() == [WHOLE_PICTURE] * 4 + [0] * 4 + [1] * 4
    np.testing.assert_allclose(layout.boxes[5], [4 / 9, 0, 8 / 9, 4 / 18])
    np.testing.assert_allclose(layout.boxes[10], [0, 13 / 18, 4 / 9, 17 / 18])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"processor": SimpleNamespace(image_processor=CLIPImageProcessorPil())}, "Unknown image processor.*CLIP"),
        ({"inputs": batch(tiles=3, tokens=12, size_hw=(8, 16))}, "4 x 8 patches.*expected a square"),
        ({"config": config(hidden_stride=3)}, "4 x 4 patches.*divisible by hidden_stride=3"),
        ({"inputs": batch(tiles=2, tokens=8)}, "made 2 tiles of 1 pictures.*expected 3"),
        ({"inputs": batch(tiles=3, tokens=11)}, "found 11 tokens, expected 3 x 2 x 2 = 12"),
    ],
)
def test_refuses_what_does_not_add_up(changes, message):
    given = {"config": config(), "processor": processor(), "inputs": batch(tiles=3, tokens=12), **changes}
    with pytest.raises(UnsupportedModelError, match=message):
        ovis2_layouts(given["config"], given["processor"], given["inputs"], [[(9, 18)]])
