"""Words for a category in a question: article, plural, and "is" or "are"."""

from headimpact.data.synonyms import plural

_SPOKEN = {"tv": "TV", "mouse": "computer mouse", "remote": "remote control"}
_PAIRS = frozenset({"skis", "scissors"})
_MASSES = frozenset({"broccoli"})
_SAID_WITH_A = ("uni", "use", "eu", "one", "ukulele")
_SAID_WITH_AN = ("hour", "honest", "heir")


def spoken_name(category: str) -> str:
    """Give the word for a category as a question says it.

    Example:
        >>> spoken_name("tv"), spoken_name("traffic_light")
        ('TV', 'traffic light')
    """
    return _SPOKEN.get(category, category.replace("_", " "))


def with_article(category: str) -> str:
    """Give a category with its indefinite article; without one where it has none.

    Example:
        >>> [with_article(category) for category in ("dog", "umbrella", "skis", "broccoli", "unicycle")]
        ['a dog', 'an umbrella', 'skis', 'broccoli', 'a unicycle']
    """
    name = spoken_name(category)
    if category in _PAIRS | _MASSES:
        return name
    return f"{'an' if _begins_with_vowel(name) else 'a'} {name}"


def ask_presence(category: str) -> str:
    """Give the words that ask whether a category is there; they depend on the category alone, not on how many.

    Example:
        >>> [ask_presence(category) for category in ("apple", "skis", "broccoli")]
        ['Is there an apple', 'Are there any skis', 'Is there any broccoli']
    """
    if category in _PAIRS:
        return f"Are there any {spoken_name(category)}"
    if category in _MASSES:
        return f"Is there any {spoken_name(category)}"
    return f"Is there {with_article(category)}"


def be(category: str) -> str:
    """Give the form of "to be" that goes with one of a category."""
    return "are" if category in _PAIRS else "is"


def plural_name(category: str) -> str:
    """Give the plural of a category's spoken name."""
    return plural(spoken_name(category))


def _begins_with_vowel(name: str) -> bool:
    """Tell whether a name is spoken with a vowel first, by its letters and a few exceptions."""
    lower = name.lower()
    if lower.startswith(_SAID_WITH_AN):
        return True
    return lower[:1] in set("aeiou") and not lower.startswith(_SAID_WITH_A)
