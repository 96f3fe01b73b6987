"""Qwen3.5, without and with experts, with linear-attention layers before and behind its full-attention ones."""

from pathlib import Path

import torch
from transformers import (
    Qwen3_5Config,
    Qwen3_5ForConditionalGeneration,
    Qwen3_5MoeConfig,
    Qwen3_5MoeForConditionalGeneration,
)

from tests.tiny_models.qwen3_vl import qwen3_text, qwen3_vision, save_with_pictures, token_ids
from tests.tiny_models.qwen_vl import qwen_tokenizer


def _save_qwen3_5(
    folder: Path,
    layer_types: list[str],
    *,
    config_class: type = Qwen3_5Config,
    model_class: type = Qwen3_5ForConditionalGeneration,
    **experts: int,
) -> None:
    tokenizer = qwen_tokenizer()
    rope = {
        "rope_type": "default",
        "mrope_section": [2, 1, 1],
        "rope_theta": 10000.0,
        "partial_rotary_factor": 0.5,
    }
    linear = {
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
    }
    layers = {"num_hidden_layers": len(layer_types), "layer_types": layer_types}
    config = config_class(
        text_config=qwen3_text(tokenizer, **layers, rope_parameters=rope, **linear, **experts),
        vision_config=qwen3_vision(),
        **token_ids(tokenizer),
    )
    torch.manual_seed(0)
    save_with_pictures(folder, model_class(config), tokenizer)


def save_qwen3_5(folder: Path) -> None:
    """Full attention in the last layer alone, as at the end of every published checkpoint."""
    _save_qwen3_5(folder, ["linear_attention", "linear_attention", "full_attention"])


def save_qwen3_5_interleaved(folder: Path) -> None:
    """Full attention in the first and the third layer of four: layers and captured layers differ in number."""
    _save_qwen3_5(folder, ["full_attention", "linear_attention", "full_attention", "linear_attention"])


def save_qwen3_5_moe(folder: Path) -> None:
    """Qwen3.5 with two of four experts a token; full attention in the last layer alone."""
    _save_qwen3_5(
        folder,
        ["linear_attention", "linear_attention", "full_attention"],
        config_class=Qwen3_5MoeConfig,
        model_class=Qwen3_5MoeForConditionalGeneration,
        num_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=24,
        shared_expert_intermediate_size=24,
    )
