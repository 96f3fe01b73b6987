"""Order and shape of captions."""

import sys

import pytest

from headimpact.data.build.descriptions import clean_caption, order_descriptions
from tests.unit.data.build.makers import FINDER


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("A dog.", "A dog.", id="sound"),
        pytest.param("  a dog \n on\ta mat ", "A dog on a mat.", id="blanks"),
        pytest.param("A dog\x00\x1b.", "A dog.", id="control-characters"),
        pytest.param("A dog .", "A dog.", id="blank-before-full-stop"),
        pytest.param("A dog , a cat", "A dog, a cat.", id="blank-before-comma"),
        pytest.param("About .5 inches", "About .5 inches.", id="number-with-a-leading-point"),
        pytest.param("A DOG WATCHES TV", "A dog watches TV.", id="capitals"),
        pytest.param("TV", "TV.", id="one-word-in-capitals"),
        pytest.param("THE STOP sign", "THE STOP sign.", id="some-capitals-stay"),
        pytest.param("a dog,", "A dog.", id="comma-at-the-end"),
        pytest.param("a dog -", "A dog.", id="dash-at-the-end"),
        pytest.param("a dog..", "A dog.", id="two-full-stops"),
        pytest.param("a dog...", "A dog...", id="ellipsis"),
        pytest.param("a dog!", "A dog!", id="exclamation"),
        pytest.param("is it a dog?", "Is it a dog?", id="question"),
        pytest.param('a sign says "stop"', 'A sign says "stop".', id="quote"),
        pytest.param('a sign says "stop."', 'A sign says "stop."', id="quote-with-its-full-stop"),
        pytest.param("a dog (brown)", "A dog (brown).", id="bracket"),
        pytest.param('"stop" on a sign', '"Stop" on a sign.', id="opening-quote"),
        pytest.param("iPhone on a desk", "iPhone on a desk.", id="capital-inside"),
        pytest.param("3 dogs", "3 dogs.", id="number-first"),
        pytest.param("\u00e9l\u00e9phant", "\u00c9l\u00e9phant.", id="accent"),
        pytest.param("\u732b\u304c\u3044\u308b", "\u732b\u304c\u3044\u308b\u3002", id="japanese"),
        pytest.param("\u732b\u304c\u3044\u308b\u3002", "\u732b\u304c\u3044\u308b\u3002", id="japanese-ended"),
        pytest.param("...", "", id="no-letter"),
        pytest.param(" \n", "", id="blank"),
        pytest.param("", "", id="empty"),
    ],
)
def test_cleaning(text, expected):
    assert clean_caption(text) == expected
    assert clean_caption(expected) == expected


@pytest.mark.parametrize(
    "end", ["", ".", "..", "...", "....", " .", ",.", ".,", ' "', '."', '".', ")..", " - ", ":", "_"]
)
@pytest.mark.parametrize("start", ["", " ", "'", '("', "- ", "\u2014"])
def test_cleaning_twice_changes_nothing_more(start, end):
    once = clean_caption(f"{start}a dog{end}")
    assert clean_caption(once) == once
    assert "dog" in once


def test_every_kind_of_blank_is_one_blank():
    blanks = [blank for blank in map(chr, range(sys.maxunicode + 1)) if blank.isspace()]
    assert len(blanks) > 20
    assert all(clean_caption(f"{blank}a{blank} {blank}dog{blank}") == "A dog." for blank in blanks)


def test_order_by_hand():
    captions = ["A mat", "a mat with a dog", "A dog barks", "a cat with a dog", "The puppy", "A dog and a cat"]
    ordered = order_descriptions(captions, ["dog", "cat"], FINDER)
    assert [one.original for one in ordered] == [
        "A dog and a cat", "a cat with a dog", "A dog barks", "The puppy", "a mat with a dog", "A mat",
    ]  # fmt: skip
    assert ordered[1].text == "A cat with a dog."
    assert (ordered[1].named, ordered[1].subjects) == (("dog", "cat"), ("cat",))
    assert (ordered[-1].named, ordered[-1].subjects) == ((), ())


def test_order_is_stable_and_empty_ones_go():
    captions = ["B dog", "", "a dog", "...", "C dog"]
    assert [one.original for one in order_descriptions(captions, ["dog"], FINDER)] == ["B dog", "a dog", "C dog"]
    assert [one.text for one in order_descriptions(["b", "a"], [], FINDER)] == ["B.", "A."]
    assert order_descriptions([], ["dog"], FINDER) == ()


def test_captions_that_are_clean_already_are_taken_as_they_are():
    captions = ["B dog ", "a CAT", "the dog,"]
    cleaned = [clean_caption(caption) for caption in captions]
    expected = order_descriptions(captions, ["dog"], FINDER)
    assert order_descriptions(captions, ["dog"], FINDER, cleaned=cleaned) == expected
    assert [one.text for one in order_descriptions(["x"], [], FINDER, cleaned=["Y."])] == ["Y."]
