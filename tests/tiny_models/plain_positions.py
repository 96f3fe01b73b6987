"""Families with Qwen's image processor before a decoder whose positions count along one axis."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    Exaone4_5_Config,
    Exaone4_5_ForConditionalGeneration,
    Exaone4Config,
    HyperCLOVAXConfig,
    HyperCLOVAXVisionV2Config,
    HyperCLOVAXVisionV2ForConditionalGeneration,
    Lfm3Config,
    Lfm3VlConfig,
    Lfm3VlForConditionalGeneration,
    Qwen2Config,
    VideoLlama3Config,
    VideoLlama3ForConditionalGeneration,
    VideoLlama3ImageProcessorPil,
    VideoLlama3VisionConfig,
)

from tests.tiny_models.llava_next import small_decoder
from tests.tiny_models.qwen3_vl import PATCH, save_with_pictures, token_ids
from tests.tiny_models.qwen_vl import QWEN_TEMPLATE, qwen_tokenizer

WINDOWED: dict[str, Any] = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_heads": 4,
    "out_hidden_size": 32,
    "patch_size": PATCH,
    "fullatt_block_indexes": [1],
    "window_size": 4 * PATCH,
}
"""A tower as Qwen2.5-VL's, with windows of 4 x 4 patches in the first layer."""


def _save_video_llama_3(folder: Path, *, merge: int, pixels: int) -> None:
    tokenizer = qwen_tokenizer()
    tower = VideoLlama3VisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, patch_size=PATCH
    )
    ids = token_ids(tokenizer)
    config = VideoLlama3Config(
        vision_config=tower,
        text_config=small_decoder(Qwen2Config, tokenizer),
        image_token_id=ids["image_token_id"],
        video_token_id=ids["video_token_id"],
    )
    torch.manual_seed(0)
    VideoLlama3ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.chat_template = QWEN_TEMPLATE
    tokenizer.save_pretrained(folder)
    size = {"shortest_edge": pixels, "longest_edge": 2 * pixels}
    VideoLlama3ImageProcessorPil(size=size, patch_size=PATCH, merge_size=merge).save_pretrained(folder)


def save_video_llama_3(folder: Path) -> None:
    """VideoLLaMA3 as published for pictures: one token a patch, 36 to 72 of them."""
    _save_video_llama_3(folder, merge=1, pixels=48 * 48)


def save_video_llama_3_merged(folder: Path) -> None:
    """VideoLLaMA3 as published for frames: one token for 2 x 2 patches."""
    _save_video_llama_3(folder, merge=2, pixels=96 * 96)


def save_exaone4_5(folder: Path) -> None:
    """EXAONE 4.5: windows of 512 tokens in the first two layers; fewer key heads than query heads in the tower too."""
    tokenizer = qwen_tokenizer()
    decoder = small_decoder(Exaone4Config, tokenizer)
    decoder.layer_types = ["sliding_attention", "sliding_attention", "full_attention"]
    decoder.sliding_window = 512
    ids = token_ids(tokenizer)
    config = Exaone4_5_Config(
        vision_config={**WINDOWED, "num_key_value_heads": 2},
        text_config=decoder,
        image_token_id=ids["image_token_id"],
        video_token_id=ids["video_token_id"],
    )
    torch.manual_seed(0)
    save_with_pictures(folder, Exaone4_5_ForConditionalGeneration(config), tokenizer)


def save_hyperclovax_vision_v2(folder: Path) -> None:
    """HyperCLOVA X Vision 2: the projection is a layer of its own."""
    tokenizer = qwen_tokenizer()
    decoder = small_decoder(HyperCLOVAXConfig, tokenizer)
    ids = token_ids(tokenizer)
    config = HyperCLOVAXVisionV2Config(
        vision_config={"model_type": "qwen2_5_vl_vision", **WINDOWED},
        text_config=decoder,
        image_token_id=ids["image_token_id"],
        video_token_id=ids["video_token_id"],
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    save_with_pictures(folder, HyperCLOVAXVisionV2ForConditionalGeneration(config), tokenizer)


def save_lfm3_vl(folder: Path) -> None:
    """LFM3-VL: convolution and attention alternate in tower and decoder."""
    tokenizer = qwen_tokenizer()
    decoder = Lfm3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=2048,
        initializer_range=0.2,
        layer_types=["conv", "sliding_attention", "conv", "full_attention"],
        sliding_window=512,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    tower = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "patch_size": PATCH,
        "layer_types": ["conv", "full_attention", "conv"],
    }
    config = Lfm3VlConfig(
        vision_config=tower,
        text_config=decoder,
        projector_hidden_size=48,
        tie_word_embeddings=False,
        **token_ids(tokenizer),
    )
    torch.manual_seed(0)
    # A token that is covered by a quarter moves by half; with more tokens, fewer are on a square's edge.
    save_with_pictures(folder, Lfm3VlForConditionalGeneration(config), tokenizer, sides=(160, 192))
