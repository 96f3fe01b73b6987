"""The loss of a vision-language model on plain text, without pictures: what tuning may have made it forget."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from headimpact.core.errors import DataFormatError
from headimpact.evaluation.forgetting import Losses
from headimpact.models.loading import LoadedModel
from headimpact.models.prompts import refuse_long_rows
from headimpact.models.response_losses import target_logits
from headimpact.models.response_spans import IGNORED_LABEL


@torch.inference_mode()
def text_losses(
    loaded: LoadedModel, passages: Sequence[str], *, batch_size: int = 8, without_adapter: bool = False
) -> Losses:
    """Let a model predict every token of some passages from those before it, as bare text: no chat, no picture.

    Args:
        loaded: The model.
        passages: At least one.
        batch_size: Passages per forward pass.
        without_adapter: Switch the adapter off: the model as it was before the tuning.

    Returns:
        Loss and tokens of each passage; their sums' quotient is the mean loss per token.

    Raises:
        DataFormatError: If a passage is longer than the model's positions, or has no second token to predict.
    """
    rows: list[tuple[float, int]] = []
    tokenizer = loaded.processor.tokenizer
    with _before(loaded.model) if without_adapter else contextlib.nullcontext():
        for start in range(0, len(passages), batch_size):
            batch = list(passages[start : start + batch_size])
            encoded = tokenizer(batch, padding=True, padding_side="right", truncation=False, return_tensors="pt")
            inputs = {name: encoded[name].to(loaded.device) for name in ("input_ids", "attention_mask")}
            refuse_long_rows(loaded, inputs["input_ids"].shape[1])
            labels = inputs["input_ids"].masked_fill(inputs["attention_mask"] == 0, IGNORED_LABEL)
            logits, targets, owners = target_logits(loaded.model, inputs, labels)
            losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none").double().cpu()
            sums = torch.zeros(len(batch), dtype=torch.float64).index_add_(0, owners.cpu(), losses)
            counts = torch.bincount(owners.cpu(), minlength=len(batch))
            rows += zip(sums.tolist(), counts.tolist(), strict=True)
    for passage, (_, count) in zip(passages, rows, strict=True):
        if count == 0:
            raise DataFormatError(f"Passage of one token: {passage[:60]!r}; expected two or more. Take it out.")
    return np.array(rows, dtype=np.float64)


@contextlib.contextmanager
def _before(model: Any) -> Iterator[None]:
    """Switch a model's adapter off for a block."""
    with model.disable_adapter():
        yield
