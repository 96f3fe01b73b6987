"""PaddleOCR-VL: Qwen2-VL's grid; patches come row by row, and the projector takes squares of 2 x 2 together."""

import dataclasses

from headimpact.models.families.qwen2_vl import FAMILY as QWEN2_VL

FAMILY = dataclasses.replace(
    QWEN2_VL,
    model_type="paddleocr_vl",
    checkpoints=("PaddlePaddle/PaddleOCR-VL",),
    pixel_order=None,  # patches come row by row, not in the blocks that are merged
)
