"""Tiny selections, examples and models for the tests of tuning."""

import functools

import numpy as np
from PIL import Image
from transformers import (
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    SiglipVisionConfig,
)

from headimpact.core.architecture import ArchitectureSummary
from headimpact.models.family import resolve_family
from headimpact.selection.selection import Selection
from headimpact.tuning.examples import TuningExample

ANSWERS = ("a red circle", "a large blue square near the top", "circle")


def architecture(**changes) -> ArchitectureSummary:
    fields = {
        "model_type": "llava",
        "num_layers": 4,
        "num_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "hidden_size": 32,
        "projections": {"q_proj": (32, 32), "k_proj": (32, 16), "v_proj": (32, 16), "o_proj": (32, 32)},
        "attention_path": "model.language_model.layers.{layer_idx}.self_attn",
        "total_parameters": 100_000,
    }
    return ArchitectureSummary(**{**fields, **changes})


def selection(layers, of: ArchitectureSummary) -> Selection:
    return Selection(strategy="top-k", layers=tuple(layers), architecture=of)


def selection_for(model, layers) -> Selection:
    return selection(layers, resolve_family(model.config).architecture(model.config))


def examples(count: int, *, seed: int = 0, prompt: str = "Describe the main object.") -> list[TuningExample]:
    generator = np.random.default_rng(seed)
    made = []
    for number in range(count):
        height, width = generator.integers(40, 90, 2).tolist()
        picture = Image.fromarray(generator.integers(0, 255, (height, width, 3), dtype=np.uint8))
        made.append(
            TuningExample(
                image_id=f"picture-{number}",
                load_image=functools.partial(Image.Image.copy, picture),
                prompt=prompt,
                answer=ANSWERS[number % len(ANSWERS)],
            )
        )
    return made


def deep_llava(num_layers: int = 16) -> LlavaForConditionalGeneration:
    """LLaVA whose SigLIP tower has as many layers as its decoder, with the same projection names."""
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": num_layers,
        "num_attention_heads": 2,
    }
    return LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=SiglipVisionConfig(**sizes, image_size=16, patch_size=8, vision_use_head=False),
            text_config=LlamaConfig(**sizes, num_key_value_heads=1, vocab_size=64, pad_token_id=0),
            image_token_id=3,
            vision_feature_select_strategy="full",
            vision_feature_layer=-1,
        )
    ).eval()


def deep_qwen(num_layers: int = 12) -> Qwen2_5_VLForConditionalGeneration:
    """Qwen2.5-VL, whose tower has no projection of the decoder's names."""
    return Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config={
                "vocab_size": 64,
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_hidden_layers": num_layers,
                "num_attention_heads": 2,
                "num_key_value_heads": 1,
                "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0},
            },
            vision_config={
                "depth": 1,
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_heads": 2,
                "out_hidden_size": 16,
            },
            image_token_id=3,
        )
    ).eval()
