"""Published vision-language models at full width and any depth: random weights, a tokenizer of our own, no download.

The weights are made where the model runs; on a GPU that takes seconds for billions of them.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForImageTextToText,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2VLConfig,
    Qwen2VLImageProcessorPil,
)

from headimpact.models.family import resolve_family
from headimpact.models.loading import LoadedModel
from headimpact.models.placement import Placement
from headimpact.models.processors import load_processor

VOCABULARY = 151_936
_SPECIAL = {
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
}
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_CORPUS = (
    "a large red square on a blue background, near the top of it, and a small circle beside it",
    "Describe the main object. system You are a helpful assistant. user assistant",
)
_ROPE = {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1e6}


def _qwen2_vl_2b(share: int, ids: dict[str, int]) -> PretrainedConfig:
    text = {
        "vocab_size": VOCABULARY, "hidden_size": 1536, "intermediate_size": 8960, "num_attention_heads": 12,
        "num_hidden_layers": 28 // share, "num_key_value_heads": 2, "max_position_embeddings": 32_768,
        "rope_parameters": _ROPE,
    }  # fmt: skip
    vision = {"depth": 32 // share, "embed_dim": 1280, "hidden_size": 1536, "num_heads": 16, "mlp_ratio": 4}
    return Qwen2VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids)


def _qwen2_5_vl_3b(share: int, ids: dict[str, int]) -> PretrainedConfig:
    text = {
        "vocab_size": VOCABULARY, "hidden_size": 2048, "intermediate_size": 11_008, "num_attention_heads": 16,
        "num_hidden_layers": 36 // share, "num_key_value_heads": 2, "max_position_embeddings": 128_000,
        "rope_parameters": _ROPE,
    }  # fmt: skip
    depth = 32 // share
    vision = {
        "depth": depth, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "out_hidden_size": 2048,
        "window_size": 112, "fullatt_block_indexes": [block for block in (7, 15, 23, 31) if block < depth],
    }  # fmt: skip
    return Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids)


WHOLE_MODELS: dict[str, Callable[[int, dict[str, int]], PretrainedConfig]] = {
    "Qwen2-VL-2B": _qwen2_vl_2b,
    "Qwen2.5-VL-3B": _qwen2_5_vl_3b,
}
"""Sizes as published; the first argument says one in how many layers of tower and decoder are left."""


def depths(name: str) -> tuple[int, int]:
    """Give the number of layers of a whole model's decoder and tower."""
    config: Any = WHOLE_MODELS[name](1, {})
    return config.text_config.num_hidden_layers, config.vision_config.depth


def build_whole_model(name: str, folder: Path, *, share: int, device: str, dtype: str = "bfloat16") -> LoadedModel:
    """Make a model where it runs, and its processor by way of files in a folder."""
    tokenizer = _tokenizer()
    config = WHOLE_MODELS[name](share, {one: tokenizer.convert_tokens_to_ids(token) for one, token in _SPECIAL.items()})
    placement = Placement.resolve(device=device, dtype=dtype)
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Qwen2VLImageProcessorPil().save_pretrained(folder)
    with torch.random.fork_rng(), torch.device(placement.device):
        torch.manual_seed(0)
        model = AutoModelForImageTextToText.from_config(config, dtype=placement.dtype).eval()
    return LoadedModel(
        model=model,
        processor=load_processor(str(folder), config, revision=None),
        family=resolve_family(config),
        name=name,
        revision=None,
        device=placement.device,
        dtype=model.dtype,
    )


@functools.cache
def _tokenizer() -> PreTrainedTokenizerFast:
    """Train a small byte-level BPE tokenizer; any text encodes."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *_SPECIAL.values()]
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(_CORPUS * 3, trainer=trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=_TEMPLATE,
        additional_special_tokens=special, clean_up_tokenization_spaces=False,
    )  # fmt: skip
