"""Grids of Molmo 2 by hand, and what is refused; the image processor needs torchvision."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Molmo2Config, SiglipImageProcessorPil

from headimpact.core.errors import OptionError, UnsupportedModelError
from headimpact.models.families.molmo2 import molmo2_layouts
from headimpact.models.image_tokens import WHOLE_PICTURE
from headimpact.models.loading import load_model
from headimpact.models.prompts import encode

pytest.importorskip("torchvision", reason="molmo2's image processor needs torchvision")

IMAGE = 7


def processor():
    from transformers import Molmo2ImageProcessor

    size = {"height": 20, "width": 20}
    return SimpleNamespace(
        image_processor=Molmo2ImageProcessor(size=size, patch_size=4, max_crops=2, overlap_margins=[1, 1])
    )


def layout(size_hw, *, grids, tokens, made_by=None):
    ids = torch.tensor([[1, *[IMAGE] * tokens, 2]])
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "image_grids": torch.tensor([grids])}
    return molmo2_layouts(Molmo2Config(image_patch_id=IMAGE), made_by or processor(), inputs, [[size_hw]])[0]


def test_a_wide_picture_by_hand():
    """5 x 5 patches of the whole: 3 x 3 tokens, the last of one patch; two crops side by side: 5 x 8 patches."""
    found = layout((20, 32), grids=[3, 3, 3, 4], tokens=21)
    assert found.positions.tolist() == list(range(1, 22))
    assert found.tile.tolist() == [WHOLE_PICTURE] * 9 + [0] * 12
    assert found.grid_hw == {(0, WHOLE_PICTURE): (3, 3), (0, 0): (3, 4)}
    np.testing.assert_allclose(found.boxes[0], [0, 0, 0.4, 0.4])
    np.testing.assert_allclose(found.boxes[8], [0.8, 0.8, 1, 1])
    np.testing.assert_allclose(found.boxes[10], [0.25, 0, 0.5, 0.4])
    np.testing.assert_allclose(found.boxes[20], [0.75, 0.8, 1, 1])


@pytest.mark.parametrize(
    ("grids", "tokens", "match"),
    [
        pytest.param([3, 3, 4, 4], 25, r"made grids of \[\(9, 16\)\] tokens; expected \[\(9, 12\)\]", id="grids"),
        pytest.param([3, 3, 3, 4], 20, r"found 20 tokens, expected 3 x 3 \+ 3 x 4 = 21", id="too few tokens"),
    ],
)
def test_refused(grids, tokens, match):
    with pytest.raises(UnsupportedModelError, match=match):
        layout((20, 32), grids=grids, tokens=tokens)


def test_an_unknown_image_processor():
    other = SimpleNamespace(image_processor=SiglipImageProcessorPil())
    with pytest.raises(UnsupportedModelError, match="Unknown image processor in a 'molmo2' model: Siglip"):
        layout((20, 32), grids=[3, 3, 3, 4], tokens=21, made_by=other)


def test_flash_attention_is_refused(tiny_checkpoint):
    with pytest.raises(OptionError, match="'flash_attention_2' is refused for 'molmo2': it hides from image tokens"):
        load_model(tiny_checkpoint("molmo2"), attn_implementation="flash_attention_2")


@pytest.mark.parametrize(
    "size_hw", [(1, 1), (1, 150), (1500, 40), (2000, 1)], ids=lambda size: "x".join(map(str, size))
)
def test_a_picture_of_extreme_shape_is_seen_whole_by_both_grids(tiny_model, size_hw):
    found = encode(tiny_model("molmo2"), [Image.new("RGB", (size_hw[1], size_hw[0]))], ["What?"]).layouts[0]
    for view in ("global", "tiles"):
        np.testing.assert_allclose(found.view(view).areas.sum(), 1)
