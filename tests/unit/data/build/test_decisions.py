"""The line that says what became of a picture."""

import json

from headimpact.data.build.decisions import PICTURE_REASONS, REASONS, decision_line, decision_record
from headimpact.data.build.key_objects import decide_picture
from tests.unit.data.build.makers import FINDER, picture


def decided(captions, things):
    return decide_picture(picture(captions, things, image_id="42"), FINDER)


def test_a_line_reads_like_a_sentence():
    record = decision_record(decided("A dog.|Two dogs by a cup.", "2 dog .1 middle, cup .01 left, bed .3 top"))
    assert record["says"] == "Kept; key: dog."
    assert [one["says"] for one in record["candidates"]] == [
        "dog is a key object: named by 2 of 2, subject of 2; 2 instances, area 0.20, centrality 1.00, score 0.89",
        "cup is left out, it covers too little: named by 1 of 2, subject of 0; 1 instance, area 0.01, "
        "centrality 0.58, score 0.28",
        "bed is left out, no caption names it: named by 0 of 2, subject of 0; 1 instance, area 0.30, "
        "centrality 0.58, score 0.17",
    ]


def test_a_line_says_that_the_largest_alone_is_taken():
    (dog,) = decision_record(decided("A dog.", "dog .3 middle, 2 dog .1 left"))["candidates"]
    assert "subject of 1; the largest of 3 instances, area 0.30" in dog["says"]


def test_a_line_is_plain_json():
    line = decision_line(decided("A dog.", "crowd dog .1 middle"))
    assert "\n" not in line
    assert json.loads(line) == {
        "image_id": "42",
        "reason": "crowd",
        "says": "Left out: its captions are about a crowd.",
        "key_objects": [],
        "num_captions": 1,
        "candidates": [
            {
                "category": "dog",
                "is_key": False,
                "reason": "crowd",
                "says": "dog is left out, it is annotated as a crowd: named by 1 of 1, subject of 1; 1 instance with a "
                "crowd, area 0.10, centrality 1.00, score 0.86",
                "score": 0.8632,
                "named_share": 1.0,
                "subject_share": 1.0,
                "area_share": 0.1,
                "centrality": 1.0,
                "num_instances": 1,
                "has_crowd": True,
                "instance_ids": ["dog-1"],
                "single_share": 1.0,
                "next_area_share": 0.0,
            }
        ],
    }


def test_other_scripts_stay_readable():
    assert "\u732b" in decision_line(decided("\u732b", "\u732b .1 middle"))


def test_reasons_are_short_machine_words_with_a_meaning():
    for word, meaning in (*REASONS.items(), *PICTURE_REASONS.items()):
        assert word.replace("_", "").isalpha()
        assert word == word.lower()
        assert meaning
