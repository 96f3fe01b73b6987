"""Where a subject ends, and what is negated."""

import pytest

from headimpact.data.build import grammar
from headimpact.data.build.grammar import (
    breaks,
    is_function_word,
    looks_plural,
    negated_places,
    speaks_of_one,
    split_words,
    subject_places,
)
from tests.unit.data.build.makers import random_captions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("A man's dog.", "a|man|'s|dog|.", id="possessive"),
        pytest.param("The man\u2019s dog \u2013 big", "the|man|'s|dog|\u2013|big", id="curly"),
        pytest.param("isn't it", "isn't|it", id="not"),
        pytest.param("hot-dog stop_sign", "hot|dog|stop|sign", id="joined"),
        pytest.param("a dog - brown", "a|dog|,|brown", id="dash"),
        pytest.param('says "stop"', "says|stop", id="quotes-go"),
        pytest.param("\u767d\u3044\u732b\u3002", "\u767d|\u3044|\u732b|\u3002", id="signs"),
        pytest.param("Stra\u00dfe CAFE\u0301", "strasse|caf\u00e9", id="folded"),
        pytest.param("", "", id="empty"),
    ],
)
def test_words(text, expected):
    assert "|".join(split_words(text).tokens) == expected


def test_hyphens_are_noted():
    assert split_words("a cat-like well-fed-dog").joined == {1, 3, 4}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a dog on a mat", "a dog", id="preposition"),
        pytest.param("a dog sits", "a dog", id="third-person"),
        pytest.param("dogs sit", "dogs", id="plural-verb"),
        pytest.param("a fruit stand here", "a fruit stand here", id="noun-like-a-verb"),
        pytest.param("two rides", "two rides", id="plural-like-a-verb"),
        pytest.param("a tall building", "a tall building", id="noun-in-ing"),
        pytest.param("a cute dog smiling", "a cute dog", id="ing-at-the-end"),
        pytest.param("a brightly colored bird", "a brightly colored bird", id="adverb"),
        pytest.param("a set of knives", "a set of knives", id="set-of"),
        pytest.param("a table set for two", "a table", id="set-for"),
        pytest.param("a bowl of soup", "a bowl of soup", id="container"),
        pytest.param("a painting of soup", "a painting", id="depiction"),
        pytest.param("a black and white face clock", "a black and white face clock", id="and-of-colours"),
        pytest.param("in a room, a dog", "a dog", id="fronted"),
        pytest.param("in a room a dog", "", id="fronted-without-a-comma"),
    ],
)
def test_subject(text, expected):
    words = split_words(text)
    assert " ".join(words.tokens[place] for place in sorted(subject_places(words))) == expected


def test_what_is_skipped_ends_nothing():
    words = split_words("a stuffed on bear")
    assert subject_places(words, skip={1, 2, 3}) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a dog", "", id="none"),
        pytest.param("no dog on a mat", "dog", id="preposition-ends"),
        pytest.param("no dog, cat or bird", "dog , cat or bird", id="list"),
        pytest.param("no dog, a cat", "dog", id="comma-and-article-end"),
        pytest.param("no dog and cat", "dog and cat", id="and-goes-on"),
        pytest.param("no dog but a cat", "dog", id="but-ends"),
        pytest.param("not only a dog", "", id="not-only"),
        pytest.param("no dog. a cat", "dog", id="sentence-ends"),
        pytest.param("neither a dog nor a cat", "a dog a cat", id="neither-nor"),
    ],
)
def test_negation(text, expected):
    words = split_words(text)
    assert " ".join(words.tokens[place] for place in sorted(negated_places(words))) == expected


def test_small_questions():
    assert [word for word in ("dogs", "people", "bus", "glass", "dog") if looks_plural(word)] == ["dogs", "people"]
    assert [word for word in ("the", "slowly", "3", ",", "dog") if is_function_word(word)] == [
        "the",
        "slowly",
        "3",
        ",",
    ]
    assert not breaks(split_words("the inside of"), 1)


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        pytest.param("a dog", "dog", True, id="singular"),
        pytest.param("dog on mat", "dog", True, id="no-article"),
        pytest.param("dogs", "dogs", False, id="plural"),
        pytest.param("three men", "men", False, id="irregular"),
        pytest.param("several person", "person", False, id="a-slip"),
        pytest.param("a couple", "couple", False, id="collective"),
        pytest.param("a bus", "bus", True, id="ends-in-s"),
        pytest.param("a big white sheep", "sheep", True, id="one-sheep"),
        pytest.param("white sheep", "sheep", False, id="sheep"),
    ],
)
def test_one_or_several(text, name, expected):
    words = split_words(text)
    place = list(words.tokens).index(name)
    assert speaks_of_one(words, place, place + 1) is expected


class Everything:
    """Holds whatever is asked for."""

    def __contains__(self, thing: object) -> bool:
        return True


def test_words_that_are_passed_over_would_end_and_begin_nothing(monkeypatch):
    captions = [split_words(caption) for caption in random_captions(3000)]
    quick = [
        (subject_places(words), negated_places(words), [breaks(words, place) for place in range(len(words.tokens))])
        for words in captions
    ]
    assert {True, False} == {broken for _, _, found in quick for broken in found}
    monkeypatch.setattr(grammar, "_MAY_END", Everything())  # every rule is asked about every word
    monkeypatch.setattr(grammar, "_ONLY_OPENERS", frozenset())
    for words, found in zip(captions, quick, strict=True):
        slow = [breaks(words, place) for place in range(len(words.tokens))]
        assert (subject_places(words), negated_places(words), slow) == found, words.tokens
