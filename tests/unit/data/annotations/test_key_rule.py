"""Which of several drawn objects are key: the rule for COCO, with marks and single objects before it."""

import dataclasses

import numpy as np

from headimpact.data.annotations.drawing import list_object
from headimpact.data.annotations.key_rule import KeyRule
from headimpact.data.entries import FolderContent, PictureEntry, ReadMask
from headimpact.data.key_choice import MaskedObject
from headimpact.data.masks import RleMask


def drawn(category: str, x0: int, y0: int, x1: int, y1: int) -> MaskedObject:
    """Draw a box on a picture of 10 x 10 pixels."""
    pixels = np.zeros((10, 10), dtype=bool)
    pixels[y0:y1, x0:x1] = True
    mask = ReadMask(RleMask.from_mask(pixels), area=int(pixels.sum()))
    return list_object(category, file="f", where="", read_mask=lambda frames: mask), mask


DOG, SOFA, LAMP = drawn("dog", 2, 2, 7, 7), drawn("sofa", 5, 8, 10, 10), drawn("lamp", 0, 0, 5, 4)


def rule_for(tmp_path, *objects: MaskedObject) -> KeyRule:
    entry = PictureEntry(
        image_id="1", path=tmp_path, file="f", where="", objects=tuple(listed for listed, _ in objects)
    )
    return KeyRule(FolderContent(entries=(entry,)))


def test_the_subject_is_key_and_what_nobody_names_is_not(tmp_path):
    choose = rule_for(tmp_path, DOG, SOFA, LAMP)
    assert choose("1", ["A dog sleeps.", "A brown dog near a sofa."], [LAMP, SOFA, DOG]) == [DOG]
    decision = choose.decisions["1"]
    assert [(one.evidence.category, one.reason) for one in decision.candidates] == [
        ("dog", "key"),
        ("sofa", "low_score"),
        ("lamp", "not_named"),
    ]


def test_without_a_clear_one_there_is_none_and_a_reason(tmp_path):
    choose = rule_for(tmp_path, DOG, LAMP)
    assert choose("1", ["Ein Hund."], [DOG, LAMP]) == []
    assert choose.decisions["1"].reason == "no_object_named"


def test_the_only_object_is_key_whatever_is_said(tmp_path):
    choose = rule_for(tmp_path, DOG)
    assert choose("1", ["Ein Hund."], [DOG]) == [DOG]
    assert choose("2", ["A dog."], []) == []
    assert choose.decisions == {}


def test_marks_come_before_the_rule(tmp_path):
    marked = (dataclasses.replace(LAMP[0], is_key=True), LAMP[1])
    choose = rule_for(tmp_path, DOG, marked)
    assert choose("1", ["A dog."], [DOG, marked]) == [marked]
    assert choose.decisions == {}


def test_all_of_several_are_key(tmp_path):
    left, right = drawn("dog", 0, 2, 4, 6), drawn("dog", 6, 2, 10, 6)
    choose = rule_for(tmp_path, left, right)
    assert choose("1", ["Two dogs on grass."], [left, right]) == [left, right]
