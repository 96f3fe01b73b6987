"""The one table of tiny vision-language models. Names begin with the `model_type`; contract tests take every one."""

from collections.abc import Mapping

from tests.tiny_models import (
    aya_vision,
    cohere2_vision,
    deepseek_vl,
    gemma3,
    gemma4,
    glm4v,
    idefics3,
    internvl,
    lfm2_vl,
    llava,
    llava_next,
    llava_onevision,
    mistral3,
    mllama,
    molmo2,
    ovis2,
    paddleocr_vl,
    paligemma,
    plain_positions,
    qwen3_5,
    qwen3_vl,
    qwen_vl,
    vipllava,
)
from tests.tiny_models.tiny_model import TinyModel

TINY_MODELS: Mapping[str, TinyModel] = {
    "llava-siglip": TinyModel(save=llava.save_llava_siglip),
    "llava-clip": TinyModel(save=llava.save_llava_clip),
    "llava-padded": TinyModel(save=llava.save_llava_padded),
    "llava_next-clip": TinyModel(save=llava_next.save_llava_next_clip),
    "llava_next-granite": TinyModel(save=llava_next.save_llava_next_granite),
    "llava_next_video": TinyModel(save=llava_next.save_llava_next_video),
    "llava_onevision": TinyModel(save=llava_onevision.save_llava_onevision),
    "llava_onevision-shrunk": TinyModel(save=llava_onevision.save_llava_onevision_shrunk, tokens_per_pixel=4),
    "vipllava": TinyModel(save=vipllava.save_vipllava),
    "qwen2_vl": TinyModel(save=qwen_vl.save_qwen2_vl),
    "qwen2_5_vl": TinyModel(save=qwen_vl.save_qwen2_5_vl),
    "qwen3_vl": TinyModel(save=qwen3_vl.save_qwen3_vl),
    "qwen3_vl_moe": TinyModel(save=qwen3_vl.save_qwen3_vl_moe),
    "qwen3_5": TinyModel(save=qwen3_5.save_qwen3_5),
    "qwen3_5-interleaved": TinyModel(save=qwen3_5.save_qwen3_5_interleaved),
    "qwen3_5_moe": TinyModel(save=qwen3_5.save_qwen3_5_moe),
    "glm4v": TinyModel(save=glm4v.save_glm4v),
    "glm46v": TinyModel(save=glm4v.save_glm46v),
    "glm4v_moe": TinyModel(save=glm4v.save_glm4v_moe),
    "video_llama_3": TinyModel(save=plain_positions.save_video_llama_3),
    "video_llama_3-merged": TinyModel(save=plain_positions.save_video_llama_3_merged),
    "exaone4_5": TinyModel(save=plain_positions.save_exaone4_5),
    "hyperclovax_vision_v2": TinyModel(save=plain_positions.save_hyperclovax_vision_v2),
    "lfm3_vl": TinyModel(
        save=plain_positions.save_lfm3_vl,
        mixing=("self_attn.out_proj", "conv.out_proj"),
        patch_embedding=("patch_embed",),
        channel_first=True,
    ),
    "cohere_compass": TinyModel(save=qwen3_vl.save_cohere_compass),
    "paddleocr_vl": TinyModel(save=paddleocr_vl.save_paddleocr_vl),
    "hunyuan_vl": TinyModel(save=paddleocr_vl.save_hunyuan_vl, mixing=("self_attn.o_proj",)),
    "mllama": TinyModel(save=mllama.save_mllama, mixing=("self_attn.o_proj",), class_tokens=True, interleaves=False),
    "mllama-pair": TinyModel(
        save=mllama.save_mllama_pair, mixing=("self_attn.o_proj",), class_tokens=True, interleaves=False
    ),
    "idefics3": TinyModel(save=idefics3.save_idefics3, filter_reach=4, drops_empty_tiles=True),
    "idefics3-whole": TinyModel(save=idefics3.save_idefics3_whole, filter_reach=4, drops_empty_tiles=True),
    "smolvlm": TinyModel(save=idefics3.save_smolvlm, filter_reach=4, drops_empty_tiles=True),
    "internvl": TinyModel(save=internvl.save_internvl, mixing=internvl.MIXING, patch_embedding=internvl.PATCHES),
    "internvl-whole": TinyModel(
        save=internvl.save_internvl_whole, mixing=internvl.MIXING, patch_embedding=internvl.PATCHES
    ),
    "aya_vision": TinyModel(save=aya_vision.save_aya_vision),
    "aya_vision-windowed": TinyModel(save=aya_vision.save_aya_vision_windowed),
    "cohere2_vision": TinyModel(save=cohere2_vision.save_cohere2_vision),
    "ovis2": TinyModel(save=ovis2.save_ovis2),
    "ovis2-whole": TinyModel(save=ovis2.save_ovis2_whole),
    "deepseek_vl": TinyModel(save=deepseek_vl.save_deepseek_vl),
    "janus": TinyModel(save=deepseek_vl.save_janus, mixing=("self_attn.projection_layer",)),
    "mistral3": TinyModel(save=mistral3.save_mistral3, mixing=("attention.o_proj",), patch_embedding=("patch_conv",)),
    "mistral3-ministral": TinyModel(
        save=mistral3.save_mistral3_ministral, mixing=("attention.o_proj",), patch_embedding=("patch_conv",)
    ),
    "llava-pixtral": TinyModel(
        save=mistral3.save_llava_pixtral, mixing=("attention.o_proj",), patch_embedding=("patch_conv",)
    ),
    "molmo2": TinyModel(save=molmo2.save_molmo2, mixing=("self_attn.o_proj",)),
    "lfm2_vl": TinyModel(save=lfm2_vl.save_lfm2_vl),
    "lfm2_vl-whole": TinyModel(save=lfm2_vl.save_lfm2_vl_whole),
    "paligemma": TinyModel(save=paligemma.save_paligemma),
    "paligemma-capped": TinyModel(save=paligemma.save_paligemma2),
    "gemma3": TinyModel(save=gemma3.save_gemma3),
    "gemma3-crops": TinyModel(save=gemma3.save_gemma3_crops),
    "gemma4": TinyModel(save=gemma4.save_gemma4, mixing=gemma4.MIXING, patch_embedding=gemma4.PATCHES),
    "gemma4-mutual": TinyModel(save=gemma4.save_gemma4_mutual, mixing=gemma4.MIXING, patch_embedding=gemma4.PATCHES),
}
