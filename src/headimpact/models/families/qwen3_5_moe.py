"""Qwen3.5 with experts: only the feed-forward layers differ from Qwen3.5; tower and attention do not."""

import dataclasses

from headimpact.models.families.qwen3_5 import FAMILY as QWEN3_5

FAMILY = dataclasses.replace(QWEN3_5, model_type="qwen3_5_moe", checkpoints=("Qwen/Qwen3.5-35B-A3B",))
