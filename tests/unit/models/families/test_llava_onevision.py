from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import LlavaOnevisionConfig, LlavaOnevisionImageProcessorPil, LlavaOnevisionModel

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.families.llava_onevision import llava_onevision_layouts
from headimpact.models.image_tokens import WHOLE_PICTURE
from headimpact.models.prompts import encode
from tests.contracts.image_oracle import picture
from tests.unit.models.families.test_llava_next import packed_places

STRIP = 384 - 27 * 14
PUBLISHED = [[rows * 384, columns * 384] for rows in range(1, 7) for columns in range(1, 7)]


def layouts(rows, *, tokens, tiles, side=4, patch_size=2, pinpoints=((4, 8),), **change):
    """Layouts of rows of picture sizes; tokens per row."""
    pinpoints = [list(pinpoint) for pinpoint in pinpoints]
    config = LlavaOnevisionConfig(
        vision_config={"model_type": "siglip_vision_model", "patch_size": patch_size, "image_size": side},
        image_token_index=9,
        image_grid_pinpoints=pinpoints,
        vision_aspect_ratio=change.get("limit", "anyres_max_9"),
    )
    processor = LlavaOnevisionImageProcessorPil(size={"height": side, "width": side}, image_grid_pinpoints=pinpoints)
    sizes = [size for row in rows for size in row]
    ids = torch.full((len(rows), max(tokens)), 9)
    mask = torch.stack([(torch.arange(max(tokens)) < count).long() for count in tokens])
    inputs = {
        "input_ids": ids,
        "attention_mask": mask,
        "pixel_values": torch.empty(len(sizes), tiles + 1, 3, side, side, device="meta"),
        "image_sizes": torch.tensor(sizes),
        "batch_num_images": torch.tensor(change.get("counts", [len(row) for row in rows])),
    }
    return config, llava_onevision_layouts(config, SimpleNamespace(image_processor=processor), inputs, rows)


def test_several_pictures_enter_whole_and_padded_to_squares():
    _, (alone, several) = layouts([[(4, 8)], [(4, 8), (8, 2)]], tokens=[14, 10], tiles=2)
    assert alone.tile.tolist() == [WHOLE_PICTURE] * 4 + [0] * 8
    assert several.tile.tolist() == [WHOLE_PICTURE] * 8
    assert several.positions.tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
    flat, tall = several.of_image(0).boxes, several.of_image(1).boxes
    np.testing.assert_allclose(flat, [[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]])
    np.testing.assert_allclose(tall, [[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]])


def test_a_token_beside_a_padded_picture_has_no_area():
    _, (found,) = layouts([[(2, 12), (6, 6)]], tokens=[20], tiles=0, side=6)
    areas = found.of_image(0).areas.reshape(3, 3)
    assert areas[[0, 2]].max() == 0
    np.testing.assert_allclose(areas[1], 1 / 3)


@pytest.mark.parametrize("size_hw", [(2304, 2304), (1536, 2304), (1152, 2304), (1152, 1152), (768, 2304)])
def test_published_sizes_are_shrunk_as_the_layout_says(size_hw):
    """Places that the model mixes bilinearly lie in the middle of rectangles, up to the strips between tiles."""
    grid = (size_hw[0] // 384, size_hw[1] // 384)
    config = LlavaOnevisionConfig()
    packed = packed_places(LlavaOnevisionModel, config, size_hw, grid)
    _, (found,) = layouts(
        [[size_hw]], tokens=[len(packed)], tiles=grid[0] * grid[1], side=384, patch_size=14, pinpoints=PUBLISHED
    )
    assert found.positions.tolist() == np.flatnonzero(packed[:, 0] >= 0).tolist()
    tiles = found.view("tiles")
    middles = (tiles.boxes[:, [1, 0]] + tiles.boxes[:, [3, 2]]) / 2 * size_hw
    assert np.abs(middles - packed[tiles.positions]).max() <= STRIP
    rows, columns = tiles.grid_hw[0, 0]
    shrunk = grid[0] * grid[1] > 9 * 1.21
    assert (rows * columns < 27 * 27 * grid[0] * grid[1]) == shrunk
    assert tiles.areas.sum() == pytest.approx((1 - STRIP / 384) ** 2, rel=0.05)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        pytest.param({"counts": [2]}, r"took \[2\] pictures by row; expected \[1\]", id="pictures by row"),
        pytest.param({"limit": "anyres"}, "vision_aspect_ratio='anyres' .*as in 'anyres_max_9'", id="limit"),
        pytest.param({"tiles": 1}, "made at most 2 tiles a picture; expected 3", id="number of tiles"),
        pytest.param({"tokens": [13]}, r"found 13 tokens, expected 2 x 2 \+ 2 x \(4 \+ 1\) = 14", id="tokens"),
        pytest.param({"limit": "anyres_max_1"}, r"found 14 tokens, expected 2 x 2 \+ 1 x \(2 \+ 1\)", id="shrunk"),
    ],
)
def test_what_does_not_add_up_is_refused(change, match):
    with pytest.raises(UnsupportedModelError, match=match):
        layouts([[(4, 8)]], **{"tokens": [14], "tiles": 2, **change})


def test_videos_are_refused_without_torchvision(tiny_model):
    loaded = tiny_model("llava_onevision")
    with pytest.raises(TypeError, match="not callable"):
        loaded.processor(text=["<video>"], videos=[np.zeros((2, 8, 8, 3), dtype=np.uint8)])


def test_large_pictures_are_shrunk_and_small_ones_are_not(tiny_model):
    small, large = (
        encode(tiny_model("llava_onevision-shrunk"), [picture(size)], ["What?"]).layouts[0].grid_hw[0, 0]
        for size in [(30, 60), (90, 90)]
    )
    assert small == (4, 8)
    assert large == (5, 5)
