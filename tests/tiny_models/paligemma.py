"""PaliGemma with a Gemma decoder, and with a Gemma 2 decoder that caps logits and has windowed layers."""

from pathlib import Path

import torch
from transformers import (
    Gemma2Config,
    GemmaConfig,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PaliGemmaProcessor,
    SiglipImageProcessorPil,
)

from tests.tiny_models.aya_vision import siglip_tower
from tests.tiny_models.tokenizers import byte_tokenizer

PATCH = 8


def _save_paligemma(folder: Path, *, side: int, named: dict[str, str], text: type, **settings: object) -> None:
    # The processor adds tokens for places and segments to the tokenizer, so it comes first.
    image_processor = SiglipImageProcessorPil(size={"height": side, "width": side})
    image_processor.image_seq_length = (side // PATCH) ** 2
    processor = PaliGemmaProcessor(
        image_processor=image_processor,
        tokenizer=byte_tokenizer(
            "<pad>",
            "<eos>",
            "<bos>",
            *named.values(),
            bos_token="<bos>",
            eos_token="<eos>",
            pad_token="<pad>",
            **({"extra_special_tokens": named} if named else {}),
        ),
    )
    tokenizer = processor.tokenizer
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
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **settings,
    )
    config = PaliGemmaConfig(
        vision_config=siglip_tower(image_size=side, patch_size=PATCH),
        text_config=decoder,
        image_token_index=processor.image_token_id,
        vocab_size=len(tokenizer),
        projection_dim=32,
        hidden_size=32,
    )
    torch.manual_seed(0)
    PaliGemmaForConditionalGeneration(config).save_pretrained(folder)
    processor.save_pretrained(folder)


def save_paligemma(folder: Path) -> None:
    """PaliGemma: 48 x 48 pixels, 6 x 6 tokens; the tokenizer knows its image token by name."""
    _save_paligemma(folder, side=48, named={"image_token": "<image>"}, text=GemmaConfig)


def save_paligemma2(folder: Path) -> None:
    """PaliGemma 2: 44 x 44 pixels, 5 x 5 tokens, 4 pixels right and below unseen; capped logits, a window of 20."""
    _save_paligemma(
        folder,
        side=44,
        named={},
        text=Gemma2Config,
        attn_logit_softcapping=1.5,
        query_pre_attn_scalar=8,
        layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        sliding_window=20,
    )
