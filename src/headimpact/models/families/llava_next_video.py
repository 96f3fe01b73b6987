"""LLaVA-NeXT-Video: pictures enter as in LLaVA-NeXT; videos, which are pooled, are not scored."""

import dataclasses

from headimpact.models.families.llava_next import FAMILY as LLAVA_NEXT

FAMILY = dataclasses.replace(
    LLAVA_NEXT, model_type="llava_next_video", checkpoints=("llava-hf/LLaVA-NeXT-Video-7B-hf",)
)
