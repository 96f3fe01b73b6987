"""GLM-4.6V: GLM-4.1V's tower and decoder under another name; only videos are laid out otherwise."""

import dataclasses

from headimpact.models.families.glm4v import FAMILY as GLM4V

FAMILY = dataclasses.replace(GLM4V, model_type="glm46v", checkpoints=())
