"""The loss of the answer's tokens, with logits computed at their positions only."""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from headimpact.models.response_losses import target_logits


def answer_loss(
    model: nn.Module,
    inputs: Mapping[str, Any],
    labels: Int[Tensor, "batch keys"],
    *,
    num_targets: int | Tensor | None = None,
) -> Float[Tensor, ""]:
    """Give the mean cross-entropy of the labelled tokens, each predicted from the position before it.

    Logits are computed where some row of the batch predicts a labelled token, and nowhere else.

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
    logits, targets, _ = target_logits(model, inputs, labels)
    total = functional.cross_entropy(logits, targets, reduction="sum")
    return total / (len(targets) if num_targets is None else num_targets)
