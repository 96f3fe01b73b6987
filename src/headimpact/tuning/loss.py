"""The loss of the answer's tokens, with logits computed at their positions only."""

import inspect
from collections.abc import Mapping
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from headimpact.models.family import base_model
from headimpact.models.response_spans import IGNORED_LABEL


def answer_loss(
    model: nn.Module,
    inputs: Mapping[str, Any],
    labels: Int[Tensor, "batch keys"],
    *,
    num_targets: int | Tensor | None = None,
) -> Float[Tensor, ""]:
    """Give the mean cross-entropy of the labelled tokens, each predicted from the position before it.

    The language head runs only where some row of the batch predicts a labelled token; every number equals
    that of the full logits, which for a caption of ten tokens behind a picture of hundreds would be mostly
    thrown away.

    Args:
        model: A model with a language head, PEFT or not.
        inputs: What the model is called with, without labels.
        labels: Token to predict, -100 where there is none.
        num_targets: Divide the sum by this instead of the batch's own number of targets: the number over all
            batches of one optimiser step, so that every token weighs the same.

    Returns:
        The loss in float32; differentiable.

    Source:
        transformers 5.23, loss/loss_utils.py, `ForCausalLMLoss` (shift by one, sum over `num_items_in_batch`).
    """
    targets = labels[:, 1:]
    is_target = targets != IGNORED_LABEL
    columns = is_target.any(dim=0).nonzero().squeeze(1)
    if keeps_chosen_logits(model):
        logits = model(**inputs, use_cache=False, logits_to_keep=columns).logits
    else:
        logits = model(**inputs, use_cache=False).logits[:, columns]
    is_target = is_target[:, columns]
    total = functional.cross_entropy(logits[is_target].float(), targets[:, columns][is_target], reduction="sum")
    return total / (is_target.sum() if num_targets is None else num_targets)


def keeps_chosen_logits(model: nn.Module) -> bool:
    """Say whether the model's forward pass takes `logits_to_keep`, looking through PEFT's wrapper."""
    return "logits_to_keep" in inspect.signature(base_model(model).forward).parameters
