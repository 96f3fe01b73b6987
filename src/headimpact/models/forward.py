"""Runs a model's backbone, to the end or only as far as somebody looks."""

from collections.abc import Mapping
from typing import Any

from torch import nn
from transformers import Cache

from headimpact.models.loading import LoadedModel


class _FarEnoughError(Exception):
    """Ends a forward pass behind the last module that matters."""


def run_backbone(
    loaded: LoadedModel, inputs: Mapping[str, Any], *, stop_after: nn.Module | None = None, cache: Cache | None = None
) -> Any:
    """Run the model without logits.

    Args:
        loaded: The model.
        inputs: Keyword arguments of its backbone.
        stop_after: Leave the rest out once this module has run; None runs to the end.
        cache: Keys and values to continue from, and to add to; None keeps none.

    Returns:
        The backbone's output, or None where it was stopped.
    """
    backbone = loaded.family.backbone(loaded.model)
    keeping = {"use_cache": cache is not None, "past_key_values": cache}
    if stop_after is None:
        return backbone(**inputs, **keeping)

    def stop(*_: Any) -> None:
        raise _FarEnoughError

    handle = stop_after.register_forward_hook(stop)
    try:
        return backbone(**inputs, **keeping)
    except _FarEnoughError:
        return None
    finally:
        handle.remove()
