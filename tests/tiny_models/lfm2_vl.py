"""LFM2-VL; its image processor exists for torchvision alone, so its tests are skipped without one."""

from pathlib import Path

import pytest
import torch
from transformers import (
    Lfm2Config,
    Lfm2VlConfig,
    Lfm2VlForConditionalGeneration,
    Lfm2VlProcessor,
    PreTrainedTokenizerFast,
    Siglip2VisionConfig,
)

from tests.tiny_models.tokenizers import byte_tokenizer

LFM2_SPECIAL = (
    "<|pad|>",
    "<|startoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<image>",
    "<|image_start|>",
    "<|image_end|>",
    "<|img_thumbnail|>",
    *(f"<|img_row_{row}_col_{column}|>" for row in range(1, 11) for column in range(1, 11)),
)

LFM2_TEMPLATE = (
    "{{ '<|startoftext|>' }}{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def _tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer(
        *LFM2_SPECIAL,
        bos_token="<|startoftext|>",
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        additional_special_tokens=list(LFM2_SPECIAL),
    )


def _save_lfm2_vl(folder: Path, **tiling: object) -> None:
    pytest.importorskip("torchvision", reason="lfm2_vl's image processor needs torchvision")
    from transformers import Lfm2VlImageProcessor

    tokenizer = _tokenizer()
    decoder = Lfm2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        block_multiple_of=16,
        num_hidden_layers=4,
        layer_types=["conv", "full_attention", "conv", "full_attention"],
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    tower = Siglip2VisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        patch_size=4,
        num_patches=16,
        vision_use_head=False,
    )
    config = Lfm2VlConfig(
        vision_config=tower,
        text_config=decoder,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        projector_hidden_size=64,
    )
    torch.manual_seed(0)
    Lfm2VlForConditionalGeneration(config).save_pretrained(folder)
    image_processor = Lfm2VlImageProcessor(
        encoder_patch_size=4, tile_size=32, min_image_tokens=4, max_image_tokens=40, **tiling
    )
    Lfm2VlProcessor(image_processor=image_processor, tokenizer=tokenizer, chat_template=LFM2_TEMPLATE).save_pretrained(
        folder
    )


def save_lfm2_vl(folder: Path) -> None:
    """Tokens of 8 x 8 pixels; above 80 of them, 2 to 10 tiles of 4 x 4 tokens and the picture as a whole."""
    _save_lfm2_vl(folder)


def save_lfm2_vl_whole(folder: Path) -> None:
    """The same, never cut."""
    _save_lfm2_vl(folder, do_image_splitting=False)
