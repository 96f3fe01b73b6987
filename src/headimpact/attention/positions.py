"""Which queries and keys of an attention call are meant, where positions are given per batch row, padding counted."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from headimpact.attention.interception import AttentionCall
from headimpact.core.errors import OptionError, UnsupportedModelError

ImageMask = Bool[Tensor, "batch keys"]
"""Which keys are image tokens, per batch row."""


def check_positions(keys: Sequence[Tensor], queries: Sequence[Tensor] | None) -> None:
    """Refuse positions that belong to different batches or leave a batch row without queries.

    Args:
        keys: Key positions per batch row.
        queries: Query positions per batch row, or None for all.

    Raises:
        OptionError: If they do.
    """
    if queries is None:
        return
    if len(queries) != len(keys):
        raise OptionError(
            f"Queries and keys belong to different batches: {len(queries)} and {len(keys)} rows; expected as many as "
            "the batch has."
        )
    for row, positions in enumerate(queries):
        if len(positions) == 0:
            raise OptionError(f"No query positions in batch row {row}. Leave the row out of the batch.")


def image_mask(call: AttentionCall, keys: Sequence[Tensor]) -> ImageMask:
    """Mark image tokens among the keys of a call.

    Args:
        call: An attention call.
        keys: Key positions per batch row.

    Raises:
        OptionError: If the call has another batch or fewer keys.
        UnsupportedModelError: If a sliding cache may have dropped keys, so that positions count from elsewhere.
    """
    num_queries, num_keys = call.query.shape[2], call.key.shape[2]
    window = call.options.get("sliding_window")
    if window is not None and window <= num_keys != num_queries:
        raise UnsupportedModelError(
            f"Image tokens cannot be told in a sliding cache: a window of {window} keys, and {num_keys} keys for "
            f"{num_queries} new ones, so the first may have been dropped. Run whole sequences, without a cache."
        )
    _check_fit("keys", keys, batch=call.key.shape[0], length=num_keys)
    is_image = torch.zeros(call.key.shape[0], num_keys, dtype=torch.bool)
    for row, positions in enumerate(keys):
        is_image[row, positions.cpu()] = True
    return is_image.to(call.key.device)


def query_positions(call: AttentionCall, queries: Sequence[Tensor] | None) -> Int[Tensor, "batch queries"]:
    """Give the query positions of a call that are meant, ragged lists filled up with their last entry.

    Args:
        call: An attention call.
        queries: Query positions per batch row, or None for all.

    Returns:
        Positions, on the call's device.

    Raises:
        OptionError: If the call has another batch or fewer queries.
    """
    batch, _, num_queries, _ = call.query.shape
    if queries is None:
        return torch.arange(num_queries, device=call.query.device).expand(batch, -1)
    _check_fit("queries", queries, batch=batch, length=num_queries)
    length = max(len(row) for row in queries)
    filled = [torch.cat([row, row[-1:].expand(length - len(row))]) for row in queries]
    return torch.stack(filled).long().to(call.query.device)


def _check_fit(name: str, positions: Sequence[Tensor], *, batch: int, length: int) -> None:
    """Refuse positions of another batch, or outside the sequence.

    Raises:
        OptionError: If they are.
    """
    reach = [int(bound) for row in positions if len(row) for bound in row.aminmax()]
    if len(positions) != batch or any(not 0 <= bound < length for bound in reach):
        raise OptionError(
            f"Positions do not fit the sequence: {len(positions)} rows of {name}, from {min(reach, default=0)} to "
            f"{max(reach, default=0)}; the model ran on {batch} rows of {length} {name}. Pass positions with padding "
            "counted, one list per batch row."
        )
