"""ViP-LLaVA: a CLIP tower, two of whose layers are projected side by side; no chat template."""

from pathlib import Path

import torch
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaProcessor,
    VipLlavaConfig,
    VipLlavaForConditionalGeneration,
)

from tests.tiny_models.llava import llava_tokenizer
from tests.tiny_models.llava_next import PATCH, small_decoder, tower_sizes

SIDE = 48


def save_vipllava(folder: Path) -> None:
    """Shortest edge to 48, centre crop, 6 x 6 tokens."""
    tokenizer = llava_tokenizer()
    config = VipLlavaConfig(
        vision_config=CLIPVisionConfig(**tower_sizes(SIDE)),
        text_config=small_decoder(LlamaConfig, tokenizer),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=(-2, -1),
    )
    torch.manual_seed(0)
    VipLlavaForConditionalGeneration(config).save_pretrained(folder)
    LlavaProcessor(
        image_processor=CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
