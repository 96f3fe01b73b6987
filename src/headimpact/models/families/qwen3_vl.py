"""Qwen3-VL: Qwen2-VL's grid with patches of 16 pixels; features of several tower layers enter the decoder.

Besides the embeddings, each of the first decoder layers gets features of an earlier tower layer added at the image
tokens. They are merged as the embeddings are, so a token stands for the same rectangle in every layer; but more than
embeddings enters the decoder, so it cannot be run without the tower.
"""

import dataclasses

from headimpact.models.families.qwen2_vl import FAMILY as QWEN2_VL

FAMILY = dataclasses.replace(
    QWEN2_VL,
    model_type="qwen3_vl",
    checkpoints=("Qwen/Qwen3-VL-2B-Instruct", "Qwen/Qwen3-VL-4B-Instruct"),
    grid_rule="one grid a picture in its own shape; sides rounded to multiples of 32 pixels",
    language_inputs=None,
)
