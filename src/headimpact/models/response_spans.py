"""Finds a response's tokens inside a tokenised chat, or refuses."""

import dataclasses
import functools
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int

from headimpact.core.errors import DataFormatError

IGNORED_LABEL = -100
"""Label of positions that the loss leaves out, as in torch and transformers."""


@dataclasses.dataclass(frozen=True)
class ResponseSpan:
    """Where a response is in its row.

    Attributes:
        start: First token of the answer text.
        end: One past its last token.
        stop: One past the token that ends the answer; what a model learns to write is `start` to `stop`.
    """

    start: int
    end: int
    stop: int


def find_response_span(
    tokenizer: Any,
    ids: Int[torch.Tensor, " keys"],
    offsets: Int[torch.Tensor, "keys 2"],
    *,
    response: str,
    tail: str,
) -> ResponseSpan:
    """Find the tokens of the answer's text.

    Image tokens make the tokenised text longer than the one we know, but only before the response, so its
    characters are counted from the end:

        ... <image><image> Describe it. Assistant:  a red circle </s>
                                                  | response    | tail |
                                                                       end of the last token

    What was found is then read back and compared, so a tokenizer whose offsets mean something else is
    refused, never trusted.

    Args:
        tokenizer: The processor's tokenizer.
        ids: One row's token ids, padding included.
        offsets: First and one-past-last character of each token, 0 and 0 for padding.
        response: The response's text; empty gives an empty span at the row's end.
        tail: The text after it.

    Returns:
        The span in the row, padding counted.

    Raises:
        DataFormatError: If the response holds a special token, or its tokens cannot be told from those around.
    """
    starts, ends = offsets.cpu().numpy().T
    row = ids.cpu().numpy()
    if not response:
        last = int(np.flatnonzero(ends > 0).max()) + 1
        return ResponseSpan(last, last, last)
    last_character = int(ends.max()) - len(tail)
    first_character = last_character - len(response)
    inside = np.flatnonzero((starts < last_character) & (ends > first_character) & (ends > starts))
    if len(inside) == 0:
        raise DataFormatError(_not_found(response, ""))
    start, end = int(inside[0]), int(inside[-1]) + 1
    special = np.isin(row, special_ids(tokenizer))
    if special[start:end].any():
        raise DataFormatError(
            f"Response holds a special token of the model: {response[:60]!r}. Remove it from the text; it would be "
            "read as a command, not as words."
        )
    found = tokenizer.decode(row[start:end], clean_up_tokenization_spaces=False)
    if _squeezed(found) not in {_squeezed(response), _squeezed(_round_trip(tokenizer, response))}:
        raise DataFormatError(_not_found(response, found))
    return ResponseSpan(start, end, _stop(special, end, response))


@functools.lru_cache(maxsize=8)
def special_ids(tokenizer: Any) -> tuple[int, ...]:
    """List the special tokens, those too that chat templates write and the tokenizer has no role for.

    Gemma's `<end_of_turn>` is one; the end token is another one there.

    Args:
        tokenizer: The processor's tokenizer.
    """
    added = tokenizer.added_tokens_decoder
    return (*tokenizer.all_special_ids, *(index for index, token in added.items() if token.special))


def _stop(special: Bool[np.ndarray, " keys"], end: int, response: str) -> int:
    """Give one past the first special token after the answer.

    Raises:
        DataFormatError: If there is none.
    """
    following = np.flatnonzero(special[end:])
    if len(following) == 0:
        raise DataFormatError(
            f"Response has no end: no special token follows {response[:60]!r}. Expected the chat template or the "
            "tokenizer's eos_token to give one."
        )
    return end + int(following[0]) + 1


def _round_trip(tokenizer: Any, text: str) -> str:
    """Give what is left of a text after encoding and decoding."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))


def _squeezed(text: str) -> str:
    """Make every run of white space one space."""
    return " ".join(text.split())


def _not_found(response: str, found: str) -> str:
    """Say that the tokens could not be placed."""
    return (
        f"Response cannot be told from the template around it: expected the tokens of {response[:60]!r}, found "
        f"{found[:60]!r}. Use a checkpoint whose tokenizer gives character offsets."
    )
