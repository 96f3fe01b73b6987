"""Trainable count and share before a model is loaded; on an attached model, `lora.count_parameters` counts.

The arithmetic lies in `core`, because budgets of `selection` need it too.
"""

from headimpact.core.lora_arithmetic import TrainableCount, count_lora_parameters

__all__ = ["TrainableCount", "count_lora_parameters"]
