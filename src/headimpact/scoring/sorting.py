"""Sorting along the last axis; on a CPU NumPy does it, which uses vector instructions where torch does not."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def ascending(values: Float[Tensor, "*rows places"]) -> Float[Tensor, "*rows places"]:
    """Sort from the lowest to the highest.

    Args:
        values: Numbers without NaN.

    Returns:
        The same numbers in order, as a new tensor.

    Example:
        >>> ascending(torch.tensor([[2.0, 5.0, 3.0]])).tolist()
        [[2.0, 3.0, 5.0]]
    """
    if values.device.type != "cpu":
        return values.sort(dim=-1).values
    return torch.from_numpy(np.sort(values.numpy(), axis=-1))


def ascending_order(values: Float[Tensor, "*rows places"]) -> Int[Tensor, "*rows places"]:
    """Give the places of the numbers from the lowest to the highest.

    Args:
        values: Numbers without NaN.

    Returns:
        Places along the last axis; equal numbers in any order.

    Example:
        >>> ascending_order(torch.tensor([[2.0, 5.0, 3.0]])).tolist()
        [[0, 2, 1]]
    """
    if values.device.type != "cpu":
        return values.argsort(dim=-1)
    return torch.from_numpy(np.argsort(values.numpy(), axis=-1))


def descending(values: Float[Tensor, "*rows places"]) -> Float[Tensor, "*rows places"]:
    """Sort from the highest to the lowest, as `ascending` does the other way."""
    return ascending(-values).neg_()


def descending_order(values: Float[Tensor, "*rows places"]) -> Int[Tensor, "*rows places"]:
    """Give the places of the numbers from the highest to the lowest, as `ascending_order` does the other way."""
    return ascending_order(-values)
