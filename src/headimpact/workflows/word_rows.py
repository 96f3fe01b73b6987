"""Which tokens of a response belong to words of which kind: rows that are captured apart."""

from collections.abc import Mapping, Sequence
from typing import Any

from headimpact.data.word_kinds import Span, object_words, word_kinds

RowKinds = Mapping[str, Sequence[int]]
"""Kind to the numbers of the response's tokens, counted from its first."""


def rows_by_kind(tokenizer: Any, ids: Sequence[int], names: Sequence[Sequence[str]]) -> RowKinds:
    """Sort a response's tokens by the kind of the word that they are a part of.

    What each token adds to the text is found by decoding one token more at a time, so any tokenizer will do. A token of
    two words counts for the first.

    Args:
        tokenizer: The processor's tokenizer.
        ids: The response's tokens.
        names: For each key object the words that name it.

    Returns:
        Token numbers by kind; kinds without any are left out.
    """
    text, tokens = _token_spans(tokenizer, ids)
    return _rows_of(tokens, word_kinds(text, names))


def rows_by_object(tokenizer: Any, ids: Sequence[int], names: Sequence[Sequence[str]]) -> RowKinds:
    """Find the tokens of a response that name one of several key objects and no other.

    Args:
        tokenizer: The processor's tokenizer.
        ids: The response's tokens.
        names: For each key object the words that name it.

    Returns:
        Token numbers by key object, `object_row(0)` for the first; those that are not named are left out, and so are
        all where there is one key object.
    """
    if len(names) < 2:
        return {}
    text, tokens = _token_spans(tokenizer, ids)
    named = enumerate(object_words(text, names))
    return _rows_of(tokens, [(start, end, object_row(number)) for number, spans in named for start, end in spans])


def object_row(number: int) -> str:
    """Name the rows of words that name a key object."""
    return f"object_{number}"


def _token_spans(tokenizer: Any, ids: Sequence[int]) -> tuple[str, list[tuple[int, int]]]:
    """Give a response's text, and what each token adds to it."""
    ends = [len(_decode(tokenizer, ids[: count + 1])) for count in range(len(ids))]
    return _decode(tokenizer, ids), list(zip([0, *ends], ends, strict=False))


def _rows_of(tokens: Sequence[tuple[int, int]], spans: Sequence[Span]) -> RowKinds:
    """Give each token the kind of the first span that it touches."""
    found: dict[str, list[int]] = {}
    for number, (start, end) in enumerate(tokens):
        kind = next((kind for first, stop, kind in spans if start < stop and first < end), None)
        if kind is not None:
            found.setdefault(kind, []).append(number)
    return found


def _decode(tokenizer: Any, ids: Sequence[int]) -> str:
    """Turn tokens into text as it is."""
    return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))
