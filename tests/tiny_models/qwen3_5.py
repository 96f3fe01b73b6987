"""Qwen3.5 with linear-attention layers before and behind its full-attention ones."""

from pathlib import Path

import torch
from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration

from tests.tiny_models.qwen3_vl import qwen3_text, qwen3_vision, save_with_pictures, token_ids
from tests.tiny_models.qwen_vl import qwen_tokenizer


def _save_qwen3_5(folder: Path, layer_types: list[str]) -> None:
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
    config = Qwen3_5Config(
        text_config=qwen3_text(tokenizer, **layers, rope_parameters=rope, **linear),
        vision_config=qwen3_vision(),
        **token_ids(tokenizer),
    )
    torch.manual_seed(0)
    save_with_pictures(folder, Qwen3_5ForConditionalGeneration(config), tokenizer)


def save_qwen3_5(folder: Path) -> None:
    """Full attention in the last layer alone, as at the end of every published checkpoint."""
    _save_qwen3_5(folder, ["linear_attention", "linear_attention", "full_attention"])


def save_qwen3_5_interleaved(folder: Path) -> None:
    """Full attention in the first and the third layer of four: layers and captured layers differ in number."""
    _save_qwen3_5(folder, ["full_attention", "linear_attention", "full_attention", "linear_attention"])
