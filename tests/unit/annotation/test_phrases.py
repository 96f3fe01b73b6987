"""The phrase rule, case by case; what it cannot know is here too, so that a change of the rule shows."""

import pytest

from headimpact.annotation.phrases import MAX_WORDS, Phrase, find_phrases
from tests.builders import shared_data

CASES = {
    "adjectives stay": ("a small brown dog on a red sofa", ["small brown dog", "red sofa"]),
    "one word": ("Dogs", ["dogs"]),
    "two nouns": ("A street sign next to a traffic light.", ["street sign", "traffic light"]),
    "conjunction": ("a dog and a cat or two birds", ["dog", "cat", "birds"]),
    "list with commas": ("plates, cups, cookies and forks", ["plates", "cups", "cookies", "forks"]),
    "several sentences": ("A man stands. A woman sits!", ["man", "woman"]),
    "numbers are left out": ("two dogs and 3 cats", ["dogs", "cats"]),
    "each text once": ("a dog near a dog", ["dog"]),
    "upper case": ("THERE ARE TWO PEOPLE ON THE BEACH", ["people", "beach"]),
    "possessive": ("A man's hat on his head", ["man's hat", "head"]),
    "hyphens": ("a t-shirt and blue-green jeans", ["t-shirt", "blue-green jeans"]),
    "verb in -ing after a noun": ("a dog running in the park", ["dog", "park"]),
    "verb in -ing after and": ("a man sitting and reading a book", ["man", "book"]),
    "verb in -ing after an auxiliary": ("people are eating pizza", ["people", "pizza"]),
    "word in -ing before a noun": ("a sleeping cat in running shoes", ["sleeping cat", "running shoes"]),
    "noun in -ing": ("a dining table in a tall building", ["dining table", "tall building"]),
    "word in -ed after a noun": ("a table covered with food", ["table", "food"]),
    "word in -ed before a noun": ("a parked car and a striped cat", ["parked car", "striped cat"]),
    "irregular participle": ("a man dressed up on a frozen lake", ["man", "frozen lake"]),
    "verb in -s": ("a dog jumps over a bench and sits in the grass", ["dog", "bench", "grass"]),
    "verb after a plural": ("kids play in the snow", ["kids", "snow"]),
    "infinitive": ("a boy about to catch ball", ["boy", "ball"]),
    "unknown verb before an article": ("a man repairs a bike", ["man", "bike"]),
    "verb after a pronoun": ("a dog that runs", ["dog"]),
    "adjective alone": ("the sky is blue", ["sky"]),
    "adjective that is a noun": ("a street light, but the room is light", ["street light", "room"]),
    "two colours": ("a black and white striped cat", ["black and white striped cat"]),
    "adverb before a participle": ("a brightly colored umbrella", ["colored umbrella"]),
    "quantity": ("a large group of people and a slice of pizza", ["people", "pizza"]),
    "vessel": ("a cup of coffee", ["cup", "coffee"]),
    "place": ("a sofa on the left side of the room", ["sofa", "room"]),
    "place after a noun": ("a church on a mountain top", ["church", "mountain top"]),
    "the picture itself": ("a close up photo of a cat", ["cat"]),
    "long phrase keeps its noun": (
        "a tall old large heavy wooden grandfather clock",
        ["large heavy wooden grandfather clock"],
    ),
    "curly apostrophe": ("a man\N{RIGHT SINGLE QUOTATION MARK}s hat", ["man's hat"]),
    "blanks": ("  a \n small\tdog ", ["small dog"]),
    "nothing": ("", []),
    "marks only": (" ... !", []),
    "no object": ("It is very nice there.", []),
    "known limit: rare verb before a preposition": ("a man begs for cash", ["man begs", "cash"]),
    "known limit: another language": ("eine Katze auf dem Sofa", ["eine katze auf dem sofa"]),
}


@pytest.mark.parametrize(("caption", "expected"), CASES.values(), ids=CASES)
def test_phrases(caption, expected):
    assert [phrase.text for phrase in find_phrases(caption)] == expected


def test_spans_are_places_in_the_caption():
    assert find_phrases("A  Small  dog, on THE sofa.") == (Phrase("small dog", 3, 13), Phrase("sofa", 22, 26))


def test_a_repeated_phrase_keeps_its_first_place():
    assert find_phrases("dog, dog") == (Phrase("dog", 0, 3),)


@pytest.fixture(scope="module")
def real_captions():
    import json

    content = json.loads((shared_data("coco_mini") / "captions.json").read_text(encoding="utf-8"))
    return [annotation["caption"] for annotation in content["annotations"]]


def test_real_captions_give_words_of_their_own(real_captions):
    for caption in real_captions:
        for phrase in find_phrases(caption):
            assert " ".join(caption[phrase.start : phrase.end].lower().split()) == phrase.text
            assert not set(phrase.text) & set(".?,!")
            assert 1 <= len(phrase.text.split()) <= MAX_WORDS


def test_almost_every_real_caption_names_something(real_captions):
    empty = [caption for caption in real_captions if not find_phrases(caption)]
    assert len(empty) <= 0.02 * len(real_captions), empty
