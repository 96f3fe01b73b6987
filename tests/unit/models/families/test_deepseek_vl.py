"""Padding of DeepSeek-VL and Janus by hand, and what is refused."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    DeepseekVLConfig,
    DeepseekVLImageProcessorPil,
    SiglipVisionConfig,
)

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.families.deepseek_vl import deepseek_vl_layouts

IMAGE_TOKEN = 7


def config(tower=SiglipVisionConfig):
    return DeepseekVLConfig(vision_config=tower(image_size=16, patch_size=4), image_token_id=IMAGE_TOKEN)


def processor(side=16, **changes):
    image_processor = DeepseekVLImageProcessorPil(size={"height": side, "width": side}, min_size=2, **changes)
    return SimpleNamespace(image_processor=image_processor)


def batch(*, tokens=16, size_hw=(16, 16)):
    ids = torch.tensor([[1, *[IMAGE_TOKEN] * tokens, 2]])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": torch.zeros(1, 3, *size_hw)}


@pytest.mark.parametrize(
    ("size_hw", "rows"),
    [
        # 8 pixels between 4 and 4 of padding: the middle rows share the picture.
        pytest.param((50, 100), [[0, 0], [0, 0.5], [0.5, 1], [1, 1]], id="twice as wide as high"),
        # At least 2 pixels high, behind 7 of padding: one in the second row, one in the third.
        pytest.param((1, 100), [[0, 0], [0, 0.5], [0.5, 1], [1, 1]], id="a line"),
        # 11 pixels behind 2 of padding.
        pytest.param((70, 100), [[0, 2 / 11], [2 / 11, 6 / 11], [6 / 11, 10 / 11], [10 / 11, 1]], id="uneven"),
    ],
)
def test_rows_of_a_wide_picture_by_hand(size_hw, rows):
    (layout,) = deepseek_vl_layouts(config(), processor(), batch(), [[size_hw]])
    np.testing.assert_allclose(layout.boxes[::4, [1, 3]], rows)
    np.testing.assert_allclose(layout.boxes[:4, [0, 2]], [[0, 0.25], [0.25, 0.5], [0.5, 0.75], [0.75, 1]])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"processor": SimpleNamespace(image_processor=CLIPImageProcessorPil())}, "Unknown image processor.*CLIP"),
        ({"config": config(CLIPVisionConfig)}, "Unknown vision tower.*clip_vision_model"),
        ({"processor": processor(do_pad=False)}, "do_pad=False; expected pictures padded"),
        ({"processor": processor(side=20)}, "expected pictures padded to the tower's 16 x 16"),
        ({"inputs": batch(tokens=15)}, "found 15 tokens, expected 1 x 4 x 4 = 16"),
    ],
)
def test_refuses_what_does_not_add_up(changes, message):
    given = {"config": config(), "processor": processor(), "inputs": batch(), **changes}
    with pytest.raises(UnsupportedModelError, match=message):
        deepseek_vl_layouts(given["config"], given["processor"], given["inputs"], [[(50, 100)]])
