"""GLM-4.5V: GLM-4.1V with experts; only feed-forward layers and rotary sections differ."""

import dataclasses

from headimpact.models.families.glm4v import FAMILY as GLM4V

FAMILY = dataclasses.replace(
    GLM4V,
    model_type="glm4v_moe",
    checkpoints=("zai-org/GLM-4.5V",),
)
