"""SmolVLM: Idefics3's tiles and merging under another name; its pictures only, no videos."""

import dataclasses

from headimpact.models.families.idefics3 import FAMILY as IDEFICS3

FAMILY = dataclasses.replace(
    IDEFICS3,
    model_type="smolvlm",
    checkpoints=("HuggingFaceTB/SmolVLM2-2.2B-Instruct", "HuggingFaceTB/SmolVLM2-500M-Video-Instruct"),
)
