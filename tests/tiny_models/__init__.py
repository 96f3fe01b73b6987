"""The one table of tiny vision-language models. Names begin with the `model_type`; contract tests take every one."""

from collections.abc import Mapping

from tests.tiny_models import llava, qwen_vl
from tests.tiny_models.tiny_model import TinyModel

TINY_MODELS: Mapping[str, TinyModel] = {
    "llava-siglip": TinyModel(save=llava.save_llava_siglip),
    "llava-clip": TinyModel(save=llava.save_llava_clip),
    "llava-padded": TinyModel(save=llava.save_llava_padded),
    "qwen2_vl": TinyModel(save=qwen_vl.save_qwen2_vl),
    "qwen2_5_vl": TinyModel(save=qwen_vl.save_qwen2_5_vl),
}
