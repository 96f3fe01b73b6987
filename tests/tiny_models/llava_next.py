"""LLaVA-NeXT with a CLIP tower, with a SigLIP tower and Granite behind it as in Granite Vision, and for videos too."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPVisionConfig,
    GraniteConfig,
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessorPil,
    LlavaNextProcessor,
    LlavaNextVideoConfig,
    LlavaNextVideoForConditionalGeneration,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
)

from tests.tiny_models.llava import LLAVA_TEMPLATE, llava_tokenizer
from tests.tiny_models.tokenizers import byte_tokenizer

PATCH = 8
USUAL_TILES = [(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)]
"""Rows and columns of tiles that published checkpoints choose from."""


def tower_sizes(side: int) -> dict[str, int]:
    return {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": side,
        "patch_size": PATCH,
    }


def small_decoder(kind: type, tokenizer: PreTrainedTokenizerFast) -> PretrainedConfig:
    """Describe a decoder of three layers of any kind with grouped heads."""
    decoder: PretrainedConfig = kind(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return decoder


def _llava_next(
    folder: Path, *, tower: Any, text: type, tiles: list[tuple[int, int]], class_tokens: int, **more: Any
) -> None:
    tokenizer = llava_tokenizer()
    side, strategy = tower.image_size, "default" if class_tokens else "full"
    pinpoints = [[rows * side, columns * side] for rows, columns in tiles]
    config = LlavaNextConfig(
        vision_config=tower,
        text_config=small_decoder(text, tokenizer),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=pinpoints,
        vision_feature_select_strategy=strategy,
        **more,
    )
    torch.manual_seed(0)
    LlavaNextForConditionalGeneration(config).save_pretrained(folder)
    square = {"height": side, "width": side}
    size = {"shortest_edge": side} if class_tokens else square
    LlavaNextProcessor(
        image_processor=LlavaNextImageProcessorPil(size=size, crop_size=square, image_grid_pinpoints=pinpoints),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy=strategy,
        num_additional_image_tokens=class_tokens,
        chat_template=LLAVA_TEMPLATE,
    ).save_pretrained(folder)


def save_llava_next_clip(folder: Path) -> None:
    """LLaVA-NeXT with its usual arrangements: tiles of 48 x 48 pixels, 6 x 6 tokens, a class token dropped."""
    tower = CLIPVisionConfig(**tower_sizes(48))
    _llava_next(folder, tower=tower, text=LlamaConfig, tiles=USUAL_TILES, class_tokens=1, vision_feature_layer=-2)


def save_llava_next_granite(folder: Path) -> None:
    """Granite Vision: tiles of 44 x 44, 5 x 5 tokens, 4 pixels right and below unseen; two of the tower's layers."""
    tiles = [(rows, columns) for rows in range(1, 7) for columns in range(1, 7) if rows * columns <= 6]
    tower = SiglipVisionConfig(**tower_sizes(44), vision_use_head=False)
    _llava_next(folder, tower=tower, text=GraniteConfig, tiles=tiles, class_tokens=0, vision_feature_layer=[-2, -1])


def save_llava_next_video(folder: Path) -> None:
    """LLaVA-NeXT-Video: tiles of 32 x 32 pixels, 4 x 4 tokens, a class token dropped."""
    tokenizer = byte_tokenizer(
        "<pad>", "<s>", "</s>", "<image>", "<video>", bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>", "video_token": "<video>"},
    )  # fmt: skip
    side = 32
    pinpoints = [[rows * side, columns * side] for rows, columns in USUAL_TILES]
    config = LlavaNextVideoConfig(
        vision_config=CLIPVisionConfig(**tower_sizes(side)),
        text_config=small_decoder(LlamaConfig, tokenizer),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=pinpoints,
    )
    torch.manual_seed(0)
    LlavaNextVideoForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.chat_template = LLAVA_TEMPLATE
    tokenizer.save_pretrained(folder)
    LlavaNextImageProcessorPil(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}, image_grid_pinpoints=pinpoints
    ).save_pretrained(folder)
    save_videoless(
        folder,
        processor_class="LlavaNextVideoProcessor",
        video_processor_type="LlavaNextVideoVideoProcessor",
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    )


def save_videoless(folder: Path, *, video_processor_type: str, **settings: Any) -> None:
    """Write a processor's settings where it cannot be built: its video part needs torchvision."""
    files = {
        "processor_config.json": settings,
        "video_preprocessor_config.json": {"video_processor_type": video_processor_type},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
