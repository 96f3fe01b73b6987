"""What one picture becomes: lines and masks, without a file."""

from pathlib import Path

import pytest

from headimpact.core.errors import DataFormatError
from headimpact.data.build.built_picture import BuiltPicture, pack_lines, unpack_lines, with_split
from headimpact.data.build.coco_pictures import SourcePicture
from headimpact.data.build.evidence import AnnotatedPicture, Instance
from headimpact.data.build.picture_builder import BuildRule, build_picture
from headimpact.data.masks import RleMask
from tests.builders import mask
from tests.unit.data.build.makers import FINDER

LEFT = ("##....", "##....", "......", "......")
RIGHT = ("......", "......", "....##", "....##")


def instance(number, category, rows):
    made = RleMask.from_mask(mask(*rows))
    return Instance(instance_id=str(number), category=category, box=(0, 0, 6, 4), area=made.area, mask=made)


def picture(captions, *instances, **fields):
    annotated = AnnotatedPicture(image_id="7", size_hw=(4, 6), captions=tuple(captions), instances=instances)
    defaults = {"originals": tuple(captions), "path": Path("x/7.JPG"), "file_name": "x/7.JPG", "stem": "7_1"}
    return SourcePicture(annotated=annotated, **{**defaults, **fields})


def test_one_key_object():
    source = picture(["A lawn.", "A dog."], instance(1, "dog", LEFT), licence="By", address="http://a")
    built, masks = build_picture(source, FINDER, rule=BuildRule())
    assert built.entry == {
        "image_id": "7",
        "file_name": "images/7_1.JPG",
        "mask_file_name": "masks/7_1.png",
        "captions": ["A dog.", "A lawn."],
        "captions_original": ["A dog.", "A lawn."],
        "category": "dog",
        "key_objects": [{"mask_file_name": "masks/7_1.png", "category": "dog"}],
        "licence": "By",
        "area_share": round(4 / 24, 6),
        "categories": ["dog"],
    }
    assert built.source == {"image_id": "7", "file_name": "images/7_1.JPG", "licence": "By", "source": "http://a"}
    assert {name: found.area for name, found in masks.items()} == {"masks/7_1.png": 4}
    assert {question["categories"] for question in built.questions} >= {("dog",)}


def test_several_instances_are_united_and_two_categories_apart():
    source = picture(
        ["Two dogs and a cat."],
        instance(1, "dog", LEFT),
        instance(2, "dog", RIGHT),
        instance(3, "cat", (".....#",) * 4),
    )
    built, masks = build_picture(source, FINDER, rule=BuildRule())
    assert list(masks) == ["masks/objects/7_1.0.png", "masks/objects/7_1.1.png", "masks/7_1.png"]
    assert built.entry is not None
    areas = {block["category"]: masks[block["mask_file_name"]].area for block in built.entry["key_objects"]}
    assert areas == {"dog": 8, "cat": 4}
    assert masks["masks/7_1.png"].area == 10
    assert built.entry["category"] == built.entry["key_objects"][0]["category"]


def test_a_picture_that_is_left_out_has_a_decision_alone():
    built, masks = build_picture(picture(["A lawn."], instance(1, "dog", LEFT)), FINDER, rule=BuildRule())
    assert (built.entry, built.source, built.questions, masks) == (None, None, (), {})
    assert built.decision["reason"] == "no_object_named"
    lines = built.lines()
    assert (lines.entry, lines.source, lines.category) == ("", "", "")


def test_names_of_the_source_are_kept_for_references():
    source = picture(["A dog."], instance(1, "dog", LEFT))
    built, _ = build_picture(source, FINDER, rule=BuildRule(keep_file_names=True))
    assert built.entry is not None
    assert built.source is not None
    assert built.entry["file_name"] == built.source["file_name"] == "x/7.JPG"


def test_lines_are_packed_and_unpacked():
    built = BuiltPicture(
        decision={"image_id": "7", "reason": "kept"},
        entry={"category": "dog", "area_share": 0.5, "x": 'a "b"\u732b'},
        source={"image_id": "7", "file_name": 'a,"b".png'},
        questions=({"q": 1},),
    )
    lines = built.lines()
    assert unpack_lines(pack_lines(lines)) == lines
    assert "\n" not in pack_lines(lines)
    assert lines.source == '7,"a,""b"".png",,'
    assert with_split(lines.entry, 'a"').endswith('"split": "a\\""}')


@pytest.mark.parametrize("text", ["", "{}", "[1]"])
def test_a_broken_part_is_refused(text):
    with pytest.raises(DataFormatError, match="Broken line of a part"):
        unpack_lines(text)
