"""Idefics3 and SmolVLM: tiles, then the whole picture, with text between them."""

import json
from pathlib import Path

import torch
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessorPil,
    Idefics3Processor,
    PreTrainedTokenizerFast,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMImageProcessorPil,
)

from tests.tiny_models.tokenizers import byte_tokenizer

IDEFICS3_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize + ':' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ ' ' + part['text'] }}{% endif %}{% endfor %}"
    "{{ '<end_of_utterance>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)

IDEFICS3_SPECIAL = (
    "<|im_start|>",
    "<end_of_utterance>",
    "<pad>",
    "<image>",
    "<fake_token_around_image>",
    "<global-img>",
    # Markers of the first two rows are tokens; those of further rows are spelled out, as text of several tokens.
    *(f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2, 3)),
)


def idefics3_tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer(
        *IDEFICS3_SPECIAL,
        bos_token="<|im_start|>",
        eos_token="<end_of_utterance>",
        pad_token="<pad>",
        additional_special_tokens=list(IDEFICS3_SPECIAL),
    )


def _save_model(
    folder: Path, *, config_class: type, model_class: type, side: int, patch_size: int, scale_factor: int
) -> PreTrainedTokenizerFast:
    tokenizer = idefics3_tokenizer()
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    decoder = {
        "model_type": "llama",
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "initializer_range": 0.2,
        **ids,
    }
    tower = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": side,
        "patch_size": patch_size,
    }
    config = config_class(
        vision_config=tower,
        text_config=decoder,
        scale_factor=scale_factor,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    torch.manual_seed(0)
    model_class(config).save_pretrained(folder)
    return tokenizer


def _idefics3(folder: Path, *, side: int, do_image_splitting: bool) -> None:
    tokenizer = _save_model(
        folder,
        config_class=Idefics3Config,
        model_class=Idefics3ForConditionalGeneration,
        side=side,
        patch_size=4,
        scale_factor=2,
    )
    Idefics3Processor(
        image_processor=Idefics3ImageProcessorPil(
            size={"longest_edge": 72}, max_image_size={"longest_edge": side}, do_image_splitting=do_image_splitting
        ),
        tokenizer=tokenizer,
        image_seq_len=(side // 8) ** 2,
        chat_template=IDEFICS3_TEMPLATE,
    ).save_pretrained(folder)


def save_idefics3(folder: Path) -> None:
    """Idefics3 that cuts pictures of 72 pixels into tiles of 24 x 24, 3 x 3 tokens each."""
    _idefics3(folder, side=24, do_image_splitting=True)


def save_idefics3_whole(folder: Path) -> None:
    """Idefics3 that only takes the whole picture, as one square of 48 x 48 pixels, 6 x 6 tokens."""
    _idefics3(folder, side=48, do_image_splitting=False)


def save_smolvlm(folder: Path) -> None:
    """SmolVLM with an odd tower: tiles of 29 x 29, 3 x 3 tokens of 9 pixels, 2 pixels right and below unseen."""
    tokenizer = _save_model(
        folder,
        config_class=SmolVLMConfig,
        model_class=SmolVLMForConditionalGeneration,
        side=29,
        patch_size=3,
        scale_factor=3,
    )
    tokenizer.chat_template = IDEFICS3_TEMPLATE
    tokenizer.save_pretrained(folder)
    SmolVLMImageProcessorPil(size={"longest_edge": 116}, max_image_size={"longest_edge": 29}).save_pretrained(folder)
    # The processor itself cannot be built here: its video part needs torchvision.
    settings = {"processor_class": "SmolVLMProcessor", "image_seq_len": 9}
    (folder / "processor_config.json").write_text(json.dumps(settings), encoding="utf-8")
