"""The rows and columns that a head's LoRA trains are the ones that the model itself gives to that head."""

import pytest
import torch

from headimpact.core.head_parts import head_part
from tests.contracts.test_family_attention import encode_rows

ROWS = ("q_proj", "k_proj", "v_proj")


def handed_to_o_proj(loaded, attention, inputs) -> torch.Tensor:
    """Give what one layer's heads hand on, `[heads' width]` last."""
    seen: dict[str, torch.Tensor] = {}
    hook = attention.o_proj.register_forward_pre_hook(lambda _, given: seen.update(mixed=given[0].detach().clone()))
    with torch.no_grad():
        loaded.family.backbone(loaded.model)(**inputs, use_cache=False)
    hook.remove()
    return seen["mixed"]


def test_changed_rows_of_a_head_change_that_heads_output_alone(loaded):
    architecture = loaded.family.architecture(loaded.config)
    modules = loaded.family.attention_modules(loaded.model)
    batch = encode_rows(loaded, 1, "left")
    heads, head = architecture.num_heads, architecture.num_heads - 1
    for layer_idx in sorted({min(modules), max(modules)}):
        projections = architecture.projections_of(layer_idx)
        if not {"q_proj", "o_proj"} <= set(projections):
            pytest.skip(f"projections are fused: {', '.join(projections)}")
        before = handed_to_o_proj(loaded, modules[layer_idx], batch.inputs)
        for name in set(ROWS) & set(projections):
            part = head_part(architecture, layer_idx, name, [head])
            weight = getattr(modules[layer_idx], name).weight
            kept = weight.data.clone()
            weight.data[list(part.indices)] += torch.randn(
                len(part.indices), weight.shape[1], generator=torch.Generator().manual_seed(0)
            )
            after = handed_to_o_proj(loaded, modules[layer_idx], batch.inputs)
            weight.data.copy_(kept)
            moved = (after != before).reshape(-1, heads, before.shape[-1] // heads).any(dim=0).any(dim=-1)
            readers = [one for one in range(heads) if head_part(architecture, layer_idx, name, [one]) == part]
            assert torch.nonzero(moved).flatten().tolist() == readers, (layer_idx, name)
            assert name != "q_proj" or readers == [head]
