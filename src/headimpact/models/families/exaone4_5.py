"""EXAONE 4.5: Qwen2.5-VL's grid before a decoder with positions along one axis and, mostly, sliding windows."""

import dataclasses

from headimpact.models.families.qwen2_vl import FAMILY as QWEN2_VL
from headimpact.models.families.video_llama_3 import plain_language_inputs
from headimpact.models.family import nothing_more

FAMILY = dataclasses.replace(
    QWEN2_VL,
    model_type="exaone4_5",
    checkpoints=("LGAI-EXAONE/EXAONE-4.5-33B",),
    language_inputs=plain_language_inputs,
    continued_inputs=nothing_more,
)
