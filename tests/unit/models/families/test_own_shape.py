"""Families that keep a picture's shape: Gemma 4, Hunyuan-VL and VideoLLaMA3 by hand, and what is refused."""

import numpy as np
import pytest
import torch
from transformers import Gemma4Config, Gemma4TextConfig, Gemma4VisionConfig, HunYuanVLConfig, VideoLlama3Config

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.families.gemma4 import gemma4_layouts, gemma4_refusals
from headimpact.models.families.hunyuan_vl import hunyuan_vl_layouts
from headimpact.models.families.video_llama_3 import video_llama_3_layouts

IMAGE_TOKEN = 7
BOXES_2X3 = [[x / 3, y / 2, (x + 1) / 3, (y + 1) / 2] for y in range(2) for x in range(3)]


def batch(tokens, **more):
    ids = torch.tensor([[1, *[IMAGE_TOKEN] * tokens, 2]])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **more}


def places(rows, columns, *, filled_to):
    """(x, y) of each patch, row by row, and (-1, -1) up to a number of patches."""
    real = [[x, y] for y in range(rows) for x in range(columns)]
    return torch.tensor([real + [[-1, -1]] * (filled_to - len(real))])


def gemma4(**text):
    return Gemma4Config(
        text_config=Gemma4TextConfig(num_hidden_layers=2, **text),
        vision_config=Gemma4VisionConfig(pooling_kernel_size=2),
        image_token_id=IMAGE_TOKEN,
    )


def test_gemma4_averages_squares_and_leaves_out_what_fills_up():
    inputs = batch(6, image_position_ids=places(4, 6, filled_to=40))
    (layout,) = gemma4_layouts(gemma4(), None, inputs, [[(40, 60)]])
    np.testing.assert_allclose(layout.boxes, BOXES_2X3)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (batch(6, image_position_ids=places(5, 6, filled_to=40)), "5 x 6 patches; expected multiples"),
        (batch(5, image_position_ids=places(4, 6, filled_to=40)), "found 5 tokens, expected 2 x 3 = 6"),
    ],
)
def test_gemma4_refuses_what_does_not_add_up(inputs, message):
    with pytest.raises(UnsupportedModelError, match=message):
        gemma4_layouts(gemma4(), None, inputs, [[(40, 60)]])


def test_gemma4_refuses_flash_attention_only_where_image_tokens_see_each_other():
    assert gemma4_refusals(gemma4()) == {}
    assert "flash_attention_2" in gemma4_refusals(gemma4(use_bidirectional_attention="vision"))


def hunyuan():
    return HunYuanVLConfig(vision_config={"spatial_merge_size": 2}, image_token_id=IMAGE_TOKEN)


def test_hunyuan_leaves_out_what_begins_and_ends_pictures_and_rows():
    inputs = batch(20, image_grid_thw=torch.tensor([[1, 4, 6], [1, 4, 6]]))
    (layout,) = hunyuan_vl_layouts(hunyuan(), None, inputs, [[(40, 60), (40, 60)]])
    assert layout.positions.tolist() == [2, 3, 4, 6, 7, 8, 12, 13, 14, 16, 17, 18]
    assert layout.image_index.tolist() == [0] * 6 + [1] * 6
    np.testing.assert_allclose(layout.boxes, BOXES_2X3 * 2)


@pytest.mark.parametrize(
    ("tokens", "grids", "message"),
    [
        (9, [[1, 4, 6]], r"found 9 tokens, expected \(2 x \(3 \+ 1\) \+ 2\) = 10"),
        (20, [[1, 4, 6]] * 2, "made 2 grids of 1 pictures"),
    ],
)
def test_hunyuan_refuses_what_does_not_add_up(tokens, grids, message):
    with pytest.raises(UnsupportedModelError, match=message):
        hunyuan_vl_layouts(hunyuan(), None, batch(tokens, image_grid_thw=torch.tensor(grids)), [[(40, 60)]])


@pytest.mark.parametrize("merge", [1, 2])
def test_video_llama_3_by_hand(merge):
    grid = torch.tensor([[1, 2 * merge, 3 * merge]])
    inputs = batch(6, image_grid_thw=grid, image_merge_sizes=torch.tensor([merge]))
    (layout,) = video_llama_3_layouts(VideoLlama3Config(image_token_id=IMAGE_TOKEN), None, inputs, [[(40, 60)]])
    np.testing.assert_allclose(layout.boxes, BOXES_2X3)


@pytest.mark.parametrize("merges", [[3], [1, 2]], ids=["patches are skipped", "pictures differ"])
def test_video_llama_3_refuses_other_merging(merges):
    inputs = batch(6, image_grid_thw=torch.tensor([[1, 6, 9]] * len(merges)), image_merge_sizes=torch.tensor(merges))
    with pytest.raises(UnsupportedModelError, match="expected 1 or 2 for every picture"):
        video_llama_3_layouts(VideoLlama3Config(image_token_id=IMAGE_TOKEN), None, inputs, [[(40, 60)]])
