"""Words by kind: key words, other nouns, function words."""

import pytest

from headimpact.data.synonyms import category_names
from headimpact.data.word_kinds import KINDS, word_kinds

CASES = {
    "plain": ("A small dog eats the grass.", ["dog"], "dog", "grass", "A the"),
    "synonym and plural": ("Two puppies on a bed", ["dog"], "puppies", "bed", "Two on a"),
    "several words": ("A red fire hydrant near a car", ["fire hydrant"], "fire hydrant", "car", "A near a"),
    "false friend": ("A hot dog and a dog", ["dog"], "dog", "dog", "A and a"),
    "two key objects": ("A man is riding a horse", ["person", "horse"], "man horse", "", "A is a"),
    "not named": ("The sky is blue", ["dog"], "", "sky", "The is"),
    "empty": ("", ["dog"], "", "", ""),
}


@pytest.mark.parametrize(("text", "categories", "key", "nouns", "function"), CASES.values(), ids=CASES)
def test_kinds(text, categories, key, nouns, function):
    spans = word_kinds(text, [category_names(category) for category in categories])
    found = {kind: " ".join(text[start:end] for start, end, one in spans if one == kind) for kind in KINDS}
    assert found == dict(zip(KINDS, (key, nouns, function), strict=True))
    assert spans == sorted(spans)
