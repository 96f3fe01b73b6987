"""SAM 2 and SAM 3: their outputs by hand, and whole with random weights."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from headimpact.annotation.loading import load_segmenter, load_text_segmenter
from headimpact.annotation.segmentation import (
    mask_from_logits,
    objects_from_outputs,
    segment_boxes,
    segment_phrases,
)
from headimpact.core.errors import DataFormatError, OptionError, RunFailedError
from tests.builders import mask
from tests.unit.annotation import makers


def test_a_map_of_the_pictures_size_is_only_cut():
    logits = torch.tensor([[1.0, -1.0, 0.0], [0.1, 2.0, -3.0]])
    assert mask_from_logits(logits, (2, 3), threshold=0.0).tolist() == mask("#..", "##.").tolist()
    assert mask_from_logits(logits, (2, 3), threshold=0.5).tolist() == mask("#..", ".#.").tolist()


def test_a_map_is_scaled_between_pixel_centres():
    """One row of 2 to 4: the centres lie at -1/4 (clipped), 1/4, 3/4 and 5/4 (clipped) between the two values."""
    logits = torch.tensor([[3.0, -1.0]])
    assert mask_from_logits(logits, (1, 4), threshold=0.0).tolist() == mask("##..").tolist()
    assert mask_from_logits(logits, (1, 4), threshold=-0.5).tolist() == mask("###.").tolist()
    assert mask_from_logits(logits, (1, 4), threshold=2.5).tolist() == mask("#...").tolist()


def test_a_map_takes_any_picture_size():
    found = mask_from_logits(torch.ones(4, 4), (7, 5), threshold=0.0)
    assert found.shape == (7, 5)
    assert found.dtype == np.bool_
    assert found.all()


def logit(share):
    return float(np.log(share / (1 - share)))


MAPS = torch.tensor([[[9.0, -9.0]], [[-9.0, 9.0]], [[-9.0, -9.0]]])
CORNERS = torch.tensor([[0.0, 0.0, 0.5, 1.0], [0.25, -0.5, 1.5, 0.5], [0.5, 0.5, 0.5, 0.9]])


def objects(shares, presence=None, threshold=0.5):
    logits = torch.tensor([logit(share) for share in shares])
    shown = None if presence is None else torch.tensor([logit(presence)])
    found = objects_from_outputs(logits, shown, CORNERS, MAPS, (4, 2), threshold=threshold)
    return [(box, round(confidence, 4), found_mask.tolist()) for box, confidence, found_mask in found]


def test_objects_are_scaled_clipped_and_ordered():
    left, right = mask(*["#."] * 4).tolist(), mask(*[".#"] * 4).tolist()
    assert objects([0.6, 0.8, 0.9]) == [((0.5, 0, 2, 2), 0.8, right), ((0, 0, 1, 4), 0.6, left)]


def test_presence_lowers_every_confidence():
    assert [confidence for _, confidence, _ in objects([0.6, 0.8, 0.9], presence=0.5, threshold=0.29)] == [0.4, 0.3]
    assert objects([0.6, 0.8, 0.9], presence=0.5) == []


def test_nothing_above_the_threshold():
    assert objects([0.1, 0.2, 0.3]) == []


def test_nan_is_refused():
    with pytest.raises(RunFailedError, match="No numbers from the segmenter"):
        objects_from_outputs(torch.tensor([float("nan")] * 3), None, CORNERS, MAPS, (4, 2), threshold=0.5)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sam2")
    makers.save_sam2(folder)
    return load_segmenter(folder, device="cpu")


IMAGES = [makers.noise(90, 60, 1), makers.noise(40, 70, 2), makers.noise(30, 30, 3)]
BOXES = [[(10.0, 10.0, 50.0, 50.0), (0.0, 0.0, 90.0, 60.0), (70.0, 5.0, 88.0, 30.0)], [(0.0, 0.0, 40.0, 20.0)], []]


@pytest.fixture(scope="module")
def found(segmenter):
    return segment_boxes(segmenter, IMAGES, BOXES)


def test_a_mask_for_each_box_in_the_pictures_size(found):
    assert [len(row) for row in found] == [3, 1, 0]
    for image, row in zip(IMAGES, found, strict=True):
        for each in row:
            assert each.mask.shape == (image.height, image.width)
            assert each.mask.dtype == np.bool_
            assert 0 <= each.confidence <= 1


def assert_same_masks(left, right):
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        assert np.count_nonzero(one.mask != other.mask) <= 0.002 * one.mask.size
        assert one.confidence == pytest.approx(other.confidence, abs=1e-5)


def test_masks_depend_on_the_box(found):
    first, second, _ = found[0]
    assert first.confidence != second.confidence
    assert (first.mask != second.mask).any()


def test_the_same_twice(segmenter, found):
    again = segment_boxes(segmenter, IMAGES, BOXES)
    for left, right in zip(found, again, strict=True):
        assert [each.confidence for each in left] == [each.confidence for each in right]
        assert all((one.mask == other.mask).all() for one, other in zip(left, right, strict=True))


def test_a_picture_does_not_depend_on_its_batch(segmenter, found):
    for image, boxes, row in zip(IMAGES, BOXES, found, strict=True):
        assert_same_masks(segment_boxes(segmenter, [image], [boxes])[0], row)


def test_boxes_do_not_depend_on_how_many_are_decoded_together(segmenter, found):
    assert_same_masks(segment_boxes(segmenter, IMAGES, BOXES, boxes_at_once=1)[0], found[0])


def test_a_box_is_cut_at_the_picture(segmenter, found):
    wide = segment_boxes(segmenter, IMAGES[:1], [[(-20.0, -1.0, 500.0, 61.0)]])[0]
    assert_same_masks(wide, found[0][1:2])


def test_the_best_mask_by_plain_means(segmenter):
    """The whole model at once, the map scaled and cut here."""
    image, box = IMAGES[0], BOXES[0][0]
    pixels = segmenter.processor.prepare_pictures([image])
    prompt = torch.tensor([[box]]) * makers.SQUARE / torch.tensor([image.width, image.height] * 2)
    with torch.inference_mode():
        raw = segmenter.model(pixel_values=pixels, input_boxes=prompt, multimask_output=False)
    logits = torch.nn.functional.interpolate(raw.pred_masks[0], (60, 90), mode="bilinear", align_corners=False)
    one = segment_boxes(segmenter, [image], [[box]])[0][0]
    assert one.confidence == pytest.approx(float(raw.iou_scores[0, 0, 0]), abs=1e-5)
    assert np.mean(one.mask != (logits[0, 0] > 0).numpy()) <= 0.002


def test_no_pictures_and_no_boxes(segmenter):
    assert segment_boxes(segmenter, [], []) == []
    assert segment_boxes(segmenter, IMAGES, [[], [], []]) == [(), (), ()]


@pytest.mark.parametrize(
    ("boxes", "options", "error", "match"),
    [
        pytest.param([[], []], {}, DataFormatError, "1 pictures, 2 lists of boxes", id="rows"),
        pytest.param(
            [[(5.0, 5.0, 5.0, 9.0)]], {}, DataFormatError, r"Box without area.*60 x 90 \(height x width\)", id="thin"
        ),
        pytest.param([[(95.0, 5.0, 99.0, 9.0)]], {}, DataFormatError, "Expected .* x0 < x1 and y0 < y1", id="outside"),
        pytest.param([[(float("nan"), 5.0, 9.0, 9.0)]], {}, DataFormatError, "Box without area", id="nan"),
        pytest.param([[]], {"boxes_at_once": 0}, OptionError, "--boxes-at-once is 0; expected 1", id="none at once"),
    ],
)
def test_what_cannot_be_segmented(segmenter, boxes, options, error, match):
    with pytest.raises(error, match=match):
        segment_boxes(segmenter, IMAGES[:1], boxes, **options)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_runs(segmenter, dtype):
    halved = dataclasses.replace(segmenter, model=copy.deepcopy(segmenter.model).to(dtype), dtype=dtype)
    assert [len(row) for row in segment_boxes(halved, IMAGES, BOXES)] == [3, 1, 0]


def test_weights_that_overflow_are_refused(segmenter):
    broken = copy.deepcopy(segmenter.model)
    with torch.no_grad():
        broken.mask_decoder.iou_prediction_head.proj_out.bias.fill_(float("nan"))
    with pytest.raises(RunFailedError, match="No numbers from the segmenter"):
        segment_boxes(dataclasses.replace(segmenter, model=broken), IMAGES[:1], BOXES[:1])


@pytest.fixture(scope="module")
def text_segmenter(tmp_path_factory):
    pytest.importorskip("torchvision", reason="SAM 3 needs torchvision", exc_type=ImportError)
    folder = tmp_path_factory.mktemp("sam3")
    makers.save_sam3(folder)
    return load_text_segmenter(folder, device="cpu")


PHRASES = [["dog", "red circle"], ["square"], []]


def test_objects_of_phrases(text_segmenter):
    found = segment_phrases(text_segmenter, IMAGES, PHRASES, threshold=0.01)
    assert [len(row) > 0 for row in found] == [True, True, False]
    for image, phrases, row in zip(IMAGES, PHRASES, found, strict=True):
        assert list(row) == sorted(row, key=lambda each: (each.phrase_index, -each.confidence))
        for each in row:
            assert each.mask.shape == (image.height, image.width)
            assert 0.01 <= each.confidence <= 1
            assert 0 <= each.phrase_index < len(phrases)
            assert 0 <= each.box[0] < each.box[2] <= image.width


def test_the_same_objects_as_transformers_own(text_segmenter):
    image = IMAGES[0]
    inputs = text_segmenter.processor(images=image, text="dog", return_tensors="pt")
    with torch.inference_mode():
        raw = text_segmenter.model(
            pixel_values=inputs["pixel_values"],
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
        )
    theirs = text_segmenter.processor.post_process_instance_segmentation(
        raw, threshold=0.01, target_sizes=[(image.height, image.width)]
    )[0]
    ours = segment_phrases(text_segmenter, [image], [["dog"]], threshold=0.01)[0]
    order = torch.argsort(theirs["scores"], descending=True)
    boxes = np.clip(theirs["boxes"][order].numpy(), 0, [image.width, image.height] * 2)
    whole = [place for place, box in enumerate(boxes) if box[0] < box[2] and box[1] < box[3]]
    assert len(ours) == len(whole) > 0
    for each, place in zip(ours, whole, strict=True):
        assert each.confidence == pytest.approx(float(theirs["scores"][order][place]), abs=1e-5)
        assert each.box == pytest.approx(boxes[place].tolist(), abs=1e-3)
        assert (each.mask == theirs["masks"][order][place].bool().numpy()).mean() > 0.998


@pytest.mark.parametrize(
    ("phrases", "options", "error", "match"),
    [
        pytest.param([["dog"]], {"threshold": 2.0}, OptionError, "--threshold is 2.0; expected", id="threshold"),
        pytest.param([[], []], {}, DataFormatError, "1 pictures, 2 lists of phrases", id="rows"),
        pytest.param([[""]], {}, DataFormatError, "Cannot look for '': expected words", id="empty"),
        pytest.param([["dog " * 40]], {}, DataFormatError, "tokens, the model reads 32. Shorten it", id="long"),
    ],
)
def test_what_cannot_be_asked(text_segmenter, phrases, options, error, match):
    with pytest.raises(error, match=match):
        segment_phrases(text_segmenter, IMAGES[:1], phrases, **options)
