"""Head Impact where a prompt has several pictures: over one of them, over all, against plain loops."""

import numpy as np
import pytest
import torch
from PIL import Image

from headimpact.core.errors import DataFormatError, OptionError
from headimpact.models.prompts import encode
from headimpact.workflows.captured_samples import run_capture
from headimpact.workflows.measurement_options import MeasurementOptions
from headimpact.workflows.response_scores import score_response

PROMPT = "Is <image> the same as <image>?"
RESPONSE = "a red circle"


def pictures():
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in ((168, 196), (168, 168))]


def corner(image, rows, columns):
    mask = np.zeros((image.height, image.width), dtype=bool)
    mask[:rows, :columns] = True
    return mask


def plain_impact(attention: np.ndarray, inside: np.ndarray) -> float:
    """IoU of the highest tokens, as many as the mask has, with the mask; all tokens alike."""
    highest = np.argsort(-attention, kind="stable")[: int(inside.sum())]
    predicted = np.zeros(len(attention), dtype=bool)
    predicted[highest] = True
    return float((predicted & inside).sum() / (predicted | inside).sum())


@pytest.fixture
def case(tiny_model):
    """A model whose tokens are squares of 28 pixels, and masks that end on their edges."""
    images = pictures()
    return tiny_model("qwen2_5_vl"), images, [corner(images[0], 56, 84), corner(images[1], 84, 28)]


@pytest.mark.parametrize("index", [0, 1])
def test_one_picture_of_several(case, index):
    loaded, images, masks = case
    found = score_response(loaded, images, masks, prompt=PROMPT, response=RESPONSE, image_index=index)
    batch = encode(loaded, [images], [PROMPT], [RESPONSE], padding_side="right")
    capture = run_capture(loaded, batch, MeasurementOptions())[0]
    own = capture.layout.image_index == index
    rows, columns = capture.layout.grid_hw[index, -1]
    grid = masks[index].reshape(rows, 28, columns, 28).all(axis=(1, 3)).reshape(-1)
    for layer in range(found.shape[0]):
        for head in range(found.shape[1]):
            expected = plain_impact(capture.maps[layer, head].numpy()[own], grid)
            assert found[layer, head] == pytest.approx(expected, abs=1e-6)


def test_all_pictures_weigh_alike(case):
    loaded, images, masks = case
    found = score_response(loaded, images, masks, prompt=PROMPT, response=RESPONSE)
    assert found.shape == (3, 4)
    ones = [
        score_response(loaded, images, masks, prompt=PROMPT, response=RESPONSE, image_index=index) for index in (0, 1)
    ]
    assert not np.allclose(found, ones[0])
    assert not np.allclose(found, ones[1])
    turned = score_response(loaded, images[::-1], masks[::-1], prompt=PROMPT, response=RESPONSE)
    assert not np.allclose(found, turned), "which picture comes first matters to the model"


def test_a_picture_without_its_object_still_draws_attention(case):
    loaded, images, masks = case
    alone = score_response(loaded, images, masks, prompt=PROMPT, response=RESPONSE, image_index=0)
    nothing = np.zeros_like(masks[1])
    beside = score_response(loaded, images, [masks[0], nothing], prompt=PROMPT, response=RESPONSE)
    assert (beside <= alone + 1e-6).mean() > 0.5, "attention to the other picture is attention beside the object"


def test_the_model_is_not_changed(case):
    loaded, images, masks = case
    batch = encode(loaded, [images], [PROMPT], [RESPONSE])
    with torch.inference_mode():
        before = loaded.model.model(**batch.inputs).last_hidden_state
        score_response(loaded, images, masks, prompt=PROMPT, response=RESPONSE)
        assert torch.equal(before, loaded.model.model(**batch.inputs).last_hidden_state)


@pytest.mark.parametrize(
    ("change", "kind", "match"),
    [
        pytest.param({"masks": []}, OptionError, "2 pictures, 0 masks", id="no masks"),
        pytest.param({"image_index": 2}, OptionError, "image_index=2; expected .* an index among them", id="index"),
        pytest.param({"prompt": "What is in <image>?"}, DataFormatError, "marks 1 places", id="places"),
    ],
)
def test_refused(case, change, kind, match):
    loaded, images, masks = case
    given = {"masks": masks, "prompt": PROMPT, "response": RESPONSE, **change}
    with pytest.raises(kind, match=match):
        score_response(loaded, images, given.pop("masks"), **given)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        pytest.param(lambda images: images[0], "Picture 0 is of mode RGB; expected a list of", id="one picture"),
        pytest.param(lambda images: [images[0].convert("RGBA")], "Picture 0 is of mode RGBA", id="not RGB"),
        pytest.param(lambda images: [images[0], np.asarray(images[1])], "Picture 1 is a ndarray", id="an array"),
        pytest.param(lambda images: ["1.jpg"], r"Picture 0 is a str; .*Image\.open\(path\)", id="a path"),
    ],
)
def test_what_is_no_list_of_rgb_pictures_is_named(case, change, match):
    loaded, images, masks = case
    with pytest.raises(OptionError, match=match):
        score_response(loaded, change(images), masks, prompt=PROMPT, response=RESPONSE)


def test_masks_that_say_nothing_or_do_not_fit(case):
    loaded, images, masks = case
    with pytest.raises(DataFormatError, match="The masks say nothing: empty_mask"):
        score_response(loaded, images, [np.zeros_like(mask) for mask in masks], prompt=PROMPT, response=RESPONSE)
    with pytest.raises(DataFormatError, match="Mask 1 is 196x168 pixels, its picture 168x168"):
        score_response(loaded, images, [masks[0], masks[0]], prompt=PROMPT, response=RESPONSE)
