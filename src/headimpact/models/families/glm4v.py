"""GLM-4.1V: the picture keeps its shape, as in Qwen2-VL; a convolution turns 2 x 2 patches into one token."""

import dataclasses

from headimpact.models.families.qwen2_vl import FAMILY as QWEN2_VL

FAMILY = dataclasses.replace(
    QWEN2_VL, model_type="glm4v", checkpoints=("zai-org/GLM-4.1V-9B-Thinking", "zai-org/GLM-4.1V-9B-Base")
)
