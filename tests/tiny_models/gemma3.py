"""Gemma 3, with pictures as a whole and with pan-and-scan."""

from pathlib import Path

import torch
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessorPil,
    Gemma3Processor,
    Gemma3TextConfig,
)

from tests.tiny_models.aya_vision import siglip_tower
from tests.tiny_models.tokenizers import byte_tokenizer

GEMMA_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<start_of_image>' }}{% else %}{{ part['text'] | trim }}{% endif %}{% endfor %}"
    "{{ '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)

GEMMA_SPECIAL = (
    "<pad>",
    "<eos>",
    "<bos>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<start_of_image>",
    "<end_of_image>",
    "<image_soft_token>",
)


def _save_gemma3(folder: Path, *, side: int, windows: list[int | None], **crop_settings: object) -> None:
    tokenizer = byte_tokenizer(
        *GEMMA_SPECIAL,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        additional_special_tokens=list(GEMMA_SPECIAL[3:]),
        extra_special_tokens={
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
            "image_token": "<image_soft_token>",
        },
        # The processor's own defaults win over settings of its image part; those of the tokenizer win over them.
        **crop_settings,
    )
    decoder = Gemma3TextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        query_pre_attn_scalar=8,
        max_position_embeddings=4096,
        initializer_range=0.2,
        layer_types=["full_attention" if window is None else "sliding_attention" for window in windows],
        sliding_window=next(window for window in windows if window is not None),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config = Gemma3Config(
        vision_config=siglip_tower(image_size=side, patch_size=4),
        text_config=decoder,
        mm_tokens_per_image=36,
        boi_token_index=tokenizer.convert_tokens_to_ids("<start_of_image>"),
        eoi_token_index=tokenizer.convert_tokens_to_ids("<end_of_image>"),
        image_token_index=tokenizer.convert_tokens_to_ids("<image_soft_token>"),
    )
    torch.manual_seed(0)
    model = Gemma3ForConditionalGeneration(config)
    with torch.no_grad():  # it starts at zero, where no picture changes anything
        model.model.multi_modal_projector.mm_input_projection_weight.normal_(std=0.2)
    model.save_pretrained(folder)
    Gemma3Processor(
        image_processor=Gemma3ImageProcessorPil(size={"height": side, "width": side}),
        tokenizer=tokenizer,
        image_seq_length=36,
        chat_template=GEMMA_TEMPLATE,
    ).save_pretrained(folder)


def save_gemma3(folder: Path) -> None:
    """Gemma 3: 48 x 48 pixels, 12 x 12 patches averaged to 6 x 6 tokens; two layers with a wide window."""
    _save_gemma3(folder, side=48, windows=[512, 512, None])


def save_gemma3_crops(folder: Path) -> None:
    """Gemma 3 with pan-and-scan: a patch and a pixel right and below each crop unseen; windows of 30 tokens."""
    _save_gemma3(
        folder,
        side=53,
        windows=[30, None, 30],
        do_pan_and_scan=True,
        pan_and_scan_min_crop_size=16,
    )
