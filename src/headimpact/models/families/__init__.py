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
        "qwen3_5_moe": "headimpact.models.families.qwen3_5_moe:FAMILY",
        "video_llama_3": "headimpact.models.families.video_llama_3:FAMILY",
        "exaone4_5": "headimpact.models.families.exaone4_5:FAMILY",
        "hyperclovax_vision_v2": "headimpact.models.families.hyperclovax_vision_v2:FAMILY",
        "lfm3_vl": "headimpact.models.families.lfm3_vl:FAMILY",
        "cohere_compass": "headimpact.models.families.cohere_compass:FAMILY",
        "paddleocr_vl": "headimpact.models.families.paddleocr_vl:FAMILY",
        "hunyuan_vl": "headimpact.models.families.hunyuan_vl:FAMILY",
        "glm4v": "headimpact.models.families.glm4v:FAMILY",
        "glm46v": "headimpact.models.families.glm46v:FAMILY",
        "glm4v_moe": "headimpact.models.families.glm4v_moe:FAMILY",
        "mllama": "headimpact.models.families.mllama:FAMILY",
        "idefics3": "headimpact.models.families.idefics3:FAMILY",
        "smolvlm": "headimpact.models.families.smolvlm:FAMILY",
        "internvl": "headimpact.models.families.internvl:FAMILY",
        "aya_vision": "headimpact.models.families.aya_vision:FAMILY",
        "cohere2_vision": "headimpact.models.families.cohere2_vision:FAMILY",
        "ovis2": "headimpact.models.families.ovis2:FAMILY",
        "deepseek_vl": "headimpact.models.families.deepseek_vl:FAMILY",
        "janus": "headimpact.models.families.janus:FAMILY",
        "mistral3": "headimpact.models.families.mistral3:FAMILY",
        "molmo2": "headimpact.models.families.molmo2:FAMILY",
        "lfm2_vl": "headimpact.models.families.lfm2_vl:FAMILY",
        "paligemma": "headimpact.models.families.paligemma:FAMILY",
        "gemma3": "headimpact.models.families.gemma3:FAMILY",
        "gemma4": "headimpact.models.families.gemma4:FAMILY",
    },
)
"""Families whose image-token geometry is proven by the contract tests; of those whose processors need torchvision,
where it is installed."""

TESTED_TRANSFORMERS = "5.23.0"
"""Version of transformers that the contract tests run with; `constraints.txt` pins the same."""

_LEARNED_QUERIES = "its image enters through learned queries, so no image token stands for a place in the picture"
_ENCODER_DECODER = "it is an encoder-decoder; its answer does not look at image tokens through causal self-attention"

_OVERLAPPING = "its image tokens come from overlapping convolutions, so none stands for a place of its own"
_CODEBOOK = (
    "its image tokens are entries of a codebook that overlapping convolutions chose; none has a place of its own"
)

REFUSED: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("aria", "blip-2", "deepseek_ocr2", "idefics", "idefics2"), _LEARNED_QUERIES),
        **dict.fromkeys(("instructblip", "instructblipvideo", "kosmos-2", "kosmos-2.5"), _LEARNED_QUERIES),
        "granite4_vision": "its image tokens are learned queries over windows, whose places inside are not known",
        **dict.fromkeys(("florence2", "pix2struct", "pp_formulanet", "t5gemma2", "udop"), _ENCODER_DECODER),
        "vision-encoder-decoder": _ENCODER_DECODER,
        **dict.fromkeys(
            ("fast_vlm", "gemma3n", "got_ocr2", "pp_chart2table", "step3p7", "unlimited_ocr"), _OVERLAPPING
        ),
        "deepseek_vl_hybrid": "half of each image token comes from overlapping convolutions and has no place",
        **dict.fromkeys(("chameleon", "emu3"), _CODEBOOK),
        "diffusion_gemma": "it writes blocks of text at once, so no row of attention predicts a token of its own",
        "shieldgemma2": "it judges pictures by a policy and writes no text",
        "pi0": "it gives a robot's actions, no text",
        "evolla": "it takes proteins, no pictures",
    }
)
"""Types that are known and cannot be scored, with the reason."""
