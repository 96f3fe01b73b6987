"""Articles, plurals and verbs in questions."""

import pytest

from headimpact.data.build.wording import ask_presence, be, plural_name, spoken_name, with_article
from headimpact.data.synonyms import SYNONYMS


@pytest.mark.parametrize(
    ("category", "expected"),
    [
        ("dog", "a dog"), ("apple", "an apple"), ("umbrella", "an umbrella"), ("oven", "an oven"), ("tv", "a TV"),
        ("skis", "skis"), ("scissors", "scissors"), ("broccoli", "broccoli"), ("unicycle", "a unicycle"),
        ("hourglass", "an hourglass"), ("traffic_light", "a traffic light"), ("mouse", "a computer mouse"),
    ],
)  # fmt: skip
def test_articles(category, expected):
    assert with_article(category) == expected


def test_an_stands_before_the_right_coco_categories():
    with_an = {category for category in SYNONYMS if with_article(category).startswith("an ")}
    assert with_an == {"airplane", "elephant", "umbrella", "apple", "orange", "oven"}


def test_presence():
    assert ask_presence("dog") == "Is there a dog"
    assert ask_presence("scissors") == "Are there any scissors"
    assert ask_presence("broccoli") == "Is there any broccoli"


def test_plurals_and_verbs():
    assert [plural_name(one) for one in ("person", "knife", "tv", "mouse", "bus")] == [
        "people", "knives", "TVs", "computer mice", "buses",
    ]  # fmt: skip
    assert (be("skis"), be("dog"), spoken_name("hot dog")) == ("are", "is", "hot dog")
