"""Janus: DeepSeek-VL's padding with a tower of its own; pictures are read, none are drawn."""

import dataclasses

from headimpact.models.families.deepseek_vl import FAMILY as DEEPSEEK_VL

FAMILY = dataclasses.replace(
    DEEPSEEK_VL,
    model_type="janus",
    checkpoints=("deepseek-community/Janus-Pro-1B", "deepseek-community/Janus-Pro-7B"),
)
