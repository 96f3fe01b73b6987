"""InternVL: tiles with Qwen2 behind them, and uncut pictures with Qwen3."""

import json
from pathlib import Path
from typing import Any

import torch
from transformers import (
    GotOcr2ImageProcessorPil,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLVisionConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

from tests.tiny_models.tokenizers import byte_tokenizer

INTERNVL_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<IMG_CONTEXT>\n' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

MIXING = ("attention.projection_layer",)
PATCHES = ("patch_embeddings.projection",)


def internvl_tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer(
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<img>",
        "</img>",
        "<IMG_CONTEXT>",
        "<video>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens={
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
            "video_token": "<video>",
        },
    )


def _save_internvl(folder: Path, *, text: type, vision: dict[str, Any], tokens: int, max_patches: int) -> None:
    tokenizer = internvl_tokenizer()
    decoder = text(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=2048,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    tower = InternVLVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.2,
        **vision,
    )
    config = InternVLConfig(
        vision_config=tower,
        text_config=decoder,
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=tokens,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    InternVLForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.chat_template = INTERNVL_TEMPLATE
    tokenizer.save_pretrained(folder)
    height, width = tower.image_size
    GotOcr2ImageProcessorPil(size={"height": height, "width": width}, max_patches=max_patches).save_pretrained(folder)
    settings = {
        "processor_config.json": {"processor_class": "InternVLProcessor", "image_seq_length": tokens},
        "video_preprocessor_config.json": {"video_processor_type": "InternVLVideoProcessor"},
    }
    for name, content in settings.items():
        (folder / name).write_text(json.dumps(content))


def save_internvl(folder: Path) -> None:
    """InternVL: up to 12 tiles of 24 x 24 pixels, 6 x 6 tokens each, and the picture as a whole."""
    vision = {"image_size": 24, "patch_size": 2}
    _save_internvl(folder, text=Qwen2Config, vision=vision, tokens=36, max_patches=12)


def save_internvl_whole(folder: Path) -> None:
    """InternVL 3.5 without tiles: 49 x 49 pixels, 12 x 12 tokens, the last pixel right and below unseen."""
    vision = {"image_size": 49, "patch_size": 2, "norm_type": "rms_norm", "use_qk_norm": True}
    _save_internvl(folder, text=Qwen3Config, vision=vision, tokens=144, max_patches=1)
