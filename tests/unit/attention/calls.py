"""Attention calls on random tensors, and the plainest way to compute their weights."""

import math
from typing import Any

import torch
from torch import nn

from headimpact.attention.interception import AttentionCall


class Module(nn.Module):
    """A module with what a call reads of it."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__()
        for name, value in attributes.items():
            setattr(self, name, value)


def attention_call(
    *,
    batch: int = 2,
    heads: int = 4,
    groups: int = 2,
    queries: int = 9,
    keys: int = 9,
    implementation: str = "sdpa",
    mask: Any = None,
    module: nn.Module | None = None,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    **options: Any,
) -> AttentionCall:
    generator = torch.Generator().manual_seed(seed)
    return AttentionCall(
        module=module or Module(is_causal=True),
        implementation=implementation,
        query=torch.randn(batch, heads, queries, 8, generator=generator).to(dtype),
        key=torch.randn(batch, groups, keys, 8, generator=generator).to(dtype),
        value=torch.randn(batch, groups, keys, 6, generator=generator).to(dtype),
        attention_mask=mask,
        options={"scaling": 0.7, **options},
        weights=None,
    )


def slow_weights(call: AttentionCall, seen: Any, *, bias: Any = None) -> torch.Tensor:
    """Attention weights by plain loops; `seen` and `bias` are functions of (row, head, query, key)."""
    batch, heads, queries, _ = call.query.shape
    keys, per_group = call.key.shape[2], heads // call.key.shape[1]
    result = torch.zeros(batch, heads, queries, keys)
    for b in range(batch):
        for h in range(heads):
            for q in range(queries):
                logits = []
                for k in range(keys):
                    dot = float(call.query[b, h, q].double() @ call.key[b, h // per_group, k].double())
                    logit = dot * call.options["scaling"]
                    if call.options.get("softcap") is not None:
                        logit = call.options["softcap"] * math.tanh(logit / call.options["softcap"])
                    logit += 0.0 if bias is None else float(bias(b, h, q, k))
                    logits.append(logit if seen(b, h, q, k) else -math.inf)
                top = max(logits)
                if top == -math.inf:
                    continue
                powers = [math.exp(logit - top) for logit in logits]
                result[b, h, q] = torch.tensor([power / sum(powers) for power in powers])
    return result
