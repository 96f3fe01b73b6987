"""A few rules of English: where a caption's subject ends, and what it says is not there.

No parser: a caption is split into words, and closed lists (`word_lists`) tell where the noun phrase before the
first verb or preposition ends. The rules, each with what it is for:

- a preposition, a form of "to be" or a word such as "that" ends it, but not with a hyphen ("a walk-in") and not
  behind an article ("the inside of");
- "of" ends it unless the noun before it is looked through ("a group of people", "the front of a bus");
- "rides" ends it behind a singular, "ride" behind a plural or an "and" ("a train and people ride");
- a word in -ing ends it unless it is an adjective ("a smiling woman"), one in -ed only before a function word
  ("a parked car", but "a car parked on");
- what comes before the first noun is looked through ("there is a picture of two");
- a sentence that begins with a preposition or a participle has its subject behind the comma, or behind "there" or
  a form of "to be" ("on the table is a cake").
"""

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from headimpact.data.build import word_lists as lists

_SIGNS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_TOKEN = re.compile(rf"[{_SIGNS}]|[^\W_{_SIGNS}]+(?:'t\b)?|'s\b|(?<=[^\W_])-(?=[^\W_])|[.,;:!?()/'\u3002\uff0c\u2013-]")
_SENTENCE_ENDS = frozenset(".!?;\u3002")
_PUNCTUATION = frozenset(".,;:!?()/'-\u3002\uff0c\u2013")
_DASH = re.compile(r"(?<!\w)-+|-+(?!\w)")
_HAVING = frozenset({"have", "has", "had", "contain", "show", "include"})
_NO = lists.NEGATORS - {"without"}
_ENDERS = lists.BEING | lists.LINKS | lists.PAST_VERBS
_MAY_END = _ENDERS | lists.PREPOSITIONS | lists.BASE_VERBS | lists.THIRD_PERSON_VERBS | lists.PARTICIPLES | {"of", "'s"}
"""Words that can end a noun phrase, beside those in -ing and -ed."""
_ONLY_OPENERS = frozenset(word for word in lists.OPENERS - _MAY_END if not word.endswith(("ing", "ed")))
"""Words that can begin a subject and can end none."""
_COLLECTIVES = frozenset({"couple", "family", "team", "group", "crowd", "pair", "herd", "flock"})


@dataclass(frozen=True)
class Words:
    """A caption in words.

    Attributes:
        tokens: Words in lower case and punctuation marks, in order; "'s" stands alone.
        joined: Places of the words that a hyphen joins to the next.
    """

    tokens: Sequence[str]
    joined: Collection[int] = frozenset()

    def at(self, place: int) -> str:
        """Give the token at a place, and a full stop before the first and behind the last."""
        if place < 0:
            return "."
        try:
            return self.tokens[place]
        except IndexError:
            return "."


def split_words(text: str) -> Words:
    """Split a text into words.

    Chinese and Japanese signs are a word each, so that a name is found without blanks around it.

    Example:
        >>> split_words("The man's hot-dog.").tokens
        ['the', 'man', "'s", 'hot', 'dog', '.']
        >>> split_words("\u72d7 und Stra\u00dfe").tokens
        ['\u72d7', 'und', 'strasse']
    """
    plain = text.lower() if text.isascii() else unicodedata.normalize("NFC", text).casefold().replace("\u2019", "'")
    if "-" not in plain:
        return Words(_TOKEN.findall(plain))
    tokens: list[str] = []
    joined: set[int] = set()
    for token in _TOKEN.findall(_DASH.sub(" , ", plain)):
        if token == "-":
            joined.add(len(tokens) - 1)
        else:
            tokens.append(token)
    return Words(tokens, joined)


def subject_places(words: Words, *, skip: Collection[int] = ()) -> set[int]:
    """Find the places that lie in the subject of a sentence.

    Args:
        words: A caption.
        skip: Places inside names of several words, which end nothing.

    Returns:
        Places before the first verb or preposition of each sentence, as the module says.

    Example:
        >>> words = split_words("There is a dog and a cat on the mat.")
        >>> [words.tokens[place] for place in sorted(subject_places(words))]
        ['there', 'is', 'a', 'dog', 'and', 'a', 'cat']
    """
    places: set[int] = set()
    state = "start"
    for place, token in enumerate(words.tokens):
        if token in _SENTENCE_ENDS:
            state = "start"
            continue
        if state == "behind":
            continue
        if place not in skip:
            state = _next_state(state, words, place)
        elif state == "start":
            state = "subject"
        if state in {"start", "subject"} and token not in _PUNCTUATION:
            places.add(place)
    return places


def negated_places(words: Words) -> set[int]:
    """Find the places of what a caption says is not there.

    From a negator ("no", "without", "isn't") to the next verb, preposition or full stop; a comma or an "and"
    ends it where an article follows: "no cars and people", but "no cars and a dog".

    Example:
        >>> words = split_words("A street without cars or people at night")
        >>> [words.tokens[place] for place in sorted(negated_places(words))]
        ['cars', 'or', 'people']
    """
    if lists.NEGATORS.isdisjoint(words.tokens):
        return set()
    places: set[int] = set()
    is_open = False
    for place, token in enumerate(words.tokens):
        if token in lists.NEGATORS:
            is_open = words.at(place + 1) != "only"
        elif is_open:
            is_open = token in _HAVING or token == "or" or not (_ends_negation(words, place) or breaks(words, place))
            if is_open:
                places.add(place)
    return places


def breaks(words: Words, place: int) -> bool:
    """Tell whether the word at a place ends a noun phrase that came before it.

    Example:
        >>> [breaks(split_words("a parked car parked on the street"), place) for place in range(5)]
        [False, False, False, True, True]
    """
    token = words.at(place)
    if token not in _MAY_END and not token.endswith(("ing", "ed")):
        return False
    if token in _ENDERS:
        return True
    before, after = words.at(place - 1), words.at(place + 1)
    if token in lists.PREPOSITIONS:
        return not (_is_joined(words, place) or before in lists.DETERMINERS or {before, after} & {"close", "pick"})
    if token == "of":
        return before not in lists.TRANSPARENT_NOUNS
    if token == "'s":
        return is_function_word(after) or after.endswith("ing")
    return _is_finite(words, place) or is_participle(words, place)


def is_participle(words: Words, place: int) -> bool:
    """Tell whether the word at a place is a participle that ends a noun phrase, not an adjective before a noun."""
    token = words.at(place)
    if token in lists.PARTICIPLES or (token.endswith("ed") and len(token) > 4 and token not in lists.PLAIN_ED):
        return token not in lists.ADJECTIVES and _leads_on(words, place)
    if token.endswith("ing") and len(token) > 4 and token not in lists.PLAIN_ING:
        before = words.at(place - 1)
        return _leads_on(words, place) or not (_is_modifier(before) or before in _PUNCTUATION)
    return False


def is_function_word(token: str) -> bool:
    """Tell whether a token is no content word: an article, preposition, adverb in -ly, punctuation mark."""
    return token in lists.FUNCTION_WORDS or token in _PUNCTUATION or token.endswith("ly") or token.isdigit()


def looks_plural(token: str) -> bool:
    """Tell whether a noun looks like a plural."""
    return token in lists.PLURALS or (token.endswith("s") and not token.endswith(("ss", "us", "'s")))


def speaks_of_one(words: Words, start: int, end: int) -> bool:
    """Tell whether a name, at the places from `start` to before `end`, stands for one thing.

    A plural, a collective ("a couple") and a name after a number do not. A name that is its own plural ("sheep") does
    where "a" or "one" stands before it.

    Example:
        >>> words = split_words("A man with two dogs and a black sheep near sheep")
        >>> [speaks_of_one(words, place, place + 1) for place in (1, 4, 8, 10)]
        [True, False, True, False]
    """
    token = words.at(end - 1)
    if token in lists.INVARIABLE:
        before = start - 1
        while words.at(before) in lists.ADJECTIVES:
            before -= 1
        return words.at(before) in {"a", "an", "one", "another", "this", "that"}
    if looks_plural(token) or token in lists.COLLECTIVE_NAMES:
        return False
    return words.at(start - 1) not in lists.MANY


def _leads_on(words: Words, place: int) -> bool:
    """Tell whether a function word other than "of" follows the word at a place."""
    after = words.at(place + 1)
    return after != "of" and is_function_word(after)


def _next_state(state: str, words: Words, place: int) -> str:
    """Give the state behind a word: "start" before the first noun, "subject", "behind" it, or "fronted"."""
    token = words.at(place)
    if state == "start":
        return _leave_start(words, place)
    if state == "fronted":
        opens = token in {",", "there", "is", "are", "was", "were", "sits", "sit", "stands", "stand", "lies", "hangs"}
        return "start" if opens else "fronted"
    if state == "subject" and breaks(words, place):
        return "behind"
    return state


def _leave_start(words: Words, place: int) -> str:
    """Give the state behind a word at which no noun has been seen yet."""
    token = words.at(place)
    if token in _ONLY_OPENERS:
        return "start"
    is_first = words.at(place - 1) in _SENTENCE_ENDS
    if is_first and (token in lists.PREPOSITIONS or is_participle(words, place)):
        return "start" if {token, words.at(place + 1)} == {"up", "close"} else "fronted"
    if token in lists.OPENERS or token in _PUNCTUATION or token.isdigit() or token in _NO:
        return "start"
    return "behind" if breaks(words, place) else "subject"


def _is_finite(words: Words, place: int) -> bool:
    """Tell whether a word is a verb in the present that agrees with the noun before it."""
    token, before = words.at(place), words.at(place - 1)
    if token in lists.BASE_VERBS:
        return looks_plural(before) or before in _COLLECTIVES or _is_coordinated(words, place)
    if token in lists.THIRD_PERSON_VERBS:
        return not (looks_plural(before) or _is_modifier(before) or before in _PUNCTUATION)
    return False


def _is_modifier(token: str) -> bool:
    """Tell whether a token stands before a noun: an article, number, adjective or adverb."""
    return token in lists.DETERMINERS or token in lists.ADJECTIVES or token.endswith("ly") or token.isdigit()


def _is_coordinated(words: Words, place: int) -> bool:
    """Tell whether an "and" that joins nouns, not colours, stands before a place."""
    return any(words.at(i) == "and" and words.at(i - 1) not in lists.ADJECTIVES for i in range(place))


def _is_joined(words: Words, place: int) -> bool:
    """Tell whether a hyphen joins a word to one of its neighbours."""
    return place in words.joined or place - 1 in words.joined


def _ends_negation(words: Words, place: int) -> bool:
    """Tell whether a token ends what is negated: a full stop, or a comma or "and" before an article."""
    token = words.at(place)
    if token in {"and", ","}:
        return words.at(place + 1) in lists.DETERMINERS
    return token in _PUNCTUATION
