"""Noun phrases of a caption, as what to look for in its picture; a small rule for English, no language model.

In: a caption. Out: `Phrase`s with their place in it. Words decide by lists (`phrase_words`) and endings, so the same
caption always gives the same phrases; what the rule does not know, such as a rare verb before a preposition or another
language, gives a phrase too many or one that is too long, which a detector then does not find.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from headimpact.annotation.phrase_words import (
    ADVERBS,
    ALSO_NOUNS,
    ARTICLES,
    BREAKERS,
    LY_WORDS,
    MODIFIERS,
    NOUNS_IN_ING,
    OPENERS,
    PARTICIPLES,
    PICTURE_WORDS,
    PLACES,
    PLURALS,
    QUANTITIES,
    VERBS,
    WORDS_IN_ED,
)

MAX_WORDS = 5
"""Longest phrase; a longer one keeps its last words, where the noun is."""

_APOSTROPHES = "'\N{RIGHT SINGLE QUOTATION MARK}"
_WORD = re.compile(rf"[^\W_]+(?:[{_APOSTROPHES}-][^\W_]+)*")


@dataclass(frozen=True)
class Phrase:
    """A noun phrase and where it stands.

    Attributes:
        text: The phrase in lower case, one blank between words.
        start: Place of its first character in the caption.
        end: Place after its last character.
    """

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class _Word:
    """A word of a caption, in lower case, with its place and whether anything but blanks stands before it."""

    text: str
    start: int
    end: int
    after_mark: bool


@dataclass
class _Chunk:
    """Words that may be one noun phrase, with what stands around them."""

    opened: bool
    words: list[_Word] = field(default_factory=list)
    follower: str = ""

    @property
    def has_noun(self) -> bool:
        """Whether a word can be what the chunk is about, so that a verb may follow."""
        return _have_noun(self.words)


def find_phrases(caption: str) -> tuple[Phrase, ...]:
    """Find the noun phrases of an English caption.

    The caption is cut at marks and at words that are in no noun phrase: articles, prepositions, conjunctions,
    pronouns, auxiliaries, adverbs and verbs. A word in -ing is a verb after a noun, a conjunction or an auxiliary
    ("dog running", "and riding") and describes what follows after an article or a preposition ("a sleeping cat"). A
    word in -ed ends a phrase after a noun. The word before an article is a verb ("man repairs a bike"). Then words
    that cannot end a noun phrase are taken off its end; what remains is dropped if it names a place ("the left"), a
    quantity ("a group of") or the picture ("a photo of"). Two colours joined by "and" stay together.

    Args:
        caption: One or more sentences.

    Returns:
        The phrases in their order, each text once; none where the caption names nothing.

    Example:
        >>> [phrase.text for phrase in find_phrases("A small brown dog sleeping on a red sofa.")]
        ['small brown dog', 'red sofa']
    """
    found: dict[str, Phrase] = {}
    for chunk in _split_chunks(_words(caption)):
        kept = _trim(chunk)
        if kept:
            text = " ".join(word.text for word in kept)
            found.setdefault(text, Phrase(text, kept[0].start, kept[-1].end))
    return tuple(found.values())


def _words(caption: str) -> list[_Word]:
    """List the words of a caption."""
    words: list[_Word] = []
    end = 0
    for match in _WORD.finditer(caption):
        marked = bool(words) and not caption[end : match.start()].isspace()
        text = match.group().lower().replace(_APOSTROPHES[1], "'")
        words.append(_Word(text, match.start(), match.end(), marked))
        end = match.end()
    return words


def _split_chunks(words: Sequence[_Word]) -> Iterator[_Chunk]:
    """Cut a caption at marks and at words that are in no noun phrase.

    Yields:
        What lies between, empty or not.
    """
    chunk = _Chunk(opened=True)
    for index, word in enumerate(words):
        if word.after_mark:
            yield chunk
            chunk = _Chunk(opened=False)
        following = words[index + 1] if index + 1 < len(words) and not words[index + 1].after_mark else None
        kind = _kind(word.text, chunk, following.text if following else "")
        if kind == "part":
            chunk.words.append(word)
            continue
        chunk.follower = word.text
        opened = kind == "opener" or (kind == "adverb" and chunk.opened and not chunk.words)
        yield chunk
        chunk = _Chunk(opened=opened)
    yield chunk


def _kind(text: str, chunk: _Chunk, following: str) -> str:
    """Say what a word does: part of the chunk, or ends it as an opener, a breaker or an adverb."""
    if text in OPENERS or text.isdigit():
        return "opener"
    if text == "and" and chunk.words and {chunk.words[-1].text, following} <= MODIFIERS:
        return "part"
    if text in BREAKERS:
        return "breaker"
    if text in ADVERBS or (text.endswith("ly") and text not in LY_WORDS):
        return "adverb"
    return "breaker" if _is_verb(text, chunk) else "part"


def _is_verb(text: str, chunk: _Chunk) -> bool:
    """Say whether a word is a verb where it stands."""
    if _ends_in_ing(text):
        return chunk.has_noun or not chunk.opened
    if _is_past(text):
        return chunk.has_noun
    if _base_form(text) in VERBS and text not in VERBS:
        return chunk.has_noun or not (chunk.words or chunk.opened)
    if text in VERBS:
        return _is_plural(chunk.words[-1].text) if chunk.words else not chunk.opened
    return False


def _ends_in_ing(text: str) -> bool:
    """Say whether a word is a form in -ing of a verb."""
    return len(text) >= 5 and text.endswith("ing") and text not in NOUNS_IN_ING


def _is_past(text: str) -> bool:
    """Say whether a word is a past form of a verb."""
    regular = len(text) >= 5 and text.endswith("ed") and not text.endswith("eed") and text not in WORDS_IN_ED
    return regular or text in PARTICIPLES


def _base_form(text: str) -> str:
    """Take the ending of the third person off a verb: "flies" gives "fly", "catches" gives "catch"."""
    if text.endswith("ies") and text[:-3] + "y" in VERBS:
        return text[:-3] + "y"
    if text.endswith("es") and text[:-2] in VERBS:
        return text[:-2]
    return text.removesuffix("s")


def _have_noun(words: Sequence[_Word]) -> bool:
    """Say whether any of the words can be a noun."""
    return any(word.text not in MODIFIERS | {"and"} for word in words)


def _is_plural(text: str) -> bool:
    """Say whether a noun looks like a plural."""
    return text in PLURALS or (text.endswith("s") and not text.endswith(("ss", "us", "is")))


def _trim(chunk: _Chunk) -> list[_Word]:
    """Keep the words of a chunk that are a noun phrase; none if it names no object."""
    words = list(chunk.words)
    if words and chunk.follower in ARTICLES and (_have_noun(words[:-1]) or not chunk.opened):
        words.pop()
    while words and _cannot_end(words[-1].text) and not _names(words, chunk):
        words.pop()
    while words and words[0].text == "and":
        words.pop(0)
    if not words:
        return []
    head = words[-1].text
    is_quantity = head in QUANTITIES and chunk.follower == "of"
    is_place = head in PLACES and all(word.text in MODIFIERS | PLACES for word in words[:-1])
    return [] if is_quantity or is_place or head in PICTURE_WORDS else words[-MAX_WORDS:]


def _names(words: Sequence[_Word], chunk: _Chunk) -> bool:
    """Say whether an adjective that ends a chunk is its noun: "a street light", but not "is light"."""
    whole = words[-1] is chunk.words[-1]
    return whole and words[-1].text in ALSO_NOUNS and (len(words) > 1 or chunk.opened)


def _cannot_end(text: str) -> bool:
    """Say whether no noun phrase ends in this word."""
    return text in MODIFIERS or text == "and" or _ends_in_ing(text) or _is_past(text)
