"""Qwen2.5-VL: windows inside its vision tower, but the tokens leave it in Qwen2-VL's order."""

import dataclasses

from headimpact.models.families.qwen2_vl import FAMILY as QWEN2_VL

FAMILY = dataclasses.replace(QWEN2_VL, model_type="qwen2_5_vl", checkpoints=("Qwen/Qwen2.5-VL-3B-Instruct",))
