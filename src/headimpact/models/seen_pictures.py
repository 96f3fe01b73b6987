"""A vision tower runs once for the same pictures, where responses have to run with them in passes of their own."""

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.loading import LoadedModel


@contextlib.contextmanager
def pictures_seen_once(loaded: LoadedModel) -> Iterator[None]:
    """Give again what the tower made of the last pictures, for as long as a pass brings just these.

    What goes in is compared number by number, so another picture, or the same beside others, is seen anew.

    Args:
        loaded: The model; it is left as it was.

    Yields:
        Nothing.

    Raises:
        UnsupportedModelError: If the model has no module of the family's name.
    """
    owner, name = _tower_call(loaded)
    original, before = getattr(owner, name), vars(owner).get(name)
    last: tuple[Any, Any] | None = None

    @functools.wraps(original)
    def remembered(*args: Any, **kwargs: Any) -> Any:
        nonlocal last
        if last is None or not _are_same(last[0], (args, kwargs)):
            last = ((args, kwargs), original(*args, **kwargs))
        return last[1]

    vars(owner)[name] = remembered
    try:
        yield
    finally:
        if before is None:
            del vars(owner)[name]
        else:
            vars(owner)[name] = before


def _tower_call(loaded: LoadedModel) -> tuple[nn.Module, str]:
    """Find what the model's forward pass calls with pictures.

    Raises:
        UnsupportedModelError: If there is no such module or method.
    """
    backbone = loaded.family.backbone(loaded.model)
    path, _, name = loaded.family.tower_call.rpartition(".")
    try:
        owner = backbone.get_submodule(path)
    except AttributeError:
        owner = None
    if owner is None or not callable(getattr(owner, name, None)):
        raise UnsupportedModelError(
            f"{type(backbone).__name__} has no {loaded.family.tower_call!r}, which family {loaded.family.model_type!r} "
            "names as what sees the pictures. Use a transformers version that the family was tested with."
        )
    return owner, name


def _are_same(one: Any, other: Any) -> bool:
    """Compare arguments, tensors by their numbers."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        alike = (one.shape, one.dtype, one.device) == (other.shape, other.dtype, other.device)
        return alike and torch.equal(one, other)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(_are_same(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_are_same(one[key], other[key]) for key in one)
    return type(one) is type(other) and bool(one == other)
