"""SAM 2's preparation of pictures, by hand; where torchvision is installed, against transformers' own."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from headimpact.annotation.loading import load_segmenter
from headimpact.annotation.preparation import Preparation
from headimpact.core.errors import DataFormatError
from tests.unit.annotation import makers

PLAIN = Preparation(size=2, mean=(0.5, 0.0, 0.0), std=(0.5, 1.0, 2.0))


def test_a_plain_picture_by_hand():
    pixels = PLAIN.prepare_pictures([Image.new("RGB", (3, 5), (255, 0, 51))])
    assert pixels.shape == (1, 3, 2, 2)
    assert pixels.dtype == torch.float32
    assert pixels[0].mean(dim=(1, 2)).tolist() == pytest.approx([1.0, 0.0, 0.1])


def test_pictures_of_several_sizes_make_one_batch():
    assert PLAIN.prepare_pictures([makers.noise(3, 5), makers.noise(8, 2)]).shape == (2, 3, 2, 2)


def test_a_picture_of_the_right_size_is_not_resampled():
    image = makers.noise(2, 2)
    expected = (np.asarray(image, dtype=np.float32) / 255 - np.array(PLAIN.mean)) / np.array(PLAIN.std)
    assert np.allclose(PLAIN.prepare_pictures([image])[0].permute(1, 2, 0).numpy(), expected, atol=1e-6)


def test_boxes_go_along():
    scaled = Preparation(size=100).prepare_boxes(np.array([[0.0, 5.0, 20.0, 10.0]]), (10, 40))
    assert scaled.tolist() == [[[0.0, 50.0, 50.0, 100.0]]]


@pytest.fixture
def folder(tmp_path):
    makers.save_sam2(tmp_path)
    return tmp_path


def edit_preparation(folder, **changes):
    path = folder / "preprocessor_config.json"
    content = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))


def test_the_checkpoint_decides(folder):
    edit_preparation(folder, image_mean=[0.1, 0.2, 0.3], resample=3)
    assert load_segmenter(folder, device="cpu").processor == Preparation(
        size=makers.SQUARE, resample=3, mean=(0.1, 0.2, 0.3)
    )


def test_what_the_checkpoint_does_not_say_is_as_in_sam2(folder):
    edit_preparation(folder, image_mean=None, image_std=None, resample=None, rescale_factor=None)
    assert load_segmenter(folder, device="cpu").processor == Preparation(size=makers.SQUARE)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        pytest.param({"size": {"height": 32, "width": 32}}, r"the model is made for 64 x 64", id="other size"),
        pytest.param({"size": None}, r"'height': 1024.*made for 64 x 64", id="size left out"),
        pytest.param(
            {"do_normalize": False}, "do_normalize changed; expected pictures to be resized", id="step left out"
        ),
        pytest.param({"do_pad": True}, "do_pad changed", id="step added"),
    ],
)
def test_another_preparation_is_refused(folder, changes, match):
    edit_preparation(folder, **changes)
    with pytest.raises(DataFormatError, match=match):
        load_segmenter(folder, device="cpu")


def test_the_same_as_transformers_own(folder):
    pytest.importorskip("torchvision", reason="transformers' SAM 2 processor needs torchvision", exc_type=ImportError)
    from transformers import Sam2Processor

    theirs = Sam2Processor.from_pretrained(folder)
    ours = load_segmenter(folder, device="cpu").processor
    image = makers.noise(90, 50)
    box = [3.0, 4.0, 80.0, 44.5]
    inputs = theirs(images=image, input_boxes=[[box]], return_tensors="pt")
    one_level = 1 / 255 / 0.224
    assert (ours.prepare_pictures([image]) - inputs["pixel_values"]).abs().max() <= one_level * 1.01
    assert torch.allclose(ours.prepare_boxes(np.array([box]), (50, 90)), inputs["input_boxes"])
