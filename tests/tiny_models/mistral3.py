"""Mistral 3, and LLaVA with a Pixtral tower; their processor needs torchvision, so tests are skipped without one."""

from pathlib import Path

import pytest
import torch
from transformers import (
    LlavaConfig,
    LlavaForConditionalGeneration,
    Ministral3Config,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    MistralConfig,
    PixtralImageProcessorPil,
    PixtralVisionConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from tests.tiny_models.tokenizers import byte_tokenizer

MISTRAL_SPECIAL = ("<pad>", "<s>", "</s>", "[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]")

MISTRAL_TEMPLATE = (
    "{{ '<s>' }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST]' }}{% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '[IMG]' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% if message['role'] == 'user' %}{{ '[/INST]' }}{% else %}{{ '</s>' }}{% endif %}{% endfor %}"
)


def mistral_tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer(
        *MISTRAL_SPECIAL,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=list(MISTRAL_SPECIAL[3:]),
    )


def _decoder(tokenizer: PreTrainedTokenizerFast) -> dict[str, object]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 2048,
        "initializer_range": 0.2,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def _tower(patch_size: int) -> PixtralVisionConfig:
    return PixtralVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=96,
        patch_size=patch_size,
    )


def _save(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, *, patch: int, merge: int) -> None:
    """Save a model with a processor that enlarges sides to whole tokens, at most 96 pixels long."""
    from transformers import PixtralProcessor

    model.save_pretrained(folder)
    PixtralProcessor(
        image_processor=PixtralImageProcessorPil(size={"longest_edge": 96}, patch_size=patch),
        tokenizer=tokenizer,
        patch_size=patch,
        spatial_merge_size=merge,
        chat_template=MISTRAL_TEMPLATE,
    ).save_pretrained(folder)


def _save_mistral3(folder: Path, decoder_class: type) -> None:
    pytest.importorskip("torchvision", reason="Pixtral's processor needs torchvision")
    tokenizer = mistral_tokenizer()
    config = Mistral3Config(
        vision_config=_tower(2),
        text_config=decoder_class(**_decoder(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("[IMG]"),
        spatial_merge_size=2,
    )
    torch.manual_seed(0)
    _save(folder, Mistral3ForConditionalGeneration(config), tokenizer, patch=2, merge=2)


def save_mistral3(folder: Path) -> None:
    """Mistral Small 3.1: 2 x 2 pixels a patch, 2 x 2 patches a token."""
    _save_mistral3(folder, MistralConfig)


def save_mistral3_ministral(folder: Path) -> None:
    """Ministral 3: the same around a decoder that scales its queries by their place."""
    _save_mistral3(folder, Ministral3Config)


def save_llava_pixtral(folder: Path) -> None:
    """Pixtral 12B, a LLaVA by its type: every patch of 8 x 8 pixels is a token."""
    pytest.importorskip("torchvision", reason="Pixtral's processor needs torchvision")
    tokenizer = mistral_tokenizer()
    config = LlavaConfig(
        vision_config=_tower(8),
        text_config=MistralConfig(**_decoder(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("[IMG]"),
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )
    torch.manual_seed(0)
    _save(folder, LlavaForConditionalGeneration(config), tokenizer, patch=8, merge=1)
