"""HyperCLOVA X Vision 2: Qwen2.5-VL's tower and grid before a decoder with positions along one axis."""

import dataclasses

from headimpact.models.families.qwen2_vl import FAMILY as QWEN2_VL
from headimpact.models.families.video_llama_3 import plain_language_inputs
from headimpact.models.family import nothing_more

FAMILY = dataclasses.replace(
    QWEN2_VL,
    model_type="hyperclovax_vision_v2",
    checkpoints=("naver-hyperclovax/HyperCLOVAX-SEED-Think-32B",),
    language_inputs=plain_language_inputs,
    continued_inputs=nothing_more,
)
