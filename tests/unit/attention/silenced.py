"""What attention gives out with heads knocked out, in the plainest way."""

import itertools
from collections.abc import Sequence

import torch


def slow_row(weights: list[float], is_image: list[bool], seen: list[bool], knockout: str) -> list[float]:
    """One row of weights after a knockout, by plain loops over its keys."""
    rest = sum(weight for weight, image in zip(weights, is_image, strict=True) if not image)
    shown = sum(image and sees for image, sees in zip(is_image, seen, strict=True))
    changed = []
    for weight, image, sees in zip(weights, is_image, seen, strict=True):
        if knockout == "uniform":
            changed.append((1 - rest) / shown if image and sees else 0.0 if image else weight)
        elif image or rest == 0:
            changed.append(0.0)
        else:
            changed.append(weight / rest if knockout == "renormalize" else weight)
    return changed


def slow_output(
    weights: torch.Tensor, values: torch.Tensor, heads: Sequence[int], keys, queries, knockout: str
) -> torch.Tensor:
    """What attention gives out with chosen heads knocked out, `[batch, queries, heads, value_dim]`, row by row."""
    batch, num_heads, num_queries, num_keys = weights.shape
    changed = weights.float().clone()
    for b in range(batch):
        is_image = [k in keys[b].tolist() for k in range(num_keys)]
        rows = range(num_queries) if queries is None else queries[b].tolist()
        for h, q in itertools.product(heads, rows):
            row = weights[b, h, q].tolist()
            changed[b, h, q] = torch.tensor(slow_row(row, is_image, [weight > 0 for weight in row], knockout))
    spread = values.float().repeat_interleave(num_heads // values.shape[1], dim=1)
    return torch.matmul(changed, spread).transpose(1, 2)
