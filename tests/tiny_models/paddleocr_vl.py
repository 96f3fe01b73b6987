"""PaddleOCR-VL and Hunyuan-VL: readers of pages whose processors have no video part."""

from pathlib import Path

import torch
from transformers import (
    HunYuanVLConfig,
    HunYuanVLForConditionalGeneration,
    HunYuanVLImageProcessorPil,
    HunYuanVLProcessor,
    PaddleOCRVLConfig,
    PaddleOCRVLForConditionalGeneration,
    PaddleOCRVLImageProcessorPil,
    PaddleOCRVLProcessor,
)

from tests.tiny_models.qwen3_vl import PATCH
from tests.tiny_models.qwen_vl import QWEN_SPECIAL, QWEN_TEMPLATE
from tests.tiny_models.tokenizers import byte_tokenizer

SIZE = {"shortest_edge": 96 * 96, "longest_edge": 128 * 128}


def save_paddleocr_vl(folder: Path) -> None:
    """PaddleOCR-VL: positions of a 4 x 4 table, resampled to each picture's grid."""
    tokenizer = byte_tokenizer(
        *QWEN_SPECIAL,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(QWEN_SPECIAL),
        extra_special_tokens={"image_token": "<|image_pad|>"},
    )
    text = {
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
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": 4 * PATCH,
        "patch_size": PATCH,
    }
    names = {"image": "<|image_pad|>", "video": "<|video_pad|>"}
    ids = {f"{name}_token_id": tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}
    config = PaddleOCRVLConfig(
        text_config=text,
        vision_config=vision,
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"),
        tie_word_embeddings=False,
        **ids,
    )
    torch.manual_seed(0)
    PaddleOCRVLForConditionalGeneration(config).save_pretrained(folder)
    PaddleOCRVLProcessor(
        image_processor=PaddleOCRVLImageProcessorPil(size=SIZE, patch_size=PATCH),
        tokenizer=tokenizer,
        chat_template=QWEN_TEMPLATE,
    ).save_pretrained(folder)


def save_hunyuan_vl(folder: Path) -> None:
    """Hunyuan-VL: a newline token behind each row of 6 to 8 tokens, one before and one behind each picture."""
    tokenizer = byte_tokenizer(
        *QWEN_SPECIAL,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(QWEN_SPECIAL),
        extra_special_tokens={
            "image_token": "<|image_pad|>",
            "image_start_token": "<|vision_start|>",
            "image_end_token": "<|vision_end|>",
        },
    )
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 2048,
        "initializer_range": 0.2,
        "rope_parameters": {"rope_type": "default", "mrope_section": [2, 2, 2, 2], "rope_theta": 10000.0},
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "patch_size": PATCH,
        "max_image_size": 8 * PATCH,
    }
    config = HunYuanVLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        im_start_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        im_end_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"),
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    HunYuanVLForConditionalGeneration(config).save_pretrained(folder)
    HunYuanVLProcessor(
        image_processor=HunYuanVLImageProcessorPil(size=SIZE, patch_size=PATCH),
        tokenizer=tokenizer,
        chat_template=QWEN_TEMPLATE,
    ).save_pretrained(folder)
