"""Molmo 2; its image processor exists for torchvision alone, so its tests are skipped without one."""

from pathlib import Path

import pytest
import torch
from transformers import Molmo2Config, Molmo2ForConditionalGeneration, Molmo2Processor, PreTrainedTokenizerFast

from tests.tiny_models.qwen_vl import QWEN_TEMPLATE
from tests.tiny_models.tokenizers import byte_tokenizer

MOLMO2_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|image|>",
    "<|video|>",
    "<im_patch>",
    "<im_col>",
    "<im_start>",
    "<low_res_im_start>",
    "<frame_start>",
    "<im_end>",
    "<frame_end>",
    "<im_low>",
)

MOLMO2_TEMPLATE = QWEN_TEMPLATE.replace("<|vision_start|><|image_pad|><|vision_end|>", "<|image|>")


def _tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer(
        *MOLMO2_SPECIAL,
        bos_token="<|im_end|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(MOLMO2_SPECIAL),
    )


def save_molmo2(folder: Path) -> None:
    """Up to 6 crops of 7 x 7 patches, a patch of margin: 4 x 4 tokens of the whole, the last row and column halves."""
    pytest.importorskip("torchvision", reason="molmo2's image processor needs torchvision")
    from transformers import Molmo2ImageProcessor, Molmo2VideoProcessor

    tokenizer = _tokenizer()
    heads = {"num_attention_heads": 4, "head_dim": 8}
    vision = {**heads, "num_key_value_heads": 4, "hidden_size": 32, "intermediate_size": 48}
    decoder = {
        **heads,
        "num_key_value_heads": 2,
        "vocab_size": len(tokenizer),
        "additional_vocab_size": 0,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "max_position_embeddings": 2048,
        "initializer_range": 0.2,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = Molmo2Config(
        vision_config={**vision, "num_hidden_layers": 2, "image_size": [28, 28], "patch_size": 4},
        adapter_config={**vision, "vision_feature_layer": [1, 0], "text_hidden_size": 32, "initializer_range": 0.2},
        text_config=decoder,
        image_start_token_id=tokenizer.convert_tokens_to_ids("<im_start>"),
        low_res_image_start_token_id=tokenizer.convert_tokens_to_ids("<low_res_im_start>"),
        image_end_token_id=tokenizer.convert_tokens_to_ids("<im_end>"),
        image_patch_id=tokenizer.convert_tokens_to_ids("<im_patch>"),
        frame_start_token_id=tokenizer.convert_tokens_to_ids("<frame_start>"),
        frame_end_token_id=tokenizer.convert_tokens_to_ids("<frame_end>"),
        initializer_range=0.2,
    )
    torch.manual_seed(0)
    Molmo2ForConditionalGeneration(config).save_pretrained(folder)
    Molmo2Processor(
        image_processor=Molmo2ImageProcessor(
            size={"height": 28, "width": 28}, patch_size=4, max_crops=6, overlap_margins=[1, 1]
        ),
        video_processor=Molmo2VideoProcessor(),
        tokenizer=tokenizer,
        chat_template=MOLMO2_TEMPLATE,
    ).save_pretrained(folder)
