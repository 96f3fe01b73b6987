"""Put a picture's captions in order and in shape: what names the key objects comes first, originals are kept."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from headimpact.data.build.mentions import MentionFinder
from headimpact.data.texts import clean_text

_ACRONYMS = frozenset({"tv", "suv", "rv", "atv", "bmx", "usa", "nyc", "uk", "dvd", "cd", "pc", "lcd", "i"})
_ENDS = (".", "!", "?", "\u2026", "\u3002", "\uff01", "\uff1f")
_CLOSING = "\"')]\u201d\u2019\u00bb"
_OPENING = "\"'([\u201c\u2018\u00ab"
_SIGN = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
_WORD = re.compile(r"[^\W_]+")
_BLANK_BEFORE_STOP = re.compile(r" +([.,])(?!\d)")
_TWO_STOPS = re.compile(rf"(?<!\.)\.\.(?=[{re.escape(_CLOSING)} ]*$)")


@dataclass(frozen=True)
class Description:
    """A caption that may serve as a reference.

    Attributes:
        text: The caption, cleaned.
        original: As it was given.
        named: Key objects that it names, in the order in which they were asked for.
        subjects: Those of them that are its subject.
    """

    text: str
    original: str
    named: tuple[str, ...]
    subjects: tuple[str, ...]


def order_descriptions(
    captions: Sequence[str],
    key_categories: Sequence[str],
    finder: MentionFinder,
    *,
    cleaned: Sequence[str] | None = None,
) -> tuple[Description, ...]:
    """Order captions by what they say of the key objects, and clean them.

    Those that name more key objects come first; of these, those that have more of them as their subject. Otherwise
    the order stays. Captions without a letter or digit are left out.

    Args:
        captions: Captions of a picture.
        key_categories: Categories of its key objects.
        finder: Finds the mentions.
        cleaned: The same captions cleaned, where that is done already.

    Returns:
        The descriptions, the one to use where only one is wanted first.

    Example:
        >>> from headimpact.data.build.mentions import build_mention_finder
        >>> found = order_descriptions(["a lawn", "a man and  his dog ", "A dog runs"], ["dog"],
        ...                            build_mention_finder(["person", "dog"]))
        >>> [one.text for one in found]
        ['A man and his dog.', 'A dog runs.', 'A lawn.']
    """
    texts = [clean_caption(caption) for caption in captions] if cleaned is None else cleaned
    described = [
        _describe(text, original, key_categories, finder) for text, original in zip(texts, captions, strict=True)
    ]
    return tuple(sorted((one for one in described if one.text), key=lambda one: (-len(one.named), -len(one.subjects))))


def clean_caption(text: str) -> str:
    """Give a caption the shape of a sentence.

    Control characters and stray blanks go, also those before a full stop or comma. A text of several words in
    capitals alone is written small, a few acronyms apart; names in it lose their capital. The first letter becomes
    a capital unless its word has one inside ("iPhone"). A missing full stop is set, in place of a comma, colon or
    dash; "!" and "?" stay. Cleaning twice changes nothing more.

    Args:
        text: A caption.

    Returns:
        The sentence; empty if the text has no letter or digit.

    Example:
        >>> clean_caption("  A MAN WATCHING TV ,")
        'A man watching TV.'
        >>> clean_caption('a sign says "stop"')
        'A sign says "stop".'
    """
    plain = " ".join(clean_text(text).split())
    if not _WORD.search(plain):
        return ""
    plain = _BLANK_BEFORE_STOP.sub(r"\1", plain)
    if plain.isupper() and len(_WORD.findall(plain)) > 1:
        plain = _WORD.sub(lambda match: _small(match.group()), plain)
    return _end_sentence(_capitalise(plain))


def _describe(text: str, original: str, key_categories: Collection[str], finder: MentionFinder) -> Description:
    """Note what a cleaned caption says of the key objects."""
    said = finder.read(text)
    named = tuple(category for category in dict.fromkeys(key_categories) if category in said)
    subjects = tuple(category for category in named if said[category].role == "subject")
    return Description(text=text, original=original, named=named, subjects=subjects)


def _small(word: str) -> str:
    """Write a word small unless it is an acronym."""
    return word if word.lower() in _ACRONYMS else word.lower()


def _capitalise(text: str) -> str:
    """Make the first letter a capital, behind opening quotes, unless its word has a capital inside."""
    start = len(text) - len(text.lstrip(_OPENING + " "))
    word = _WORD.match(text, start)
    if word is None or word.group() != word.group().lower():
        return text
    capital = text[start].upper()
    return f"{text[:start]}{capital if len(capital) == 1 else text[start]}{text[start + 1 :]}"


def _end_sentence(text: str) -> str:
    """End a text with a full stop, in place of what cannot end it."""
    bare = text.rstrip(_CLOSING + " ")
    if bare.endswith(_ENDS):
        return _TWO_STOPS.sub(".", text)
    if bare == text:
        text = text.rstrip(" ,;:-\u2013\u2014_")
    if text.endswith(_ENDS):
        return text
    return f"{text}\u3002" if _SIGN.match(text[-1]) else f"{text}."
