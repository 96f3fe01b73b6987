"""Rows of a tuning batch kept one by one without padding, and padded anew for whichever batch they are in next."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.response_spans import IGNORED_LABEL


@dataclasses.dataclass(frozen=True)
class TuningBatch:
    """One batch, ready for the model.

    Attributes:
        inputs: What the model is called with.
        labels: Tokens of the answers, -100 elsewhere.
    """

    inputs: dict[str, Any]
    labels: Int[Tensor, "batch keys"]


@dataclasses.dataclass(frozen=True)
class TuningRow:
    """One example without padding.

    Attributes:
        per_token: Inputs with an entry for every token: first axis, but last for positions with an axis of their own.
        per_row: Inputs with any number of entries on the first axis.
        labels: Tokens of the answer, -100 elsewhere.
    """

    per_token: dict[str, Tensor]
    labels: Int[Tensor, " keys"]
    per_row: dict[str, Tensor] = dataclasses.field(default_factory=dict)

    def num_bytes(self) -> int:
        """Count the bytes held."""
        return sum(value.nbytes for value in (*self.per_token.values(), *self.per_row.values(), self.labels))


def split_rows(
    per_token: Mapping[str, Tensor],
    labels: Int[Tensor, "batch keys"],
    *,
    per_row: Mapping[str, Sequence[Tensor]] | None = None,
) -> list[TuningRow]:
    """Cut a right-padded batch into rows without padding, in the machine's memory.

    Args:
        per_token: Inputs with a batch and a sequence axis side by side, `attention_mask` among them.
        labels: Tokens of the answers.
        per_row: Inputs of which every row has any number of entries.

    Returns:
        One row per example.

    Raises:
        UnsupportedModelError: If some input has no batch and sequence axis side by side.
    """
    mask = per_token["attention_mask"]
    for name, value in per_token.items():
        axis = _batch_axis(name, value)
        if tuple(value.shape[axis : axis + 2]) != tuple(mask.shape):
            raise UnsupportedModelError(
                f"Language input {name!r} has shape {tuple(value.shape)}; expected batch and sequence "
                f"{tuple(mask.shape)} side by side, to be kept row by row. Tune without keeping them."
            )
    on_cpu = {name: value.cpu() for name, value in per_token.items()}
    answers = labels.cpu()
    rows = []
    for row, length in enumerate(mask.sum(dim=1).tolist()):
        kept = {
            name: value.select(_batch_axis(name, value), row).narrow(_batch_axis(name, value), 0, length).clone()
            for name, value in on_cpu.items()
        }
        own = {name: pieces[row].cpu().clone() for name, pieces in (per_row or {}).items()}
        rows.append(TuningRow(per_token=kept, per_row=own, labels=answers[row, :length].clone()))
    return rows


def stack_rows(rows: Sequence[TuningRow], device: torch.device) -> TuningBatch:
    """Pad rows on the right to the longest and stack them; inputs of any length are joined.

    Args:
        rows: The batch, at least one row.
        device: Where the model is.

    Returns:
        The batch on the device.
    """
    longest = max(len(row.labels) for row in rows)
    inputs = {}
    for name, first in rows[0].per_token.items():
        axis = 1 if name == "position_ids" and first.ndim == 2 else 0
        padded = [_pad(row.per_token[name], axis, longest, 0) for row in rows]
        inputs[name] = torch.stack(padded, dim=axis).to(device, non_blocking=True)
    for name in rows[0].per_row:
        inputs[name] = torch.cat([row.per_row[name] for row in rows]).to(device, non_blocking=True)
    labels = torch.stack([_pad(row.labels, 0, longest, IGNORED_LABEL) for row in rows])
    return TuningBatch(inputs=inputs, labels=labels.to(device, non_blocking=True))


def _batch_axis(name: str, value: Tensor) -> int:
    """Find the batch axis: first, but second for positions with an axis of their own (time, row, column)."""
    return 1 if name == "position_ids" and value.ndim == 3 else 0


def _pad(value: Tensor, axis: int, length: int, filler: int) -> Tensor:
    """Lengthen a tensor along one axis."""
    missing = list(value.shape)
    missing[axis] = length - value.shape[axis]
    return torch.cat([value, value.new_full(missing, filler)], dim=axis)
