"""The rule for key objects, questions and splits on COCO's own captions and annotations."""

import json
from collections import Counter, defaultdict

import pytest

from headimpact.data.build.decisions import PICTURE_REASONS, REASONS, decision_line
from headimpact.data.build.descriptions import clean_caption, order_descriptions
from headimpact.data.build.evidence import AnnotatedPicture, Instance
from headimpact.data.build.key_objects import decide_picture
from headimpact.data.build.mentions import build_mention_finder
from headimpact.data.build.questions import ask_questions
from headimpact.data.build.stratified_splits import PictureKind, assign_stratified_splits
from headimpact.data.synonyms import category_names, is_named
from tests.builders import shared_data


@pytest.fixture(scope="module")
def coco():
    """Give the pictures of the excerpt and a finder of its categories."""
    folder = shared_data("coco_mini")
    instances, captions = (
        json.loads((folder / name).read_text(encoding="utf-8")) for name in ("instances.json", "captions.json")
    )
    categories = {record["id"]: record["name"] for record in instances["categories"]}
    listed, texts = defaultdict(list), defaultdict(list)
    for record in instances["annotations"]:
        listed[record["image_id"]].append(
            Instance(
                instance_id=str(record["id"]),
                category=categories[record["category_id"]],
                box=tuple(record["bbox"]),
                area=record["area"],
                is_crowd=bool(record["iscrowd"]),
            )
        )
    for record in captions["annotations"]:
        texts[record["image_id"]].append(record["caption"])
    pictures = [
        AnnotatedPicture(
            image_id=str(record["id"]),
            size_hw=(record["height"], record["width"]),
            captions=tuple(texts[record["id"]]),
            instances=tuple(listed[record["id"]]),
        )
        for record in instances["images"]
    ]
    return pictures, build_mention_finder(categories.values())


def test_every_picture_gets_a_decision_that_can_be_read(coco):
    pictures, finder = coco
    assert finder.unknown == ()
    for picture in pictures:
        decision = decide_picture(picture, finder)
        record = json.loads(decision_line(decision))
        assert record["reason"] in PICTURE_REASONS
        assert {candidate["reason"] for candidate in record["candidates"]} <= set(REASONS)
        assert (record["reason"] == "kept") == bool(record["key_objects"])
        assert len(record["key_objects"]) <= 2


def test_pictures_that_everybody_describes_alike_are_kept(coco):
    pictures, finder = coco
    keys = {one.image_id: [e.category for e in decide_picture(one, finder).key_objects] for one in pictures}
    assert keys["126107"] == ["bird"]
    assert keys["173350"] == ["dog"]
    assert keys["522418"] == ["person", "cake"]
    assert keys["58636"] == []
    assert sum(map(bool, keys.values())) >= len(pictures) / 3


def test_what_is_mentioned_is_named_and_survives_cleaning(coco):
    pictures, finder = coco
    for caption in (caption for picture in pictures for caption in picture.spoken):
        roles = finder.roles(caption)
        assert all(is_named([caption], category_names(category)) for category in roles), caption
        assert finder.roles(clean_caption(caption)) == roles, caption


def test_descriptions_that_name_the_key_object_come_first(coco):
    pictures, finder = coco
    for picture in pictures:
        keys = [evidence.category for evidence in decide_picture(picture, finder).key_objects]
        named = [len(one.named) for one in order_descriptions(picture.captions, keys, finder)]
        assert named == sorted(named, reverse=True)
        assert len(named) == len(picture.spoken)


def test_questions_are_balanced_and_right_by_the_annotations(coco):
    pictures, finder = coco
    answers: Counter[tuple[str, str]] = Counter()
    for picture in pictures:
        counts = Counter(instance.category for instance in picture.instances)
        for one in ask_questions(picture, finder):
            answers[one.kind, one.answer] += 1
            if one.kind == "count":
                assert counts[one.categories[0]] == int(one.answer)
            if one.kind == "presence":
                assert (counts[one.categories[0]] > 0) == (one.answer == "yes")
    assert answers["presence", "yes"] == answers["presence", "no"] > 40


def test_splits_share_the_kept_pictures_out(coco):
    pictures, finder = coco
    kinds = {}
    for picture in pictures:
        keys = decide_picture(picture, finder).key_objects
        if keys:
            kinds[picture.image_id] = PictureKind(keys[0].category, sum(evidence.area_share for evidence in keys))
    chosen = assign_stratified_splits(kinds)
    assert set(chosen) == set(kinds)
    assert set(chosen.values()) == {"calibration", "train", "validation", "test"}
