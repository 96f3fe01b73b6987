"""Views of LFM2-VL by hand, uncut pictures, and what is refused; the image processor needs torchvision."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Lfm2VlConfig, SiglipImageProcessorPil

from headimpact.core.errors import DataFormatError, OptionError, UnsupportedModelError
from headimpact.models.families.lfm2_vl import lfm2_vl_layouts
from headimpact.models.image_tokens import WHOLE_PICTURE
from headimpact.models.loading import load_model
from headimpact.models.prompts import encode

pytest.importorskip("torchvision", reason="lfm2_vl's image processor needs torchvision")

IMAGE = 7


def processor(**changes):
    from transformers import Lfm2VlImageProcessor

    settings = {"encoder_patch_size": 4, "tile_size": 16, "min_image_tokens": 1, "max_image_tokens": 8, "max_tiles": 4}
    return SimpleNamespace(image_processor=Lfm2VlImageProcessor(**{**settings, **changes}))


def batch(*shapes, tokens):
    ids = torch.tensor([[1, *[IMAGE] * tokens, 2]])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "spatial_shapes": torch.tensor(shapes)}


def layout(size_hw, *shapes, tokens, **changes):
    config = Lfm2VlConfig(image_token_id=IMAGE)
    return lfm2_vl_layouts(config, processor(**changes), batch(*shapes, tokens=tokens), [[size_hw]])[0]


def test_a_wide_picture_by_hand():
    """Two tiles of 2 x 2 tokens, then 2 x 4 tokens of the whole."""
    found = layout((24, 48), (4, 4), (4, 4), (4, 8), tokens=16)
    assert found.positions.tolist() == list(range(1, 17))
    assert found.tile.tolist() == [0] * 4 + [1] * 4 + [WHOLE_PICTURE] * 8
    assert found.grid_hw == {(0, 0): (2, 2), (0, 1): (2, 2), (0, WHOLE_PICTURE): (2, 4)}
    np.testing.assert_allclose(found.boxes[1], [0.25, 0, 0.5, 0.5])
    np.testing.assert_allclose(found.boxes[6], [0.5, 0.5, 0.75, 1])
    np.testing.assert_allclose(found.boxes[15], [0.75, 0.5, 1, 1])


@pytest.mark.parametrize(
    ("size_hw", "changes"),
    [
        pytest.param((16, 32), {}, id="small"),
        pytest.param((24, 48), {"do_image_splitting": False}, id="splitting off"),
        pytest.param((24, 48), {"min_tiles": 1, "max_tiles": 1}, id="one tile at most"),
    ],
)
def test_an_uncut_picture_has_one_view(size_hw, changes):
    found = layout(size_hw, (4, 8), tokens=8, **changes)
    assert found.grid_hw == {(0, WHOLE_PICTURE): (2, 4)}


def test_tiles_without_the_whole():
    found = layout((24, 48), (4, 4), (4, 4), tokens=8, use_thumbnail=False)
    assert set(found.tile.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("shapes", "tokens", "match"),
    [
        pytest.param([(4, 4), (4, 8)], 12, "made 2 views of 1 pictures; expected 3", id="views"),
        pytest.param([(3, 3), (3, 3), (4, 8)], 16, "3 x 3 patches; expected sides divisible by 2", id="odd tile"),
        pytest.param(
            [(4, 4), (4, 4), (4, 8)], 15, r"found 15 tokens, expected 2 x 2 \+ 2 x 2 \+ 2 x 4 = 16", id="tokens"
        ),
    ],
)
def test_refused(shapes, tokens, match):
    with pytest.raises(UnsupportedModelError, match=match):
        layout((24, 48), *shapes, tokens=tokens)


def test_flex_attention_is_refused(tiny_checkpoint):
    with pytest.raises(
        OptionError, match="'flex_attention' is refused for 'lfm2_vl': transformers has none for its Sig"
    ):
        load_model(tiny_checkpoint("lfm2_vl"), attn_implementation="flex_attention")


def test_an_unknown_image_processor():
    with pytest.raises(UnsupportedModelError, match="Unknown image processor in a 'lfm2_vl' model: Siglip"):
        lfm2_vl_layouts(
            Lfm2VlConfig(image_token_id=IMAGE),
            SimpleNamespace(image_processor=SiglipImageProcessorPil()),
            batch((2, 2), tokens=1),
            [[(8, 8)]],
        )


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 150), (1500, 40), (300, 3)], ids=lambda size: "x".join(map(str, size)))
def test_a_picture_of_extreme_shape_is_seen_whole_by_every_view(tiny_model, size_hw):
    found = encode(tiny_model("lfm2_vl"), [Image.new("RGB", (size_hw[1], size_hw[0]))], ["What?"]).layouts[0]
    for view in ("global", "tiles"):
        areas = found.view(view).areas
        assert len(areas) == 0 or abs(areas.sum() - 1) < 1e-9


def test_a_picture_whose_whole_has_more_patches_than_the_processor_pads_to_is_refused(tiny_model):
    with pytest.raises(DataFormatError, match=r"The processor refuses a batch: stack expects.*Pictures: 1x2000 pixels"):
        encode(tiny_model("lfm2_vl"), [Image.new("RGB", (1, 2000))], ["What?"])
