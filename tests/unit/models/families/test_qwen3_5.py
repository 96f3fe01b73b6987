import dataclasses
from typing import Any

import pytest
import torch

from headimpact.attention.capture import capture_attention
from headimpact.attention.queries import response_rows
from headimpact.core.errors import UnsupportedModelError
from headimpact.models.loading import load_model
from headimpact.models.prompts import encode
from headimpact.selection.strategies import select_layers
from headimpact.tuning.lora import attach_lora, build_lora_config
from tests.contracts.image_oracle import picture

HEADS, HEAD_DIM, HIDDEN = 4, 16, 32


def captured_maps(loaded) -> torch.Tensor:
    """Maps of one sample, `[layers, heads, image_tokens]`."""
    batch = encode(loaded, [picture((60, 90))], ["What?"], ["a red circle"])
    keys = [torch.from_numpy(batch.layouts[0].positions)]
    modules = loaded.family.attention_modules(loaded.model)
    with (
        torch.no_grad(),
        capture_attention(modules, queries=response_rows(batch.response_spans), keys=keys) as captured,
    ):
        loaded.family.backbone(loaded.model)(**batch.inputs, use_cache=False)
    return captured.maps[0]


@pytest.mark.parametrize(("name", "layers"), [("qwen3_5", [2]), ("qwen3_5-interleaved", [0, 2])])
def test_only_full_attention_layers_are_captured(tiny_model, name, layers):
    loaded = tiny_model(name)
    assert list(loaded.family.attention_modules(loaded.model)) == layers
    assert captured_maps(loaded).shape[:2] == (len(layers), HEADS)
    assert loaded.family.architecture(loaded.config).attention_layers == tuple(layers)


def test_the_summary_counts_query_and_gate(tiny_model):
    loaded = tiny_model("qwen3_5")
    summary = loaded.family.architecture(loaded.config)
    assert (summary.num_layers, summary.num_heads, summary.num_key_value_heads) == (3, HEADS, 2)
    assert (summary.head_dim, summary.hidden_size) == (HEAD_DIM, HIDDEN)
    assert summary.projections == {
        "q_proj": (HIDDEN, 2 * HEADS * HEAD_DIM),
        "k_proj": (HIDDEN, 2 * HEAD_DIM),
        "v_proj": (HIDDEN, 2 * HEAD_DIM),
        "o_proj": (HEADS * HEAD_DIM, HIDDEN),
    }


@pytest.mark.parametrize("head", range(HEADS))
def test_rows_of_q_proj_are_query_and_gate_head_by_head(tiny_checkpoint, head):
    """A head's query rows change its own attention alone, its gate rows no attention of its layer."""
    loaded = load_model(tiny_checkpoint("qwen3_5"))
    attention: Any = loaded.family.attention_modules(loaded.model)[2]
    weight = attention.q_proj.weight.data.view(HEADS, 2, HEAD_DIM, HIDDEN)
    before = captured_maps(loaded)
    weight[head, 1] += 1
    assert torch.equal(captured_maps(loaded), before)
    weight[head, 0].copy_(weight[head, 0].roll(1, dims=0))
    changed = (captured_maps(loaded) != before).any(dim=-1)[0]
    assert changed.tolist() == [other == head for other in range(HEADS)]


def test_lora_on_a_linear_attention_layer_is_refused(tiny_checkpoint):
    loaded = load_model(tiny_checkpoint("qwen3_5"))
    everything = select_layers(loaded.family.architecture(loaded.config), strategy="all")
    chosen = dataclasses.replace(everything, layers=(1,))
    with pytest.raises(UnsupportedModelError, match=r"layers\.1\.self_attn"):
        attach_lora(loaded.model, build_lora_config(chosen, r=2))
