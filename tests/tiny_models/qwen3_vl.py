"""Qwen3-VL, without and with experts, and North Micro Vision with its tower; their settings serve others too."""

from pathlib import Path

import torch
from transformers import (
    CohereCompassConfig,
    CohereCompassForConditionalGeneration,
    CohereCompassImageProcessorPil,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2VLImageProcessorPil,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLMoeConfig,
    Qwen3VLMoeForConditionalGeneration,
)

from tests.tiny_models.qwen_vl import QWEN_TEMPLATE, qwen_tokenizer
from tests.tiny_models.tokenizers import byte_tokenizer

PATCH = 8


def qwen3_vision() -> dict[str, object]:
    return {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 4,
        "out_hidden_size": 32,
        "patch_size": PATCH,
        "num_position_embeddings": 64,
    }


def qwen3_text(tokenizer: PreTrainedTokenizerFast, **more: object) -> dict[str, object]:
    """Settings of a decoder whose heads are wider than hidden size / heads, as in the 4B checkpoints."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 2048,
        "initializer_range": 0.2,
        "rope_parameters": {"rope_type": "default", "mrope_section": [4, 2, 2], "rope_theta": 10000.0},
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **more,
    }


def token_ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    return {
        "image_token_id": tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        "video_token_id": tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        "vision_start_token_id": tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        "vision_end_token_id": tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    }


def save_with_pictures(
    folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, *, sides: tuple[int, int] = (96, 128)
) -> None:
    """Save a model with what its processor is built from: pictures between two squares, 36 to 64 tokens by default."""
    model.save_pretrained(folder)
    tokenizer.chat_template = QWEN_TEMPLATE
    tokenizer.save_pretrained(folder)
    size = {"shortest_edge": sides[0] ** 2, "longest_edge": sides[1] ** 2}
    Qwen2VLImageProcessorPil(size=size, patch_size=PATCH).save_pretrained(folder)


def save_qwen3_vl(folder: Path) -> None:
    """Qwen3-VL: features of both tower layers are added behind the first two of three decoder layers."""
    tokenizer = qwen_tokenizer()
    config = Qwen3VLConfig(
        text_config=qwen3_text(tokenizer),
        vision_config={**qwen3_vision(), "deepstack_visual_indexes": [0, 1]},
        **token_ids(tokenizer),
    )
    torch.manual_seed(0)
    save_with_pictures(folder, Qwen3VLForConditionalGeneration(config), tokenizer)


def save_qwen3_vl_moe(folder: Path) -> None:
    """Qwen3-VL with two of four experts a token, and with one feature from the tower's middle."""
    tokenizer = qwen_tokenizer()
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
    config = Qwen3VLMoeConfig(
        text_config=qwen3_text(tokenizer, **experts),
        vision_config={**qwen3_vision(), "deepstack_visual_indexes": [0]},
        **token_ids(tokenizer),
    )
    torch.manual_seed(0)
    save_with_pictures(folder, Qwen3VLMoeForConditionalGeneration(config), tokenizer)


def save_cohere_compass(folder: Path) -> None:
    """North Micro Vision: a window of 512 tokens in the first two layers, no rotary positions in the last."""
    names = {"image_pad": "<|IMAGE_PAD|>", "video_pad": "<|VIDEO_PAD|>"}
    markers = {"vision_start": "<|VISION_START|>", "vision_end": "<|VISION_END|>"}
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *names.values(), *markers.values())
    tokenizer = byte_tokenizer(
        *special, eos_token="<|im_end|>", pad_token="<|endoftext|>", additional_special_tokens=list(special)
    )
    windowed = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0}
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "initializer_range": 0.2,
        "logit_scale": 1.0,
        "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
        "sliding_window": 512,
        "rope_parameters": {"sliding_attention": windowed, "full_attention": None},
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = CohereCompassConfig(
        text_config=text,
        vision_config={**qwen3_vision(), "deepstack_visual_indexes": [0, 1]},
        image_token_id=tokenizer.convert_tokens_to_ids(names["image_pad"]),
        video_token_id=tokenizer.convert_tokens_to_ids(names["video_pad"]),
        vision_start_token_id=tokenizer.convert_tokens_to_ids(markers["vision_start"]),
        vision_end_token_id=tokenizer.convert_tokens_to_ids(markers["vision_end"]),
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    CohereCompassForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.chat_template = QWEN_TEMPLATE
    for name, token in {**names, **markers}.items():
        tokenizer.chat_template = tokenizer.chat_template.replace(f"<|{name}|>", token)
    tokenizer.save_pretrained(folder)
    size = {"shortest_edge": 96 * 96, "longest_edge": 128 * 128}
    CohereCompassImageProcessorPil(size=size, patch_size=PATCH).save_pretrained(folder)
