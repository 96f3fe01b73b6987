"""GLM-4.1V, GLM-4.5V and GLM-4.6V; their answers have no end token of their own in the template."""

from pathlib import Path

import torch
from transformers import (
    Glm4vConfig,
    Glm4vForConditionalGeneration,
    Glm4vImageProcessorPil,
    Glm4vMoeConfig,
    Glm4vMoeForConditionalGeneration,
    Glm46VConfig,
    Glm46VForConditionalGeneration,
    Glm46VImageProcessorPil,
    PreTrainedTokenizerFast,
)

from tests.tiny_models.tokenizers import byte_tokenizer

GLM_TEMPLATE = (
    "[gMASK]<sop>\n"
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<|begin_of_image|><|image|><|end_of_image|>' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)

PATCH = 8


def glm_tokenizer() -> PreTrainedTokenizerFast:
    special = (
        "<|endoftext|>",
        "[gMASK]",
        "<sop>",
        "<|user|>",
        "<|assistant|>",
        "<|begin_of_image|>",
        "<|end_of_image|>",
        "<|begin_of_video|>",
        "<|end_of_video|>",
        "<|image|>",
        "<|video|>",
    )
    return byte_tokenizer(
        *special, eos_token="<|endoftext|>", pad_token="<|endoftext|>", additional_special_tokens=list(special)
    )


def _save_glm(
    folder: Path, *, config_class: type, model_class: type, processor_class: type, kind: str = "glm4v", **experts: int
) -> None:
    tokenizer = glm_tokenizer()
    names = ("image", "video", "begin_of_image", "end_of_image", "begin_of_video", "end_of_video")
    image, video, image_start, image_end, video_start, video_end = tokenizer.convert_tokens_to_ids(
        [f"<|{name}|>" for name in names]
    )
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "initializer_range": 0.2,
        "rope_parameters": {
            "rope_type": "default",
            "mrope_section": [1, 0, 1],
            "rope_theta": 10000.0,
            "partial_rotary_factor": 0.5,
        },
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 4,
        "out_hidden_size": 32,
        "image_size": 64,
        "patch_size": PATCH,
    }
    config = config_class(
        text_config={"model_type": f"{kind}_text", **text, **experts},
        vision_config={"model_type": f"{kind}_vision", **vision},
        image_token_id=image,
        video_token_id=video,
        image_start_token_id=image_start,
        image_end_token_id=image_end,
        video_start_token_id=video_start,
        video_end_token_id=video_end,
    )
    torch.manual_seed(0)
    model_class(config).save_pretrained(folder)
    tokenizer.chat_template = GLM_TEMPLATE
    tokenizer.save_pretrained(folder)
    # A picture counts as two frames, so this is 96 x 96 to 128 x 128 pixels: 36 to 64 tokens.
    size = {"shortest_edge": 2 * 96 * 96, "longest_edge": 2 * 128 * 128}
    processor_class(size=size, patch_size=PATCH).save_pretrained(folder)


def save_glm4v(folder: Path) -> None:
    """GLM-4.1V."""
    _save_glm(
        folder,
        config_class=Glm4vConfig,
        model_class=Glm4vForConditionalGeneration,
        processor_class=Glm4vImageProcessorPil,
    )


def save_glm46v(folder: Path) -> None:
    """GLM-4.6V."""
    _save_glm(
        folder,
        config_class=Glm46VConfig,
        model_class=Glm46VForConditionalGeneration,
        processor_class=Glm46VImageProcessorPil,
    )


def save_glm4v_moe(folder: Path) -> None:
    """GLM-4.5V with two of four experts a token, but for the first layer."""
    _save_glm(
        folder,
        config_class=Glm4vMoeConfig,
        model_class=Glm4vMoeForConditionalGeneration,
        processor_class=Glm4vImageProcessorPil,
        kind="glm4v_moe",
        n_routed_experts=4,
        num_experts_per_tok=2,
        moe_intermediate_size=24,
        first_k_dense_replace=1,
    )
