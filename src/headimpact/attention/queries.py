"""Which positions look: from response spans to the rows of the attention matrix."""

from collections.abc import Sequence

import torch

from headimpact.core.errors import OptionError
from headimpact.core.registry import unknown_name_message

CONVENTIONS = ("predicting", "at")
"""The row that predicts a response token (what generation sees), or the row at the token itself."""


def response_rows(spans: Sequence[tuple[int, int]], convention: str = "predicting") -> list[torch.Tensor]:
    """Give the query positions of each batch row's response.

        tokens        ...  :   a   red  circle  </s>       span = the three words
        predicting         ^   ^    ^                      each row predicts the next token
        at                     ^    ^     ^                each row belongs to the token

    Args:
        spans: First and one-past-last position of each response, padding counted.
        convention: One of `CONVENTIONS`.

    Returns:
        Positions, one tensor per batch row, as many as the response has tokens.

    Raises:
        OptionError: If the convention is unknown, a span is empty, or nothing precedes a response that rows
            are to predict.

    Example:
        >>> response_rows([(3, 6)])
        [tensor([2, 3, 4])]
        >>> response_rows([(3, 6)], "at")
        [tensor([3, 4, 5])]
    """
    if convention not in CONVENTIONS:
        raise OptionError(unknown_name_message("row convention", convention, CONVENTIONS))
    shift = int(convention == "predicting")
    for row, (start, end) in enumerate(spans):
        if end <= start:
            raise OptionError(f"Row {row} has no response: span ({start}, {end}). Expected at least one token.")
        if start < shift:
            raise OptionError(f"Nothing precedes the response of row {row}; use the convention 'at'.")
    return [torch.arange(start - shift, end - shift) for start, end in spans]
