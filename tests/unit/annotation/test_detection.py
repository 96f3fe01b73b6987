"""Grounding DINO: its outputs by hand, against transformers' own conversion, and whole with random weights."""

import dataclasses
import types

import numpy as np
import pytest
import torch

from headimpact.annotation.detection import (
    boxes_from_outputs,
    detect_phrases,
    join_phrases,
    token_positions,
)
from headimpact.annotation.loading import load_detector
from headimpact.core.errors import DataFormatError, OptionError, RunFailedError
from tests.unit.annotation import makers

ABSENT = float("-inf")


def logit(*shares):
    return [ABSENT if share == 0 else float(np.log(share / (1 - share))) for share in shares]


def outputs(*rows):
    """Make logits and boxes from rows of (probabilities of the tokens, box)."""
    return torch.tensor([logit(*shares) for shares, _ in rows]), torch.tensor([box for _, box in rows])


RED_CUP_BLUE_CUP = [(1, 2), (4, 5)]
"""Tokens of "red cup. blue cup.": start, red, cup, full stop, blue, cup, full stop."""

CENTRE = (0.5, 0.5, 0.5, 0.5)


def convert(rows, positions, size_hw=(100, 200), box_threshold=0.35):
    logits, centred = outputs(*rows)
    boxes, confidences, chosen = boxes_from_outputs(logits, centred, positions, size_hw, box_threshold=box_threshold)
    return boxes.tolist(), pytest.approx(confidences.tolist(), abs=1e-6), chosen.tolist()


def test_a_box_goes_to_the_phrase_that_fits_on_average_with_its_highest_probability():
    rows = [((0, 0.3, 0.6, 0.9, 0.1, 0.61, 0), CENTRE)]
    assert convert(rows, RED_CUP_BLUE_CUP) == ([[50, 25, 150, 75]], [0.6], [0])


def test_tokens_of_no_phrase_count_for_nothing():
    rows = [((0.9, 0.1, 0.1, 0.9, 0.1, 0.1, 0.9), CENTRE)]
    assert convert(rows, RED_CUP_BLUE_CUP) == ([], [], [])


@pytest.mark.parametrize(("threshold", "count"), [(0.5, 1), (0.51, 0)], ids=["at the threshold", "below it"])
def test_threshold(threshold, count):
    rows = [((0, 0.5), CENTRE)]
    assert len(convert(rows, [(1,)], box_threshold=threshold)[0]) == count


def test_boxes_are_scaled_clipped_and_ordered():
    rows = [
        ((0, 0.4), (0.1, 0.1, 0.4, 0.4)),
        ((0, 0.9), (0.9, 0.5, 0.4, 1.0)),
        ((0, 0.6), (0.5, 0.25, 0.1, 0.1)),
    ]
    boxes, confidences, chosen = convert(rows, [(1,)])
    assert np.allclose(boxes, [[140, 0, 200, 100], [90, 20, 110, 30], [0, 0, 60, 30]], atol=1e-4)
    assert confidences == [0.9, 0.6, 0.4]
    assert chosen == [0, 0, 0]


def test_a_box_outside_the_picture_is_left_out():
    rows = [((0, 0.9), (1.3, 0.5, 0.2, 0.2)), ((0, 0.8), CENTRE)]
    assert convert(rows, [(1,)])[1] == [0.8]


def test_a_phrase_without_tokens_gets_no_box():
    rows = [((0, 0.9), CENTRE)]
    assert convert(rows, [(), (1,)])[2] == [1]
    assert convert(rows, [()], box_threshold=0.0) == ([], [], [])
    assert convert(rows, []) == ([], [], [])


def test_nan_is_refused():
    with pytest.raises(RunFailedError, match="No numbers from the detector"):
        boxes_from_outputs(
            torch.tensor([[0.0, float("nan")]]), torch.tensor([CENTRE]), [(1,)], (4, 4), box_threshold=0.3
        )


def test_phrases_become_one_text():
    text, spans = join_phrases([" Small dog ", "cat", "RED sofa"])
    assert text == "small dog. cat. red sofa."
    assert [text[start:end] for start, end in spans] == ["small dog", "cat", "red sofa"]


def test_tokens_are_found_by_their_place():
    tokenizer = makers.bert_tokenizer()
    text, spans = join_phrases(["small dog", "xcat", "a man's cup"])
    encoded = tokenizer(text, return_offsets_mapping=True)
    tokens = tokenizer.convert_ids_to_tokens(encoded["input_ids"])
    found = token_positions(encoded["offset_mapping"], spans)
    assert [[tokens[place] for place in places] for places in found] == [
        ["small", "dog"],
        ["x", "##c", "##a", "##t"],
        ["a", "m", "##a", "##n", "'", "s", "cup"],
    ]


@pytest.fixture(scope="module", params=["grounding-dino", "mm-grounding-dino"])
def detector(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    makers.save_grounding_dino(folder, mm=request.param == "mm-grounding-dino")
    return load_detector(folder, device="cpu")


IMAGES = [makers.noise(90, 60, 1), makers.noise(40, 70, 2), makers.noise(90, 60, 3), makers.noise(30, 30, 4)]
PHRASES = [["small brown dog", "red sofa"], ["cat", "blue cup", "dog"], ["sofa"], []]
LEAST = 0.005
LOW = {"box_threshold": LEAST, "max_overlap": 0.95}


@pytest.fixture(scope="module")
def found(detector):
    return detect_phrases(detector, IMAGES, PHRASES, **LOW)


def test_boxes_lie_in_their_pictures_in_order(found):
    assert [len(row) > 0 for row in found] == [True, True, True, False]
    for image, phrases, row in zip(IMAGES, PHRASES, found, strict=True):
        for box in row:
            x0, y0, x1, y1 = box.box
            assert 0 <= x0 < x1 <= image.width
            assert 0 <= y0 < y1 <= image.height
            assert LEAST <= box.confidence <= 1
            assert 0 <= box.phrase_index < len(phrases)
        assert list(row) == sorted(row, key=lambda box: (box.phrase_index, -box.confidence))


def test_the_same_twice(detector, found):
    assert detect_phrases(detector, IMAGES, PHRASES, **LOW) == found


def assert_same_boxes(left, right):
    assert [(box.phrase_index, len(left)) for box in left] == [(box.phrase_index, len(right)) for box in right]
    for one, other in zip(left, right, strict=True):
        assert one.box == pytest.approx(other.box, abs=1e-3)
        assert one.confidence == pytest.approx(other.confidence, abs=1e-5)


def test_a_picture_does_not_depend_on_its_batch(detector, found):
    for image, phrases, row in zip(IMAGES, PHRASES, found, strict=True):
        assert_same_boxes(detect_phrases(detector, [image], [phrases], **LOW)[0], row)


def test_the_same_boxes_as_transformers_own(detector):
    """Every token belongs to the one phrase but those that begin and end the text, whose logits are hidden."""
    image = IMAGES[0]
    inputs = detector.processor(images=image, text="small brown dog.", return_tensors="pt")
    with torch.inference_mode():
        raw = detector.model(**inputs)
    logits = raw.logits.clone()
    logits[:, :, [0, *range(4, logits.shape[-1])]] = ABSENT
    shown = types.SimpleNamespace(logits=logits, pred_boxes=raw.pred_boxes, input_ids=inputs["input_ids"])
    theirs = detector.processor.post_process_grounded_object_detection(
        shown, threshold=LEAST, text_threshold=LEAST, target_sizes=[(image.height, image.width)]
    )[0]
    boxes, confidences, _ = boxes_from_outputs(
        raw.logits[0], raw.pred_boxes[0], [(1, 2, 3)], (image.height, image.width), box_threshold=LEAST
    )
    order = torch.argsort(theirs["scores"], descending=True)
    width_height = np.array([image.width, image.height] * 2)
    assert len(boxes) > 1
    assert np.allclose(confidences, theirs["scores"][order], atol=1e-6)
    assert np.allclose(boxes, np.clip(theirs["boxes"][order].numpy(), 0, width_height), atol=1e-3)


def test_phrases_that_do_not_fit_one_text_are_asked_in_several(detector):
    many = ["small brown dog", "red sofa", "blue cup", "cat", "small cat", "brown sofa", "red cup", "dog"]
    row = detect_phrases(detector, IMAGES[:1], [many], **LOW)[0]
    first = detect_phrases(detector, IMAGES[:1], [many[:7]], **LOW)[0]
    second = detect_phrases(detector, IMAGES[:1], [many[7:]], **LOW)[0]
    assert len(first) > 0
    assert len(second) > 0
    assert_same_boxes(row, [*first, *(dataclasses.replace(box, phrase_index=7) for box in second)])


def test_duplicates_are_suppressed_within_a_phrase(detector):
    all_boxes = detect_phrases(detector, IMAGES[:1], [["dog"]], box_threshold=0.0, max_overlap=1.0)[0]
    few = detect_phrases(detector, IMAGES[:1], [["dog"]], box_threshold=0.0, max_overlap=0.0)[0]
    assert 1 <= len(few) < len(all_boxes)
    assert few[0] == all_boxes[0]


def test_nothing_reaches_a_threshold_of_one(detector):
    assert detect_phrases(detector, IMAGES, PHRASES, box_threshold=1.0) == [(), (), (), ()]


def test_no_pictures(detector):
    assert detect_phrases(detector, [], []) == []


@pytest.mark.parametrize(
    ("phrases", "options", "error", "match"),
    [
        pytest.param(
            [["dog"]], {"box_threshold": 2.0}, OptionError, "--box-threshold is 2.0; expected", id="threshold"
        ),
        pytest.param([["dog"]], {"max_overlap": -1.0}, OptionError, "--max-overlap is -1.0; expected", id="overlap"),
        pytest.param([[], []], {}, DataFormatError, "1 pictures, 2 lists of phrases", id="rows"),
        pytest.param([[" "]], {}, DataFormatError, "Cannot look for ' ': expected words", id="empty"),
        pytest.param([["dog. cat"]], {}, DataFormatError, "without full stop or question mark", id="full stop"),
        pytest.param([["dog?"]], {}, DataFormatError, "Split it, or leave the mark out", id="question mark"),
        pytest.param([["dog " * 30]], {}, DataFormatError, "has 31 tokens, the model reads 22. Shorten", id="long"),
    ],
)
def test_what_cannot_be_asked(detector, phrases, options, error, match):
    with pytest.raises(error, match=match):
        detect_phrases(detector, IMAGES[:1], phrases, **options)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_runs(detector, dtype):
    import copy

    halved = dataclasses.replace(detector, model=copy.deepcopy(detector.model).to(dtype), dtype=dtype)
    row = detect_phrases(halved, IMAGES[:1], PHRASES[:1], **LOW)[0]
    assert all(np.isfinite(box.confidence) for box in row)
