"""One object for each thing, and which are key: by hand."""

import numpy as np
import pytest

from headimpact.annotation.key_masks import MadeObject, choose_key_masks, head_of, merge_masks
from headimpact.annotation.masks_from_text import MadeMask
from headimpact.annotation.phrases import Phrase
from headimpact.data.masks import RleMask

SIZE = (10, 10)


def made(text: str, x0: int, y0: int, x1: int, y1: int, *, box: float = 0.5, mask: float | None = 0.8) -> MadeMask:
    """Make the mask of a whole box."""
    pixels = np.zeros(SIZE, dtype=bool)
    pixels[y0:y1, x0:x1] = True
    corners = (float(x0), float(y0), float(x1), float(y1))
    return MadeMask(Phrase(text, 0, len(text)), corners, box, mask, RleMask.from_mask(pixels))


def test_masks_of_one_thing_are_one_object_named_by_the_most_confident():
    small, large = made("dog", 2, 2, 8, 8, box=0.6), made("small brown dog", 2, 2, 8, 7, box=0.9)
    sofa = made("sofa", 0, 0, 10, 10, box=0.7)
    assert merge_masks([small, sofa, large]) == (
        MadeObject(large, ("small brown dog", "dog")),
        MadeObject(sofa, ("sofa",)),
    )


@pytest.mark.parametrize(("rows", "objects"), [(8, 2), (9, 1)])
def test_an_overlap_of_four_fifths_is_not_yet_the_same(rows, objects):
    assert len(merge_masks([made("a", 0, 0, 10, 10), made("b", 0, 0, 10, rows)])) == objects


def test_confidence_is_of_box_and_mask_together():
    first, second = made("a", 0, 0, 5, 5, box=0.9, mask=0.5), made("b", 0, 0, 5, 5, box=0.5, mask=None)
    (found,) = merge_masks([first, second])
    assert found.category == "b"
    assert merge_masks([]) == ()


def test_two_things_of_one_name_are_two_objects():
    left, right = made("dog", 0, 0, 4, 4), made("dog", 6, 0, 10, 4)
    assert [found.mask for found in merge_masks([left, right])] == [left, right]


def test_names_are_all_phrases_and_what_their_nouns_are_known_as():
    (found,) = merge_masks([made("small brown dog", 0, 0, 4, 4, box=0.9), made("pet", 0, 0, 4, 4)])
    assert found.names[:3] == ("small brown dog", "dog", "puppy")
    assert {"pet", "pets", "dogs"} <= set(found.names)


@pytest.mark.parametrize(
    ("phrase", "head"),
    [("dog", "dog"), ("hot dog", "hot dog"), ("big red fire hydrant", "fire hydrant"), ("church tower", "tower")],
)
def test_head_of(phrase, head):
    assert head_of(phrase) == head


def key_phrases(captions, *masks):
    key, decision = choose_key_masks("7", SIZE, captions, merge_masks(masks))
    return [found.category for found in key], decision.reason


DOG = made("small brown dog", 2, 2, 7, 7)


CAPTION = "A small brown dog sleeping on a red sofa."


@pytest.mark.parametrize(
    ("sofa", "key", "reason"),
    [
        pytest.param((6, 8, 10, 10), ["small brown dog"], "kept", id="a corner of a sofa"),
        pytest.param((0, 8, 10, 10), ["small brown dog", "red sofa"], "kept", id="much of a sofa"),
        pytest.param((0, 4, 10, 9), [], "covers_too_much", id="a sofa as wide as the picture"),
    ],
)
def test_the_rule_for_coco_decides(sofa, key, reason):
    assert key_phrases([CAPTION], DOG, made("red sofa", *sofa, box=0.4)) == (key, reason)


def test_two_subjects_are_both_key():
    cat = made("cat", 7, 0, 10, 4)
    assert key_phrases(["A small brown dog and a cat."], DOG, cat) == (["small brown dog", "cat"], "kept")


def test_both_instances_of_a_phrase_are_key():
    left, right = made("dogs", 0, 2, 4, 6), made("dogs", 6, 2, 10, 6, box=0.4)
    assert key_phrases(["Two dogs on grass."], left, right) == (["dogs", "dogs"], "kept")


def test_captions_that_call_it_differently_agree():
    puppy = made("puppy", 2, 2, 7, 7, box=0.45)
    (found,) = merge_masks([DOG, puppy])
    decision = choose_key_masks("7", SIZE, ["A small brown dog.", "A puppy on a sofa."], [found])[1]
    assert decision.candidates[0].evidence.named_share == 1.0


def test_what_is_too_small_or_nothing_gives_a_reason():
    assert key_phrases(["A dog."], made("dog", 0, 0, 1, 1)) == ([], "too_small")
    assert key_phrases(["A dog."]) == ([], "no_annotation")
