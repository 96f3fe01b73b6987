import copy
import itertools

import numpy as np
import pytest
import torch
from PIL import Image

from headimpact.core.errors import OptionError, UnsupportedModelError
from headimpact.models.image_tokens import WHOLE_PICTURE
from headimpact.models.loading import choose_implementation
from headimpact.models.prompts import encode


def layout(loaded, size_hw):
    return encode(loaded, [Image.new("RGB", size_hw[::-1])], ["What?"]).layouts[0]


def test_the_image_token_is_the_configs_not_the_processors(tiny_model):
    loaded = tiny_model("gemma3")
    assert loaded.config.image_token_id != loaded.processor.image_token_id
    batch = encode(loaded, [Image.new("RGB", (60, 40))], ["What?"])
    ids = batch.inputs["input_ids"][0, torch.from_numpy(batch.layouts[0].positions)]
    assert set(ids.tolist()) == {loaded.config.image_token_id}


@pytest.mark.parametrize(
    ("size_hw", "edges"),
    [
        pytest.param((33, 97), [0, 33, 66, 97], id="wide, the last crop narrower"),
        pytest.param((41, 150), [0, 38, 76, 114, 150], id="four crops"),
        pytest.param((97, 33), [0, 33, 66, 97], id="tall"),
        pytest.param((64, 64), [], id="square"),
        pytest.param((100, 110), [], id="not long enough"),
        pytest.param((10, 31), [], id="crops too small"),
        pytest.param((20, 1000), [0, 250, 500, 750, 1000], id="never more than four"),
    ],
)
def test_crops_lie_side_by_side_and_cover_the_picture(tiny_model, size_hw, edges):
    found = layout(tiny_model("gemma3-crops"), size_hw)
    assert [tile for _, tile in found.grid_hw] == [WHOLE_PICTURE, *range(len(edges[:-1]))]
    wide = size_hw[1] >= size_hw[0]
    along, across = ((0, 2), (1, 3)) if wide else ((1, 3), (0, 2))
    for tile, (start, end) in enumerate(itertools.pairwise(edges)):
        boxes = found.boxes[found.tile == tile]
        # 48 of 53 pixels are seen: 12 of 13 patches of 4.
        seen = start + (end - start) * 48 / 53
        np.testing.assert_allclose(boxes[:, along[0]].min() * max(size_hw), start, atol=1e-9)
        np.testing.assert_allclose(boxes[:, along[1]].max() * max(size_hw), seen, atol=1e-9)
        np.testing.assert_allclose([boxes[:, across[0]].min(), boxes[:, across[1]].max()], [0, 48 / 53], atol=1e-9)


def test_pictures_with_and_without_crops_share_a_row(tiny_model):
    pictures = [Image.new("RGB", size) for size in [(64, 64), (97, 33), (50, 50)]]
    found = encode(tiny_model("gemma3-crops"), [pictures], ["What?"]).layouts[0]
    assert list(found.grid_hw) == [(0, -1), (1, -1), (1, 0), (1, 1), (1, 2), (2, -1)]


def test_published_checkpoints_take_no_crops(tiny_model):
    assert set(layout(tiny_model("gemma3"), (33, 97)).tile.tolist()) == {WHOLE_PICTURE}


def test_flash_is_refused(tiny_model):
    loaded = tiny_model("gemma3")
    with pytest.raises(OptionError, match="it hides from image tokens those of the same picture that come later"):
        choose_implementation("flash_attention_2", family=loaded.family, config=loaded.config)


class TestRefusals:
    @staticmethod
    def refused(loaded, *, config=None, inputs, match):
        with pytest.raises(UnsupportedModelError, match=match):
            loaded.family.image_token_layouts(config or loaded.config, loaded.processor, inputs, [[(33, 97)]])

    def test_another_number_of_views(self, tiny_model):
        loaded = tiny_model("gemma3-crops")
        inputs = dict(encode(loaded, [Image.new("RGB", (97, 33))], ["What?"]).inputs)
        inputs["pixel_values"] = inputs["pixel_values"][:3]
        self.refused(loaded, inputs=inputs, match="made 3 views of 1 pictures; expected 4")

    def test_another_side_than_the_towers(self, tiny_model):
        loaded = tiny_model("gemma3")
        config = copy.deepcopy(loaded.config)
        config.vision_config.image_size = 96
        inputs = encode(loaded, [Image.new("RGB", (97, 33))], ["What?"]).inputs
        self.refused(loaded, config=config, inputs=inputs, match="48 x 48 pixels; expected those of the tower, 96 x 96")

    def test_another_number_of_tokens(self, tiny_model):
        loaded = tiny_model("gemma3")
        config = copy.deepcopy(loaded.config)
        config.mm_tokens_per_image = 16
        inputs = encode(loaded, [Image.new("RGB", (97, 33))], ["What?"]).inputs
        self.refused(loaded, config=config, inputs=inputs, match="found 36 tokens, expected 1 x 4 x 4 = 16")
