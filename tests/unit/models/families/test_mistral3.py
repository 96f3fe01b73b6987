"""Places of a Pixtral tower's tokens in Mistral 3 and in LLaVA, by hand, and what is refused; no torchvision needed."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import LlavaConfig, Mistral3Config, PixtralImageProcessorPil, SiglipImageProcessorPil

from headimpact.core.errors import DataFormatError, UnsupportedModelError
from headimpact.models.families.llava import FAMILY as LLAVA
from headimpact.models.families.llava import llava_layouts
from headimpact.models.families.mistral3 import FAMILY as MISTRAL3
from headimpact.models.families.mistral3 import mistral3_layouts
from headimpact.models.prompts import encode

IMAGE, BREAK, END = 7, 8, 9


def config(tower="pixtral"):
    vision = {"model_type": tower, "patch_size": 4, "image_size": 32}
    return Mistral3Config(vision_config=vision, image_token_id=IMAGE, spatial_merge_size=2)


def processor(image_processor=None):
    return SimpleNamespace(image_processor=image_processor or PixtralImageProcessorPil())


def batch(*image_sizes, tokens):
    ids = torch.tensor([tokens])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "image_sizes": torch.tensor(image_sizes)}


def test_two_pictures_by_hand():
    """Two rows of three tokens, then one token: breaks and ends are passed over."""
    tokens = [1, IMAGE, IMAGE, IMAGE, BREAK, IMAGE, IMAGE, IMAGE, END, 2, IMAGE, END]
    (layout,) = mistral3_layouts(config(), processor(), batch((16, 24), (8, 8), tokens=tokens), [[(100, 140), (5, 5)]])
    assert layout.positions.tolist() == [1, 2, 3, 5, 6, 7, 10]
    assert layout.image_index.tolist() == [0] * 6 + [1]
    assert layout.grid_row.tolist() == [0, 0, 0, 1, 1, 1, 0]
    assert layout.grid_column.tolist() == [0, 1, 2, 0, 1, 2, 0]
    np.testing.assert_allclose(layout.boxes[5], [2 / 3, 1 / 2, 1, 1])
    np.testing.assert_allclose(layout.boxes[6], [0, 0, 1, 1])


def test_llava_with_a_pixtral_tower_takes_every_patch_for_a_token():
    vision = {"model_type": "pixtral", "patch_size": 4, "image_size": 32}
    llava = LlavaConfig(vision_config=vision, image_token_id=IMAGE, vision_feature_select_strategy="full")
    inputs = batch((4, 8), tokens=[1, IMAGE, IMAGE, END])
    (layout,) = llava_layouts(llava, processor(), inputs, [[(10, 20)]])
    assert layout.positions.tolist() == [1, 2]
    np.testing.assert_allclose(layout.boxes, [[0, 0, 0.5, 1], [0.5, 0, 1, 1]])
    llava.vision_feature_select_strategy = "default"
    with pytest.raises(UnsupportedModelError, match="'pixtral' has no class token: a patch would be lost"):
        llava_layouts(llava, processor(), inputs, [[(10, 20)]])


@pytest.mark.parametrize(
    ("options", "size", "tokens", "match"),
    [
        pytest.param(
            {"tower": "siglip_vision_model"}, (8, 8), 1, "tower in a 'mistral3' model: 'siglip_vision_m", id="tower"
        ),
        pytest.param(
            {"image_processor": SiglipImageProcessorPil()}, (8, 8), 1, "Unknown image processor.*Siglip", id="processor"
        ),
        pytest.param({}, (8, 12), 1, "is 8 x 12 pixels; expected multiples of 8", id="a strip that no token sees"),
        pytest.param({}, (8, 16), 1, "found 1 tokens, expected 1 x 2 = 2", id="too few tokens"),
    ],
)
def test_refused(options, size, tokens, match):
    made = processor(options.pop("image_processor", None))
    with pytest.raises(UnsupportedModelError, match=match):
        mistral3_layouts(config(**options), made, batch(size, tokens=[1, *[IMAGE] * tokens, END]), [[(8, 8)]])


@pytest.mark.parametrize("family", [LLAVA, MISTRAL3], ids=lambda family: family.model_type)
def test_flex_attention_is_refused_for_a_pixtral_tower_alone(family):
    assert "crashes in the Pixtral tower" in family.refused_implementations(config())["flex_attention"]
    assert family.refused_implementations(config("siglip_vision_model")) == {}


@pytest.mark.parametrize("name", ["mistral3", "llava-pixtral"])
@pytest.mark.parametrize("size_hw", [(1, 1), (1, 90), (1500, 40), (160, 2)], ids=lambda size: "x".join(map(str, size)))
def test_a_picture_of_extreme_shape_is_seen_whole(tiny_model, name, size_hw):
    image = Image.new("RGB", (size_hw[1], size_hw[0]))
    layout = encode(tiny_model(name), [image], ["What?"]).layouts[0]
    np.testing.assert_allclose(layout.areas, 1 / len(layout))


def test_a_picture_too_thin_to_be_made_smaller_is_refused(tiny_model):
    with pytest.raises(DataFormatError, match=r"The processor refuses a batch: .*Pictures: 1x2000 pixels"):
        encode(tiny_model("mistral3"), [Image.new("RGB", (1, 2000))], ["What?"])
