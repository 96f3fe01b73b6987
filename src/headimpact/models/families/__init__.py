"""The one table of model families: Hugging Face `model_type` to the family's file, or to why it is refused."""

from collections.abc import Mapping
from types import MappingProxyType

from headimpact.core.registry import Registry

FAMILIES = Registry(
    "model family",
    {
        "llava": "headimpact.models.families.llava:FAMILY",
        "llava_next": "headimpact.models.families.llava_next:FAMILY",
        "llava_next_video": "headimpact.models.families.llava_next_video:FAMILY",
        "llava_onevision": "headimpact.models.families.llava_onevision:FAMILY",
        "vipllava": "headimpact.models.families.vipllava:FAMILY",
        "qwen2_vl": "headimpact.models.families.qwen2_vl:FAMILY",
        "qwen2_5_vl": "headimpact.models.families.qwen2_5_vl:FAMILY",
        "qwen3_vl": "headimpact.models.families.qwen3_vl:FAMILY",
        "qwen3_vl_moe": "headimpact.models.families.qwen3_vl_moe:FAMILY",
        "qwen3_5": "headimpact.models.families.qwen3_5:FAMILY",
        "glm4v": "headimpact.models.families.glm4v:FAMILY",
        "glm46v": "headimpact.models.families.glm46v:FAMILY",
        "mllama": "headimpact.models.families.mllama:FAMILY",
        "idefics3": "headimpact.models.families.idefics3:FAMILY",
        "smolvlm": "headimpact.models.families.smolvlm:FAMILY",
        "internvl": "headimpact.models.families.internvl:FAMILY",
        "aya_vision": "headimpact.models.families.aya_vision:FAMILY",
        "cohere2_vision": "headimpact.models.families.cohere2_vision:FAMILY",
        "mistral3": "headimpact.models.families.mistral3:FAMILY",
        "molmo2": "headimpact.models.families.molmo2:FAMILY",
        "lfm2_vl": "headimpact.models.families.lfm2_vl:FAMILY",
        "paligemma": "headimpact.models.families.paligemma:FAMILY",
        "gemma3": "headimpact.models.families.gemma3:FAMILY",
    },
)
"""Families whose image-token geometry is proven by the contract tests; of those whose processors need torchvision,
where it is installed."""

TESTED_TRANSFORMERS = "5.23.0"
"""Version of transformers that the contract tests run with; `constraints.txt` pins the same."""

_LEARNED_QUERIES = "its image enters through learned queries, so no image token stands for a place in the picture"
_ENCODER_DECODER = "it is an encoder-decoder; its answer does not look at image tokens through causal self-attention"

REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "blip-2": _LEARNED_QUERIES,
        "instructblip": _LEARNED_QUERIES,
        "idefics2": _LEARNED_QUERIES,
        "kosmos-2": _LEARNED_QUERIES,
        "florence2": _ENCODER_DECODER,
        "got_ocr2": "its image tokens come from overlapping convolutions, so none stands for a place of its own",
    }
)
"""Types that are known and cannot be scored, with the reason."""
