"""Qwen3.5: Qwen3-VL's grid, all features in the embeddings; most decoder layers have linear attention.

Linear attention has no softmax over keys, so only the full-attention layers (every fourth, as published) are scored:

    layer     0        1        2        3        4 ...
           linear   linear   linear    full    linear
            NaN      NaN      NaN     scored    NaN

Full attention is gated: `q_proj` gives, head by head, a query and a gate that scales what the head hands on. The gate
comes after the softmax, so attention weights are what they are elsewhere; LoRA on `q_proj` also tunes the gate.
"""

import dataclasses

from headimpact.models.families.qwen2_vl import FAMILY as QWEN2_VL

FAMILY = dataclasses.replace(
    QWEN2_VL,
    model_type="qwen3_5",
    checkpoints=("Qwen/Qwen3.5-2B", "Qwen/Qwen3.5-4B"),
    grid_rule="one grid a picture in its own shape; sides rounded to multiples of 32 pixels",
    continued_inputs=None,  # what linear attention leaves is more than keys and values
)
