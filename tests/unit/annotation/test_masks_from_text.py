"""The chain from captions to masks, with random weights; what is left out by hand."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from headimpact.annotation.detection import detect_phrases
from headimpact.annotation.loading import load_detector, load_segmenter, load_text_segmenter
from headimpact.annotation.masks_from_text import (
    LeftOut,
    PictureMasks,
    _Collected,
    make_masks,
    make_masks_by_text,
)
from headimpact.annotation.phrases import Phrase, find_phrases
from headimpact.annotation.segmentation import segment_boxes
from headimpact.core.errors import DataFormatError, OptionError
from tests.builders import mask
from tests.unit.annotation import makers

DOG, SOFA, CUP = Phrase("dog", 2, 5), Phrase("red sofa", 11, 19), Phrase("cup", 23, 26)
SOME, NONE = mask("##", "#."), mask("..", "..")
BOX = (0.0, 0.0, 2.0, 2.0)


def count_reasons(results):
    return Counter(left.reason for result in results for left in result.left_out)


def test_what_is_left_out_and_why():
    collected = _Collected((DOG, SOFA, CUP), 0.5)
    collected.add(0, BOX, 0.9, 0.8, SOME)
    collected.add(0, BOX, 0.7, 0.4, SOME)
    collected.add(1, BOX, 0.6, 0.5, NONE)
    result = collected.result()
    (made,) = result.masks
    assert (made.phrase, made.box, made.box_confidence, made.mask_confidence) == (DOG, BOX, 0.9, 0.8)
    assert made.mask.decode().tolist() == SOME.tolist()
    assert result.left_out == (
        LeftOut("low_mask_confidence", DOG),
        LeftOut("empty_mask", SOFA),
        LeftOut("not_found", CUP),
    )


def test_a_mask_at_the_threshold_stays():
    collected = _Collected((DOG,), 0.5)
    collected.add(0, BOX, 0.9, 0.5, SOME)
    assert len(collected.result().masks) == 1


def test_a_mask_without_a_confidence_of_its_own_stays():
    collected = _Collected((DOG,), 0.5)
    collected.add(0, BOX, 0.1, None, SOME)
    assert collected.result().masks[0].mask_confidence is None


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    boxes, masks = tmp_path_factory.mktemp("boxes"), tmp_path_factory.mktemp("masks")
    makers.save_grounding_dino(boxes)
    makers.save_sam2(masks)
    return {"detector": load_detector(boxes, device="cpu"), "segmenter": load_segmenter(masks, device="cpu")}


IMAGES = [makers.noise(90, 60, 1), makers.noise(40, 70, 2), makers.noise(90, 60, 3)]
CAPTIONS = ["A small brown dog on a red sofa.", "It is nice.", "a cat, a blue cup"]
LOW: dict[str, Any] = {"box_threshold": 0.02, "max_overlap": 0.8, "min_mask_confidence": 0.0}


@pytest.fixture(scope="module")
def made(models):
    return make_masks(IMAGES, CAPTIONS, **models, **LOW)


def test_masks_of_the_words_of_the_caption(made):
    for image, caption, result in zip(IMAGES, CAPTIONS, made, strict=True):
        for each in result.masks:
            assert each.phrase in find_phrases(caption)
            assert each.mask.size_hw == (image.height, image.width)
            assert each.mask.area > 0
            assert each.mask_confidence is not None
    assert len(made[0].masks) > 0
    assert made[1] == PictureMasks((), (LeftOut("no_phrase"),))


def test_every_box_becomes_a_mask_or_is_counted(models, made):
    phrases = [[phrase.text for phrase in find_phrases(caption)] for caption in CAPTIONS]
    boxes = detect_phrases(models["detector"], IMAGES, phrases, box_threshold=0.02, max_overlap=0.8)
    masks = segment_boxes(models["segmenter"], IMAGES, [[each.box for each in row] for row in boxes])
    empty = sum(not each.mask.any() for row in masks for each in row)
    assert sum(len(row) for row in boxes) == sum(len(result.masks) for result in made) + empty
    assert count_reasons(made).get("empty_mask", 0) == empty
    first = next(each for each in zip(boxes[0], masks[0], strict=True) if each[1].mask.any())
    assert made[0].masks[0].box == first[0].box
    assert (made[0].masks[0].mask.decode() == first[1].mask).all()


def test_the_same_twice(models, made):
    assert make_masks(IMAGES, CAPTIONS, **models, **LOW) == made


def test_a_picture_does_not_depend_on_its_batch(models, made):
    for image, caption, result in zip(IMAGES, CAPTIONS, made, strict=True):
        (alone,) = make_masks([image], [caption], **models, **LOW)
        assert alone.left_out == result.left_out
        for one, other in zip(alone.masks, result.masks, strict=True):
            assert one.phrase == other.phrase
            assert one.box == pytest.approx(other.box, abs=1e-3)
            assert np.mean(one.mask.decode() != other.mask.decode()) <= 0.002


def test_thresholds_leave_out(models):
    nothing = make_masks(IMAGES, CAPTIONS, **models, **LOW | {"box_threshold": 1.0})
    assert count_reasons(nothing) == {"no_phrase": 1, "not_found": 4}
    unsure = make_masks(IMAGES, CAPTIONS, **models, **LOW | {"min_mask_confidence": 1.0})
    assert not any(result.masks for result in unsure)
    assert count_reasons(unsure)["low_mask_confidence"] > 0


def test_no_pictures(models):
    assert make_masks([], [], **models) == []


def test_captions_for_every_picture(models):
    with pytest.raises(DataFormatError, match="3 pictures, 1 captions"):
        make_masks(IMAGES, CAPTIONS[:1], **models)


def test_a_threshold_out_of_range(models):
    with pytest.raises(OptionError, match=r"--min-mask-confidence is 5\.0; expected"):
        make_masks(IMAGES, CAPTIONS, **models, min_mask_confidence=5.0)


def test_one_model_for_both(tmp_path):
    pytest.importorskip("torchvision", reason="SAM 3 needs torchvision", exc_type=ImportError)
    makers.save_sam3(tmp_path)
    segmenter = load_text_segmenter(tmp_path, device="cpu")
    made = make_masks_by_text(IMAGES, CAPTIONS, segmenter=segmenter, threshold=0.01)
    assert made[1].left_out == (LeftOut("no_phrase"),)
    assert all(each.mask_confidence is None for result in made for each in result.masks)
    assert any(result.masks for result in made)
