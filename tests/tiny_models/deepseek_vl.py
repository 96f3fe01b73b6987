"""DeepSeek-VL with a SigLIP tower, and Janus with its own; one tokenizer and template serve both."""

from pathlib import Path

import torch
from transformers import (
    DeepseekVLConfig,
    DeepseekVLForConditionalGeneration,
    DeepseekVLImageProcessorPil,
    DeepseekVLProcessor,
    JanusConfig,
    JanusForConditionalGeneration,
    JanusImageProcessorPil,
    JanusProcessor,
    JanusVisionConfig,
    JanusVQVAEConfig,
    LlamaConfig,
    PreTrainedTokenizerFast,
)

from tests.tiny_models.aya_vision import siglip_tower
from tests.tiny_models.llava_next import small_decoder
from tests.tiny_models.tokenizers import byte_tokenizer

DEEPSEEK_TEMPLATE = (
    "{{ '<s>' }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'User: ' }}{% else %}{{ 'Assistant: ' }}{% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image_placeholder>\n' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% if message['role'] == 'user' %}{{ '\n\n' }}{% else %}{{ '</s>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)


def deepseek_tokenizer() -> PreTrainedTokenizerFast:
    return byte_tokenizer(
        "<pad>",
        "<s>",
        "</s>",
        "<image_placeholder>",
        "<begin_of_image>",
        "<end_of_image>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens={
            "image_token": "<image_placeholder>",
            "boi_token": "<begin_of_image>",
            "eoi_token": "<end_of_image>",
        },
    )


def save_deepseek_vl(folder: Path) -> None:
    """Pictures padded to 50 x 50 pixels, 6 x 6 tokens, the last 2 pixels right and below unseen."""
    tokenizer = deepseek_tokenizer()
    config = DeepseekVLConfig(
        vision_config=siglip_tower(image_size=50, patch_size=8),
        text_config=small_decoder(LlamaConfig, tokenizer),
        image_token_id=tokenizer.convert_tokens_to_ids("<image_placeholder>"),
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    DeepseekVLForConditionalGeneration(config).save_pretrained(folder)
    DeepseekVLProcessor(
        image_processor=DeepseekVLImageProcessorPil(size={"height": 50, "width": 50}),
        tokenizer=tokenizer,
        num_image_tokens=36,
        chat_template=DEEPSEEK_TEMPLATE,
    ).save_pretrained(folder)


def save_janus(folder: Path) -> None:
    """Pictures padded to 48 x 48 pixels, 6 x 6 tokens between two markers; the part that draws is tiny."""
    tokenizer = deepseek_tokenizer()
    decoder = small_decoder(LlamaConfig, tokenizer)
    tower = JanusVisionConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=48,
        patch_size=8,
        mlp_ratio=2,
        projection_dim=32,
        num_image_tokens=36,
    )
    drawing = JanusVQVAEConfig(
        embed_dim=4,
        num_embeddings=8,
        latent_channels=32,
        base_channels=32,
        channel_multiplier=[1],
        num_res_blocks=1,
        num_patches=2,
        projection_dim=32,
        image_token_embed_dim=32,
    )
    config = JanusConfig(
        vision_config=tower,
        text_config=decoder,
        vq_config=drawing,
        image_token_id=tokenizer.convert_tokens_to_ids("<image_placeholder>"),
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    JanusForConditionalGeneration(config).save_pretrained(folder)
    JanusProcessor(
        image_processor=JanusImageProcessorPil(size={"height": 48, "width": 48}),
        tokenizer=tokenizer,
        num_image_tokens=36,
        chat_template=DEEPSEEK_TEMPLATE,
    ).save_pretrained(folder)
