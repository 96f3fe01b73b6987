"""Which words of a response name the key object, which are other nouns, and which are function words. English."""

import re
from collections.abc import Sequence

from headimpact.data.build import word_lists as lists
from headimpact.data.build.grammar import Words, is_participle
from headimpact.data.synonyms import named_places

KINDS = ("key_words", "other_nouns", "function_words")
"""Words that name a key object; other nouns; articles, prepositions, pronouns, forms of "be" and the like."""

OBJECT_KINDS = ("own_object", "other_objects")
"""Words that name one of several key objects, held against that object's mask alone and against the others'."""

_TOKEN = re.compile(r"[^\W_]+(?:'t\b)?|'s\b|[.,;:!?()/'-]")
_VERBS = lists.BASE_VERBS | lists.THIRD_PERSON_VERBS | lists.PAST_VERBS

Span = tuple[int, int, str]
"""First and one-past-last character, and the kind."""


def word_kinds(text: str, names: Sequence[Sequence[str]]) -> list[Span]:
    """Find the words of each kind.

    A noun is what is left of the words when function words, adjectives and verbs are taken away by the word lists that
    read COCO's captions (`build/word_lists.py`): an adjective or a verb that is in no list counts as a noun.

    Args:
        text: A response, in English.
        names: For each key object the words that count as naming it, as `KeyObject.names`.

    Returns:
        Spans in the order of the text; words of no kind are left out.

    Example:
        >>> text = "A small dog eats the grass."
        >>> [(text[start:end], kind) for start, end, kind in word_kinds(text, [("dog", "puppy")])]
        [('A', 'function_words'), ('dog', 'key_words'), ('the', 'function_words'), ('grass', 'other_nouns')]
    """
    key = [place for one in names for place in named_places(text, one)]
    found = list(_TOKEN.finditer(text))
    words = Words([match.group().lower() for match in found])
    spans: list[Span] = []
    for place, match in enumerate(found):
        start, end = match.span()
        if any(start < stop and first < end for first, stop in key):
            spans.append((start, end, "key_words"))
        elif words.at(place) in lists.FUNCTION_WORDS:
            spans.append((start, end, "function_words"))
        elif _is_noun(words, place):
            spans.append((start, end, "other_nouns"))
    return spans


def object_words(text: str, names: Sequence[Sequence[str]]) -> list[list[tuple[int, int]]]:
    """Find the words that name one key object and no other: two dogs cannot be told apart by "dog".

    Args:
        text: A response, in English.
        names: For each key object the words that count as naming it, as `KeyObject.names`.

    Returns:
        For each key object first and one-past-last character of each place that names it.

    Example:
        >>> object_words("A dog by a person, a man.", [("dog",), ("person", "man"), ("man", "person")])
        [[(2, 5)], [], []]
    """
    places = [named_places(text, one) for one in names]
    others = [
        [place for other in (*places[:number], *places[number + 1 :]) for place in other]
        for number in range(len(places))
    ]
    return [
        [(start, end) for start, end in own if not any(start < stop and first < end for first, stop in taken)]
        for own, taken in zip(places, others, strict=True)
    ]


def _is_noun(words: Words, place: int) -> bool:
    """Tell whether a word is none of those that are known not to be nouns."""
    token = words.at(place)
    is_other = token in lists.ADJECTIVES or token in _VERBS or token.endswith("ly") or is_participle(words, place)
    return token.isalpha() and not is_other
