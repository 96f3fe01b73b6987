"""Logits of the tokens that a model is to answer with, and its loss on each row's answer."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from headimpact.models.family import base_model
from headimpact.models.response_spans import IGNORED_LABEL


def target_logits(
    model: nn.Module, inputs: Mapping[str, Any], labels: Int[Tensor, "batch keys"]
) -> tuple[Float[Tensor, "targets vocabulary"], Int[Tensor, " targets"], Int[Tensor, " targets"]]:
    """Run a model and give its logits where it predicts a labelled token, each from the position before it.

    The language head runs only where some row of the batch predicts a labelled token; every number equals
    that of the full logits, which for a caption of ten tokens behind a picture of hundreds would be mostly
    thrown away.

    Args:
        model: A model with a language head, PEFT or not.
        inputs: What the model is called with, without labels.
        labels: Token to predict, -100 where there is none.

    Returns:
        The logits in float32, the tokens to predict, and the batch row that each belongs to; differentiable.
    """
    targets = labels[:, 1:]
    is_target = targets != IGNORED_LABEL
    columns = is_target.any(dim=0).nonzero().squeeze(1)
    if keeps_chosen_logits(model):
        logits = model(**inputs, use_cache=False, logits_to_keep=columns).logits
    else:
        logits = model(**inputs, use_cache=False).logits[:, columns]
    is_target = is_target[:, columns]
    return logits[is_target].float(), targets[:, columns][is_target], is_target.nonzero()[:, 0]


def response_losses(
    model: nn.Module, inputs: Mapping[str, Any], labels: Int[Tensor, "batch keys"]
) -> Float[Tensor, " batch"]:
    """Give each row's mean cross-entropy of its labelled tokens: its own share of what tuning minimises.

    Args:
        model: A model with a language head, PEFT or not.
        inputs: What the model is called with, without labels.
        labels: Token to predict, -100 where there is none; at least one in every row.

    Returns:
        One loss per row in float32; differentiable. A row without targets has NaN.
    """
    logits, targets, rows = target_logits(model, inputs, labels)
    losses = functional.cross_entropy(logits, targets, reduction="none")
    counts = torch.bincount(rows, minlength=len(labels)).tolist()
    return torch.stack([row.mean() for row in torch.split(losses, counts)])  # targets come row by row


def keeps_chosen_logits(model: nn.Module) -> bool:
    """Say whether the model's forward pass takes `logits_to_keep`, looking through PEFT's wrapper."""
    return "logits_to_keep" in inspect.signature(base_model(model).forward).parameters
