"""LFM3-VL: Qwen3-VL's grid; tower and decoder mix tokens by short convolutions in most layers.

Convolutions run over whole patches and add to what a patch already is, as attention does, so a token's place is that
of its patches. Decoder layers without attention have no heads; only the others are scored.
"""

import dataclasses

from headimpact.models.families.qwen3_vl import FAMILY as QWEN3_VL
from headimpact.models.families.video_llama_3 import plain_language_inputs

FAMILY = dataclasses.replace(
    QWEN3_VL,
    model_type="lfm3_vl",
    checkpoints=("LiquidAI/LFM3-VL-2B",),
    language_inputs=plain_language_inputs,
    continued_inputs=None,  # what convolutions leave is more than keys and values
)
