"""LLaVA with SigLIP and CLIP towers; its tokenizer and template serve other families too."""

from pathlib import Path

import torch
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaImageProcessorPil,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
)

from tests.tiny_models.tokenizers import byte_tokenizer

LLAVA_TEMPLATE = (
    "{{ '<s>' }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'User: ' }}{% else %}{{ '\nAssistant: ' }}{% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>\n' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% if message['role'] == 'assistant' %}{{ '</s>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\nAssistant:' }}{% endif %}"
)


def llava_tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer(
        "<pad>",
        "<s>",
        "</s>",
        "<image>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
    )


def _llava(folder: Path, *, tower: object, image_processor: object, class_tokens: int, template: str | None) -> None:
    tokenizer = llava_tokenizer()
    strategy = "default" if class_tokens else "full"
    decoder = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        initializer_range=0.2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config = LlavaConfig(
        vision_config=tower,
        text_config=decoder,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy=strategy,
        vision_feature_layer=-1,
    )
    torch.manual_seed(0)
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    LlavaProcessor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy=strategy,
        num_additional_image_tokens=class_tokens,
        chat_template=template,
    ).save_pretrained(folder)


def _tower_sizes(image_size: int) -> dict[str, int]:
    return {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "image_size": image_size,
        "patch_size": 8,
    }


def save_llava_siglip(folder: Path) -> None:
    """LLaVA with a SigLIP tower: plain resize to 44 x 44, 5 x 5 tokens, 4 pixels right and below unseen."""
    tower = SiglipVisionConfig(**_tower_sizes(44), vision_use_head=False)
    processor = SiglipImageProcessorPil(size={"height": 44, "width": 44})
    _llava(folder, tower=tower, image_processor=processor, class_tokens=0, template=LLAVA_TEMPLATE)


def save_llava_clip(folder: Path) -> None:
    """LLaVA with a CLIP tower: shortest edge to 48, centre crop, a class token that is dropped."""
    tower = CLIPVisionConfig(**_tower_sizes(48))
    processor = CLIPImageProcessorPil(size={"shortest_edge": 48}, crop_size={"height": 48, "width": 48})
    _llava(folder, tower=tower, image_processor=processor, class_tokens=1, template=LLAVA_TEMPLATE)


def save_llava_padded(folder: Path) -> None:
    """LLaVA with a CLIP tower that pads to a square; no chat template."""
    tower = CLIPVisionConfig(**_tower_sizes(48))
    processor = LlavaImageProcessorPil(size={"shortest_edge": 48}, crop_size={"height": 48, "width": 48}, do_pad=True)
    _llava(folder, tower=tower, image_processor=processor, class_tokens=1, template=None)
