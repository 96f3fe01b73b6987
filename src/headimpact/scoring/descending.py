"""Attention from the highest down; on a CPU NumPy sorts, whose vector instructions take a tenth of torch's time."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def descending(rows: Float[Tensor, "rows image_tokens"]) -> Float[Tensor, "rows image_tokens"]:
    """Sort every head's attention.

    Args:
        rows: Attention of some heads, without NaN.

    Returns:
        The same numbers, the highest first.

    Example:
        >>> descending(torch.tensor([[0.2, 0.5, 0.3]])).tolist()
        [[0.5, 0.30000001192092896, 0.20000000298023224]]
    """
    if rows.device.type != "cpu":
        return rows.sort(dim=1, descending=True).values
    return torch.from_numpy(np.sort(-rows.numpy(), axis=1)).neg_()


def descending_order(rows: Float[Tensor, "rows image_tokens"]) -> Int[Tensor, "rows image_tokens"]:
    """Give the places of every head's attention from the highest to the lowest.

    Args:
        rows: Attention of some heads, without NaN.

    Returns:
        Token numbers; equal attention in any order.

    Example:
        >>> descending_order(torch.tensor([[0.2, 0.5, 0.3]])).tolist()
        [[1, 2, 0]]
    """
    if rows.device.type != "cpu":
        return rows.argsort(dim=1, descending=True)
    return torch.from_numpy(np.argsort(-rows.numpy(), axis=1))
