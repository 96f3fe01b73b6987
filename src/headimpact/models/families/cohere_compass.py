"""North Micro Vision: Qwen3-VL's tower and grid before Command's decoder, most of whose layers have a window."""

import dataclasses

from headimpact.models.families.qwen3_vl import FAMILY as QWEN3_VL

FAMILY = dataclasses.replace(
    QWEN3_VL, model_type="cohere_compass", checkpoints=("CohereLabs/North-Micro-Vision-Instruct",)
)
