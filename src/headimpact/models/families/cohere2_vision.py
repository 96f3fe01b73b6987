"""Command A Vision: Aya Vision's tiles and merging; as many tiles as the picture fills, a row break after each."""

import dataclasses

from headimpact.models.families.aya_vision import FAMILY as AYA_VISION

FAMILY = dataclasses.replace(
    AYA_VISION,
    model_type="cohere2_vision",
    checkpoints=("CohereLabs/command-a-vision-07-2025",),
    grid_rule="one square grid a tile, 16 x 16 as published; the picture's shape is not kept",
    tiles="up to 12 tiles, as many as the picture fills with the least enlargement, then the picture as a whole",
    needs_torchvision=True,
)
