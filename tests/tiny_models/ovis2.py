"""Ovis2, with tiles and with pictures as a whole."""

from pathlib import Path

import torch
from transformers import (
    Ovis2Config,
    Ovis2ForConditionalGeneration,
    Ovis2ImageProcessorPil,
    Ovis2Processor,
    Ovis2VisionConfig,
    Qwen2Config,
)

from tests.tiny_models.internvl import INTERNVL_TEMPLATE
from tests.tiny_models.tokenizers import byte_tokenizer

MARKERS = ("<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>")


def _save_ovis2(folder: Path, *, side: int, **pictures: object) -> None:
    tokenizer = byte_tokenizer(
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<image>",
        "<IMG_ATOM>",
        *MARKERS,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<image>", "<IMG_ATOM>", *MARKERS],
    )
    decoder = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    tower = Ovis2VisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=side,
        patch_size=2,
        hidden_stride=2,
        vocab_size=69,
    )
    config = Ovis2Config(
        vision_config=tower,
        text_config=decoder,
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_ATOM>"),
        visual_indicator_token_ids=tokenizer.convert_tokens_to_ids(list(MARKERS)),
        vocab_size=len(tokenizer),
        hidden_size=32,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    Ovis2ForConditionalGeneration(config).save_pretrained(folder)
    Ovis2Processor(
        image_processor=Ovis2ImageProcessorPil(size={"height": side, "width": side}, **pictures),
        tokenizer=tokenizer,
        image_seq_length=(side // 4) ** 2,
        chat_template=INTERNVL_TEMPLATE.replace("<IMG_CONTEXT>", "<image>"),
    ).save_pretrained(folder)


def save_ovis2(folder: Path) -> None:
    """Ovis2 with up to 12 tiles of 24 x 24 pixels behind the picture as a whole, 6 x 6 tokens each."""
    _save_ovis2(folder, side=24, crop_to_patches=True, max_patches=12)


def save_ovis2_whole(folder: Path) -> None:
    """Ovis2 without tiles: 49 x 49 pixels, 12 x 12 tokens, the last pixel right and below unseen."""
    _save_ovis2(folder, side=49)
