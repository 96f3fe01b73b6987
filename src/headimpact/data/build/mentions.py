"""Find in a caption which categories it names, and whether each is its subject or named in passing.

A name is a category's word, a synonym or a plural (`headimpact.data.synonyms`). It is a mention unless:

- it lies inside a longer name or phrase for something else: "hot dog", "teddy bear", "bus stop";
- it stands in the singular before a noun that makes something else of it, another category's name or one of
  `word_lists.COMPOUND_HEADS`: "dog bed", "horse trailer", "pizza oven", "cat shaped"; or a hyphen joins it to the
  next word ("cat-like"), unless that is a participle ("horse-drawn");
- it is an adjective or a verb: "an orange cat", "a male lion", "a man skis";
- the caption says that it is not there: "no people", "without a car".

The subject is what lies before the first verb or preposition (`grammar`); a possessor ("the man's hat") and what only
pulls or is ridden ("a horse drawn carriage", "motorcycle riders") are named in passing. Of several sentences only the
first that has a subject gives one.

Known limits: a toy or a picture of an object counts as the object; so does a part ("the giraffe's neck", in
passing); a list without commas ("a dog cat and bird") loses its first members; roles follow English words, so in
another language they mean little, and names are found in the written form and with an English plural only.
"""

import itertools
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from headimpact.data.build import word_lists as lists
from headimpact.data.build.grammar import (
    Words,
    breaks,
    is_function_word,
    is_participle,
    looks_plural,
    negated_places,
    speaks_of_one,
    split_words,
    subject_places,
)
from headimpact.data.synonyms import FALSE_FRIENDS, SYNONYMS, plural

Role = Literal["subject", "passing"]
REMEMBERED = 4096
"""Captions of which is kept what they say, the last ones: those of a picture are asked for again and again."""


@dataclass(frozen=True)
class Mention:
    """One place where a caption names a category.

    Attributes:
        category: The category.
        words: The name, in lower case.
        role: "subject" of the caption, or named in "passing".
        is_one: Whether it speaks of one.
    """

    category: str
    words: str
    role: Role
    is_one: bool = True


class Said(NamedTuple):
    """What a caption says of a category: as what it is named, and whether as one."""

    role: Role
    is_one: bool


class _Phrase(NamedTuple):
    """Words in a row: what they name, what of that is looked for, and for which categories they are a false friend."""

    words: tuple[str, ...]
    names: frozenset[str]
    wanted: tuple[str, ...]
    friend_of: frozenset[str]
    is_singular: bool


class _Hit(NamedTuple):
    """A name found at places `start` to `end`."""

    start: int
    end: int
    phrase: _Phrase


@dataclass(frozen=True)
class MentionFinder:
    """Finds the mentions of a fixed list of categories; made by `build_mention_finder`.

    Attributes:
        categories: The categories looked for.
        unknown: Those that are in no table: they have only their plain name with its English plural. Say so.
        phrases: First word to the phrases that begin with it, longest first.
    """

    categories: tuple[str, ...]
    unknown: tuple[str, ...]
    phrases: Mapping[str, tuple[_Phrase, ...]]
    _known: OrderedDict[str, dict[str, "Said"]] = field(
        default_factory=OrderedDict, init=False, repr=False, compare=False
    )

    def find(self, caption: str) -> tuple[Mention, ...]:
        """Find the mentions of a caption, in order.

        Args:
            caption: One caption, of one or more sentences.

        Returns:
            A mention for every place; a category may come several times.

        Example:
            >>> finder = build_mention_finder(["person", "dog", "hot dog", "bench"])
            >>> [(one.category, one.role) for one in finder.find("A woman and her dog sit on a bench.")]
            [('person', 'subject'), ('dog', 'subject'), ('bench', 'passing')]
            >>> [one.words for one in finder.find("Two hot dogs without a bench.")]
            ['hot dogs']
        """
        return tuple(
            Mention(category, " ".join(hit.phrase.words), said.role, said.is_one)
            for category, hit, said in self._hear(caption)
        )

    def roles(self, caption: str) -> dict[str, Role]:
        """Give each category that a caption names, with its role; the subject outweighs a passing mention.

        Example:
            >>> build_mention_finder(["dog"]).roles("A dog looks at a dog.")
            {'dog': 'subject'}
        """
        return {category: said.role for category, said in self.read(caption).items()}

    def read(self, caption: str) -> Mapping[str, "Said"]:
        """Give what a caption says of each category that it names.

        It speaks of one where it names it once and in the singular.

        Example:
            >>> build_mention_finder(["person", "dog"]).read("A man and a woman with a dog.")["person"]
            Said(role='subject', is_one=False)
        """
        if caption not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known.popitem(last=False)
            found: dict[str, Said] = {}
            for category, _, said in self._hear(caption):
                before = found.get(category)
                role = before.role if before and before.role == "subject" else said.role
                found[category] = Said(role, said.is_one and before is None)
            self._known[caption] = found
        return self._known[caption]

    def _hear(self, caption: str) -> Iterator[tuple[str, _Hit, Said]]:
        """Find the mentions of a caption.

        Yields:
            Category, place, and what is said of it there.
        """
        words = split_words(caption)
        hits, friends = self._match(words)
        if not hits:
            return
        kept = _keep_mentions(words, hits)
        subjects = _subject_starts(words, kept)
        for hit in kept:
            said = Said("subject" if hit.start in subjects else "passing", speaks_of_one(words, hit.start, hit.end))
            for category in hit.phrase.wanted:
                if not any(category in names and first <= hit.start < last for first, last, names in friends):
                    yield category, hit, said

    def _match(self, words: Words) -> tuple[list[_Hit], list[tuple[int, int, frozenset[str]]]]:
        """Find the longest names from left to right, and the false friends."""
        hits: list[_Hit] = []
        friends: list[tuple[int, int, frozenset[str]]] = []
        tokens, free_from = tuple(words.tokens), 0
        for start, token in enumerate(tokens):
            if token not in self.phrases:
                continue
            for phrase in self.phrases[token]:
                end = start + len(phrase.words)
                if tokens[start:end] != phrase.words:
                    continue
                if phrase.friend_of:
                    friends.append((start, end, phrase.friend_of))
                if phrase.names and start >= free_from:
                    hits.append(_Hit(start, end, phrase))
                    free_from = end
        return hits, friends


def build_mention_finder(
    categories: Iterable[str], *, names: Mapping[str, Sequence[str]] | None = None
) -> MentionFinder:
    """Make a finder of some categories.

    Names of all of COCO's categories stand in the way, wanted or not: in a data set of dogs alone "a hot dog"
    is none either. Where none of the categories is COCO's, only the data set's own names do.

    Args:
        categories: Categories of the data set; repeats count once.
        names: Further words that count as naming a category; their plurals are added.

    Returns:
        The finder; its `unknown` lists the categories that have no synonyms.

    Example:
        >>> build_mention_finder(["dog", "Hund"]).unknown
        ('Hund',)
    """
    wanted = tuple(dict.fromkeys(categories))
    known = [category for category in wanted if _table_key(category) in SYNONYMS]
    own = {_table_key(category) for category in known}
    others = [category for category in SYNONYMS if known and category not in own]
    named: dict[tuple[str, ...], set[str]] = defaultdict(set)
    friend_of: dict[tuple[str, ...], set[str]] = defaultdict(set)
    singular: set[tuple[str, ...]] = set()
    for category in (*wanted, *others):
        listed = (category, *SYNONYMS.get(_table_key(category), ()), *(names or {}).get(category, ()))
        single = [name for name in listed if _tokens(name)]
        singular.update(map(_tokens, single))
        for name in (*single, *map(plural, single)):
            named[_tokens(name)].add(category)
        for phrase in FALSE_FRIENDS.get(_table_key(category), ()):
            for form in (phrase, plural(phrase)):
                friend_of[_tokens(form)].add(category)
    index: dict[str, list[_Phrase]] = defaultdict(list)
    for words in sorted(named.keys() | friend_of.keys(), key=lambda words: (-len(words), words)):
        meant, friends = frozenset(named[words]), frozenset(friend_of[words])
        index[words[0]].append(_Phrase(words, meant, tuple(sorted(meant & {*wanted})), friends, words in singular))
    unknown = tuple(category for category in wanted if category not in known)
    return MentionFinder(wanted, unknown, {first: tuple(phrases) for first, phrases in index.items()})


def _table_key(category: str) -> str:
    """Give a category as COCO's table writes it."""
    return category.lower().replace("_", " ")


def _tokens(name: str) -> tuple[str, ...]:
    """Split a name as captions are split."""
    return tuple(split_words(name).tokens)


def _keep_mentions(words: Words, hits: Sequence[_Hit]) -> list[_Hit]:
    """Leave out names that are modifiers, adjectives, verbs or negated."""
    negated = negated_places(words)
    starts = {hit.start: hit for hit in hits}
    kept: list[_Hit] = []
    for hit in hits:
        is_verb = _is_verb(words, hit, kept[-1] if kept else None)
        if not (is_verb or hit.start in negated or _is_modifier(words, hit, starts) or _is_adjective(words, hit)):
            kept.append(hit)
    return kept


def _is_verb(words: Words, hit: _Hit, before: _Hit | None) -> bool:
    """Tell whether a name follows a person directly and is what that person does."""
    follows = before is not None and before.end == hit.start and "person" in before.phrase.names
    return follows and words.at(hit.start) in lists.VERB_NAMES


def _is_modifier(words: Words, hit: _Hit, starts: Mapping[int, _Hit]) -> bool:
    """Tell whether a name makes a compound with what follows, which is something else."""
    after = words.at(hit.end)
    if hit.end - 1 in words.joined:
        return after in lists.COMPOUND_HEADS or not (after.endswith(("ing", "ed")) or after in lists.DRAWN)
    if not hit.phrase.is_singular or after in lists.RIDERS:
        return False
    following = starts.get(hit.end)
    if following is None:
        heads = {after, after.removesuffix("s"), after.removesuffix("es")} & lists.COMPOUND_HEADS
        return bool(heads) and not breaks(words, hit.end)
    is_verb = after in lists.VERB_NAMES and "person" in hit.phrase.names
    is_object_of_verb = words.at(following.end).endswith("ing") or words.at(following.end) == "back"
    return not (is_verb or is_object_of_verb or following.phrase.names & hit.phrase.names)


def _is_adjective(words: Words, hit: _Hit) -> bool:
    """Tell whether a name that may be an adjective is one: a noun follows, or it says what something is like."""
    token, before, after = words.at(hit.start), words.at(hit.start - 1), words.at(hit.end)
    if hit.end - hit.start > 1 or token not in lists.ADJECTIVE_NAMES:
        return False
    if token in {"orange", "male", "female"} and (
        before in lists.BEING or before in {"in", "wearing", "bright", "painted"}
    ):
        return True
    if after in {"and", ",", "or"}:
        return words.at(hit.end + 1) in lists.ADJECTIVES
    return not (is_function_word(after) or after in lists.PIECES or breaks(words, hit.end))


def _subject_starts(words: Words, hits: Sequence[_Hit]) -> set[int]:
    """Find the names that are the subject: in the subject of the first sentence that has one there."""
    inner = {place for hit in hits if hit.end - hit.start > 1 for place in range(hit.start, hit.end)}
    places = subject_places(words, skip=inner)
    behind_another = {
        hit.start
        for before, hit in itertools.pairwise(hits)
        if before.end == hit.start and not before.phrase.names & hit.phrase.names and not _is_rider(words, hit)
    }  # "a man horse riding"
    starts = [hit.start for hit in hits if hit.start in places - behind_another and not _is_in_passing(words, hit)]
    if len(starts) < 2:
        return set(starts)
    end = next((place for place in range(starts[0], len(words.tokens)) if words.tokens[place] in {".", "!", "?"}), None)
    return {start for start in starts if end is None or start < end}


def _is_rider(words: Words, hit: _Hit) -> bool:
    """Tell whether a name says who rides what comes before it."""
    return words.at(hit.start) in lists.RIDERS


def _is_in_passing(words: Words, hit: _Hit) -> bool:
    """Tell whether a name is a possessor, or only pulls or is ridden."""
    after, then = words.at(hit.end), words.at(hit.end + 1)
    if after in lists.RIDERS or hit.end - 1 in words.joined:
        return True
    if after in lists.DRAWN:
        return not is_function_word(then)
    if after == "'":
        return looks_plural(words.at(hit.end - 1))
    return after == "'s" and not (is_function_word(then) or is_participle(words, hit.end + 1))
