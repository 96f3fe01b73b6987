import numpy as np
import pytest
import torch
from transformers import CLIPImageProcessorPil, LlavaConfig, LlavaImageProcessorPil, SiglipImageProcessorPil

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.families.llava import llava_layouts


class Processor:
    def __init__(self, image_processor) -> None:
        self.image_processor = image_processor


def layouts(
    image_processor, size_hw, *, shape=(4, 4), tower="siglip_vision_model", strategy="full", tokens=4, patch_size=2
):
    vision = {"model_type": tower, "patch_size": patch_size, "image_size": shape[0]}
    config = LlavaConfig(vision_config=vision, image_token_id=9, vision_feature_select_strategy=strategy)
    ids = torch.tensor([[1] + [9] * tokens + [2]])
    inputs = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "pixel_values": torch.zeros(1, 3, *shape),
    }
    return llava_layouts(config, Processor(image_processor), inputs, [[size_hw]])[0]


def clip(**options):
    return CLIPImageProcessorPil(**{"size": {"shortest_edge": 4}, "crop_size": {"height": 4, "width": 4}, **options})


@pytest.mark.parametrize(
    ("image_processor", "size_hw", "first", "last"),
    [
        pytest.param(
            SiglipImageProcessorPil(size={"height": 4, "width": 4}),
            (30, 70),
            [0, 0, 0.5, 0.5],
            [0.5, 0.5, 1, 1],
            id="plain resize",
        ),
        pytest.param(clip(), (10, 20), [0.25, 0, 0.5, 0.5], [0.5, 0.5, 0.75, 1], id="centre crop of a wide picture"),
        pytest.param(clip(), (30, 10), [0, 4 / 12, 0.5, 6 / 12], [0.5, 0.5, 1, 8 / 12], id="centre crop of a tall one"),
        pytest.param(
            clip(size={"shortest_edge": 2}), (10, 10), [0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], id="smaller than the crop"
        ),
        pytest.param(clip(do_resize=False), (2, 8), [0.25, 0, 0.5, 0.5], [0.5, 0.5, 0.75, 1], id="not resized"),
        pytest.param(
            LlavaImageProcessorPil(size={"shortest_edge": 4}, crop_size={"height": 4, "width": 4}, do_pad=True),
            (10, 20),
            [0, 0, 0.5, 0.5],
            [0.5, 0.5, 1, 1],
            id="padded to a square",
        ),
    ],
)
def test_rectangles_by_hand(image_processor, size_hw, first, last):
    found = layouts(image_processor, size_hw)
    np.testing.assert_allclose(found.boxes[0], first, atol=1e-12)
    np.testing.assert_allclose(found.boxes[-1], last, atol=1e-12)
    assert found.positions.tolist() == [1, 2, 3, 4]


def test_a_kept_class_token_is_no_image_token():
    found = layouts(clip(), (8, 8), tower="clip_vision_model", strategy="full", tokens=5)
    assert found.positions.tolist() == [2, 3, 4, 5]


def test_a_dropped_class_token_leaves_no_place():
    found = layouts(clip(), (8, 8), tower="clip_vision_model", strategy="default", tokens=4)
    assert found.positions.tolist() == [1, 2, 3, 4]


class OtherImageProcessor(CLIPImageProcessorPil):  # type: ignore[misc]
    pass


@pytest.mark.parametrize(
    ("image_processor", "options", "match"),
    [
        pytest.param(clip(), {"tower": "dinov2"}, "Unknown vision tower in a 'llava' model: 'dinov2'", id="tower"),
        pytest.param(clip(), {"strategy": "default"}, "a patch would be lost", id="first patch dropped"),
        pytest.param(OtherImageProcessor(), {}, "Unknown image processor in a 'llava' model: Other", id="processor"),
        pytest.param(clip(), {"tokens": 3}, r"found 3 tokens, expected 1 x \(2 x 2 \+ 0\) = 4", id="too few tokens"),
        pytest.param(clip(crop_size={"height": 6, "width": 6}), {}, "is 4 x 4 pixels, expected 6 x 6", id="size"),
    ],
)
def test_refused(image_processor, options, match):
    with pytest.raises(UnsupportedModelError, match=match):
        layouts(image_processor, (8, 8), **options)
