"""Qwen3-VL with experts: only the feed-forward layers differ from Qwen3-VL; tower and attention do not."""

import dataclasses

from headimpact.models.families.qwen3_vl import FAMILY as QWEN3_VL

FAMILY = dataclasses.replace(QWEN3_VL, model_type="qwen3_vl_moe", checkpoints=("Qwen/Qwen3-VL-30B-A3B-Instruct",))
