"""Command A Vision; its image processor exists for torchvision alone, so its tests are skipped without one."""

from pathlib import Path

import pytest
import torch
from transformers import Cohere2VisionConfig, Cohere2VisionForConditionalGeneration, Cohere2VisionProcessor

from tests.tiny_models.aya_vision import COHERE_TEMPLATE, cohere_decoder, cohere_tokenizer, siglip_tower

TOKENS_PER_SIDE = 6


def save_cohere2_vision(folder: Path) -> None:
    """Command A Vision: up to 12 tiles of 25 x 25 pixels, 6 x 6 tokens each, the last pixel unseen."""
    pytest.importorskip("torchvision", reason="cohere2_vision's image processor needs torchvision")
    from transformers import Cohere2VisionImageProcessor

    tokenizer = cohere_tokenizer(
        image_token="<|IMG_PATCH|>",
        boi_token="<|START_OF_IMG|>",
        eoi_token="<|END_OF_IMG|>",
        img_line_break_token="<|IMG_LINE_BREAK|>",
    )
    config = Cohere2VisionConfig(
        vision_config=siglip_tower(image_size=25, patch_size=2),
        text_config=cohere_decoder(tokenizer, sliding_window=60),
        image_token_id=tokenizer.convert_tokens_to_ids("<|IMG_PATCH|>"),
        alignment_intermediate_size=512,
    )
    torch.manual_seed(0)
    Cohere2VisionForConditionalGeneration(config).save_pretrained(folder)
    image_processor = Cohere2VisionImageProcessor(size={"height": 25, "width": 25})
    image_processor.patch_size = TOKENS_PER_SIDE  # the processor takes it for the tokens along a tile's side
    Cohere2VisionProcessor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        chat_template=COHERE_TEMPLATE.replace("image_token", "'<|IMG_PATCH|>'"),
    ).save_pretrained(folder)
