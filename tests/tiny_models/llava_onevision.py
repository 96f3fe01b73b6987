"""LLaVA-OneVision, with grids across tiles as they come out and with shrunk ones."""

from pathlib import Path

import torch
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionImageProcessorPil,
    PreTrainedTokenizerFast,
    Qwen2Config,
    SiglipVisionConfig,
)

from tests.tiny_models.llava_next import PATCH, save_videoless, small_decoder, tower_sizes
from tests.tiny_models.tokenizers import byte_tokenizer

ONEVISION_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + ' ' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>\n' }}{% else %}{{ '\n' + part['text'] }}{% endif %}{% endfor %}"
    "{{ '<|im_end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def onevision_tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer(
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<image>",
        "<video>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens={"image_token": "<image>", "video_token": "<video>"},
    )


def _llava_onevision(folder: Path, *, side: int, most_tiles: int, most_pinpoints: int) -> None:
    tokenizer = onevision_tokenizer()
    tower = SiglipVisionConfig(**tower_sizes(side), vision_use_head=False)
    sides = range(1, most_pinpoints + 1)
    common = {
        "image_grid_pinpoints": [[rows * side, columns * side] for rows in sides for columns in sides],
        "vision_aspect_ratio": f"anyres_max_{most_tiles}",
    }
    config = LlavaOnevisionConfig(
        vision_config=tower,
        text_config=small_decoder(Qwen2Config, tokenizer),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        **common,
    )
    torch.manual_seed(0)
    LlavaOnevisionForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.chat_template = ONEVISION_TEMPLATE
    tokenizer.save_pretrained(folder)
    LlavaOnevisionImageProcessorPil(
        size={"height": side, "width": side}, image_grid_pinpoints=common["image_grid_pinpoints"]
    ).save_pretrained(folder)
    save_videoless(
        folder,
        processor_class="LlavaOnevisionProcessor",
        video_processor_type="LlavaOnevisionVideoProcessor",
        num_image_tokens=(side // PATCH) ** 2,
        vision_feature_select_strategy="full",
        vision_aspect_ratio=common["vision_aspect_ratio"],
    )


def save_llava_onevision(folder: Path) -> None:
    """LLaVA-OneVision: tiles of 44 x 44 pixels, 5 x 5 tokens, 4 right and below unseen; up to 9 tiles stay unshrunk."""
    _llava_onevision(folder, side=44, most_tiles=9, most_pinpoints=6)


def save_llava_onevision_shrunk(folder: Path) -> None:
    """LLaVA-OneVision: tiles of 32 x 32 pixels, 4 x 4 tokens; grids across more than two tiles are shrunk."""
    _llava_onevision(folder, side=32, most_tiles=2, most_pinpoints=6)
