"""Llama 3.2 Vision with four or two tiles; some of the decoder's layers are cross-attention."""

from pathlib import Path

import torch
from transformers import (
    MllamaConfig,
    MllamaForConditionalGeneration,
    MllamaImageProcessorPil,
    MllamaProcessor,
    PreTrainedTokenizerFast,
)

from tests.tiny_models.tokenizers import byte_tokenizer

MLLAMA_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<|image|>' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)

GATE = 0.5
"""Gates start closed; a trained model's are open, and only then do pictures change what comes out."""


def mllama_tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer(
        "<|finetune_right_pad_id|>",
        "<|begin_of_text|>",
        "<|eot_id|>",
        "<|start_header_id|>",
        "<|end_header_id|>",
        "<|image|>",
        bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>",
        pad_token="<|finetune_right_pad_id|>",
        additional_special_tokens=["<|start_header_id|>", "<|end_header_id|>", "<|image|>"],
    )


def _mllama(folder: Path, *, side: int, arrangements: list[list[int]], cross_attention_layers: list[int]) -> None:
    tokenizer = mllama_tokenizer()
    max_tiles = max(rows * columns for rows, columns in arrangements)
    config = MllamaConfig(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_global_layers": 1,
            "attention_heads": 4,
            "image_size": side,
            "patch_size": 8,
            "max_num_tiles": max_tiles,
            "supported_aspect_ratios": arrangements,
            "intermediate_layers_indices": [0],
            "vision_output_dim": 64,
        },
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "cross_attention_layers": cross_attention_layers,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
            "max_position_embeddings": 2048,
            "initializer_range": 0.2,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        image_token_index=tokenizer.convert_tokens_to_ids("<|image|>"),
    )
    torch.manual_seed(0)
    model = MllamaForConditionalGeneration(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "gate" in name.rpartition(".")[2]:
                parameter.fill_(GATE)
    model.save_pretrained(folder)
    processor = MllamaImageProcessorPil(size={"height": side, "width": side}, max_image_tiles=max_tiles)
    MllamaProcessor(image_processor=processor, tokenizer=tokenizer, chat_template=MLLAMA_TEMPLATE).save_pretrained(
        folder
    )


def save_mllama(folder: Path) -> None:
    """Tiles of 40 x 40, 5 x 5 tokens, at most four; two cross-attention layers of three."""
    arrangements = [[1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]]
    _mllama(folder, side=40, arrangements=arrangements, cross_attention_layers=[0, 2])


def save_mllama_pair(folder: Path) -> None:
    """Tiles of 44 x 44, 5 x 5 tokens, 4 pixels right and below unseen, one or two tiles; one cross-attention layer."""
    _mllama(folder, side=44, arrangements=[[1, 1], [1, 2], [2, 1]], cross_attention_layers=[1])
