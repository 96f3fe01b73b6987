"""Aya Vision: tiles between markers; decoder layers with and without a window."""

from pathlib import Path

import torch
from transformers import (
    AyaVisionConfig,
    AyaVisionForConditionalGeneration,
    AyaVisionProcessor,
    Cohere2Config,
    GotOcr2ImageProcessorPil,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
)

from tests.tiny_models.tokenizers import byte_tokenizer

COHERE_TEMPLATE = (
    "{{ '<BOS_TOKEN>' }}{% for message in messages %}"
    "{{ '<|START_OF_TURN_TOKEN|>' }}"
    "{% if message['role'] == 'user' %}{{ '<|USER_TOKEN|>' }}{% else %}{{ '<|CHATBOT_TOKEN|>' }}{% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ image_token }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '<|END_OF_TURN_TOKEN|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{% endif %}"
)

COHERE_SPECIAL = (
    "<PAD>",
    "<BOS_TOKEN>",
    "<|START_OF_TURN_TOKEN|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|USER_TOKEN|>",
    "<|CHATBOT_TOKEN|>",
    "<|START_OF_IMG|>",
    "<|END_OF_IMG|>",
    "<|IMG_PATCH|>",
    "<|IMG_LINE_BREAK|>",
    "TILE_GLOBAL",
    *(f"TILE_{number}" for number in range(1, 13)),
)


def cohere_tokenizer(**named: str) -> PreTrainedTokenizerFast:
    """Make a tokenizer with Cohere's markers; options name special tokens as attributes."""
    return byte_tokenizer(
        *COHERE_SPECIAL,
        bos_token="<BOS_TOKEN>",
        eos_token="<|END_OF_TURN_TOKEN|>",
        pad_token="<PAD>",
        additional_special_tokens=list(COHERE_SPECIAL),
        **({"extra_special_tokens": named} if named else {}),
    )


def cohere_decoder(tokenizer: PreTrainedTokenizerFast, *, sliding_window: int) -> Cohere2Config:
    """Describe a decoder of two windowed layers and one that sees everything."""
    return Cohere2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.2,
        layer_types=["sliding_attention", "sliding_attention", "full_attention"],
        sliding_window=sliding_window,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def siglip_tower(*, image_size: int, patch_size: int) -> SiglipVisionConfig:
    return SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=image_size,
        patch_size=patch_size,
        vision_use_head=False,
    )


def _save_aya(folder: Path, *, tile: int, patch: int, max_patches: int, sliding_window: int) -> None:
    tokenizer = cohere_tokenizer()
    config = AyaVisionConfig(
        vision_config=siglip_tower(image_size=tile, patch_size=patch),
        text_config=cohere_decoder(tokenizer, sliding_window=sliding_window),
        image_token_index=tokenizer.convert_tokens_to_ids("<|IMG_PATCH|>"),
        alignment_intermediate_size=512,
    )
    torch.manual_seed(0)
    AyaVisionForConditionalGeneration(config).save_pretrained(folder)
    AyaVisionProcessor(
        image_processor=GotOcr2ImageProcessorPil(size={"height": tile, "width": tile}, max_patches=max_patches),
        tokenizer=tokenizer,
        patch_size=patch,
        downsample_factor=config.downsample_factor,
        img_size=tile,
        chat_template=COHERE_TEMPLATE.replace("image_token", "'<image>'"),
    ).save_pretrained(folder)


def save_aya_vision(folder: Path) -> None:
    """Aya Vision: up to 12 tiles of 24 x 24 pixels, 6 x 6 tokens each; every layer sees the whole sequence."""
    _save_aya(folder, tile=24, patch=2, max_patches=12, sliding_window=2048)


def save_aya_vision_windowed(folder: Path) -> None:
    """Aya Vision: up to 6 tiles of 50 x 50 pixels, 2 pixels right and below unseen; a window of 60 tokens."""
    _save_aya(folder, tile=50, patch=3, max_patches=6, sliding_window=60)
