"""Which tokens of a response belong to words of which kind: rows that are captured apart."""

from collections.abc import Mapping, Sequence
from typing import Any

from headimpact.data.word_kinds import word_kinds

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
    ends = [len(_decode(tokenizer, ids[: count + 1])) for count in range(len(ids))]
    text = _decode(tokenizer, ids)
    spans = word_kinds(text, names)
    found: dict[str, list[int]] = {}
    for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        kind = next((kind for first, stop, kind in spans if start < stop and first < end), None)
        if kind is not None:
            found.setdefault(kind, []).append(number)
    return found


def _decode(tokenizer: Any, ids: Sequence[int]) -> str:
    """Turn tokens into text as it is."""
    return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))
