"""Tiny vision-language models with random weights, saved like any checkpoint: real classes, nothing to download."""

import functools
from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaImageProcessorPil,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessorPil,
    SiglipImageProcessorPil,
    SiglipVisionConfig,
)

CORPUS = (
    "a red circle on a blue background",
    "Describe the main object. What colour is the large square near the top?",
    "User: Assistant: USER: ASSISTANT: system You are a helpful assistant. user assistant",
)

LLAVA_TEMPLATE = (
    "{{ '<s>' }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'User: ' }}{% else %}{{ '\nAssistant: ' }}{% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>\n' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% if message['role'] == 'assistant' %}{{ '</s>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\nAssistant:' }}{% endif %}"
)

QWEN_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

QWEN_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)


@functools.cache
def _byte_tokenizer(special: tuple[str, ...]) -> str:
    """Train a small byte-level BPE tokenizer; any text encodes."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(CORPUS * 3, trainer=trainer)
    return core.to_str()


def llava_tokenizer() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_byte_tokenizer(("<pad>", "<s>", "</s>", "<image>"))),
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        clean_up_tokenization_spaces=False,
        extra_special_tokens={"image_token": "<image>"},
    )


def qwen_tokenizer() -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_byte_tokenizer(QWEN_SPECIAL)),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        clean_up_tokenization_spaces=False,
        additional_special_tokens=list(QWEN_SPECIAL),
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


def _qwen_text(vocabulary: int, **more: object) -> dict[str, object]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "initializer_range": 0.2,
        "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0},
        **more,
    }


def _save_qwen(folder: Path, *, config_class: type, model_class: type, vision: dict[str, object]) -> None:
    tokenizer = qwen_tokenizer()
    ids = {
        name: tokenizer.convert_tokens_to_ids(token)
        for name, token in {
            "image_token_id": "<|image_pad|>",
            "video_token_id": "<|video_pad|>",
            "vision_start_token_id": "<|vision_start|>",
            "vision_end_token_id": "<|vision_end|>",
        }.items()
    }
    text = _qwen_text(
        len(tokenizer), bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    config = config_class(text_config=text, vision_config=vision, **ids)
    torch.manual_seed(0)
    model_class(config).save_pretrained(folder)
    tokenizer.chat_template = QWEN_TEMPLATE
    tokenizer.save_pretrained(folder)
    size = {"shortest_edge": 168 * 168, "longest_edge": 224 * 224}
    Qwen2VLImageProcessorPil(size=size).save_pretrained(folder)


def save_qwen2_5_vl(folder: Path) -> None:
    vision: dict[str, object] = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_heads": 4,
        "out_hidden_size": 32,
        "fullatt_block_indexes": [1],
        "window_size": 56,
    }
    _save_qwen(folder, config_class=Qwen2_5_VLConfig, model_class=Qwen2_5_VLForConditionalGeneration, vision=vision)


def save_qwen2_vl(folder: Path) -> None:
    vision: dict[str, object] = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 4, "mlp_ratio": 2}
    _save_qwen(folder, config_class=Qwen2VLConfig, model_class=Qwen2VLForConditionalGeneration, vision=vision)


TINY_MODELS: dict[str, Callable[[Path], None]] = {
    "llava-siglip": save_llava_siglip,
    "llava-clip": save_llava_clip,
    "llava-padded": save_llava_padded,
    "qwen2_vl": save_qwen2_vl,
    "qwen2_5_vl": save_qwen2_5_vl,
}
"""Every tiny checkpoint by name; ids of the contract tests start with the `model_type`."""
