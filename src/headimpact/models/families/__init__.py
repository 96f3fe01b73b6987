"""The one table of model families: Hugging Face `model_type` to the family's file, or to why it is refused."""

from collections.abc import Mapping
from types import MappingProxyType

from headimpact.core.registry import Registry

FAMILIES = Registry(
    "model family",
    {
        "llava": "headimpact.models.families.llava:FAMILY",
        "qwen2_vl": "headimpact.models.families.qwen2_vl:FAMILY",
        "qwen2_5_vl": "headimpact.models.families.qwen2_5_vl:FAMILY",
    },
)
"""Families whose image-token geometry is proven by the contract tests."""

_LEARNED_QUERIES = "its image enters through learned queries, so no image token stands for a place in the picture"
_ENCODER_DECODER = "it is an encoder-decoder; its answer does not look at image tokens through causal self-attention"

REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "blip-2": _LEARNED_QUERIES,
        "instructblip": _LEARNED_QUERIES,
        "idefics2": _LEARNED_QUERIES,
        "kosmos-2": _LEARNED_QUERIES,
        "florence2": _ENCODER_DECODER,
    }
)
"""Types that are known and cannot be scored, with the reason."""
