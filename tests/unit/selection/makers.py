"""Tiny scores for the tests of selection."""

import numpy as np

from headimpact.core.architecture import ArchitectureSummary
from headimpact.scoring.head_scores import STATISTICS, HeadScores

VALUES = (0.10, 0.40, 0.20, 0.30, 0.25, 0.05, 0.35, 0.15)
"""Layers from highest to lowest: 1 6 3 4 2 7 0 5."""


def architecture(num_layers=8, **changes) -> ArchitectureSummary:
    fields = {
        "model_type": "llava",
        "num_layers": num_layers,
        "num_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "hidden_size": 32,
        "projections": {"q_proj": (32, 32), "k_proj": (32, 16), "v_proj": (32, 16), "o_proj": (32, 32)},
        "attention_path": "model.language_model.layers.{layer_idx}.self_attn",
        "total_parameters": 100_000,
    }
    return ArchitectureSummary(**{**fields, **changes})


def qwen() -> ArchitectureSummary:
    """Give the true sizes of Qwen2.5-VL-3B."""
    return ArchitectureSummary(
        model_type="qwen2_5_vl",
        num_layers=36,
        num_heads=16,
        num_key_value_heads=2,
        head_dim=128,
        hidden_size=2048,
        projections={"q_proj": (2048, 2048), "k_proj": (2048, 256), "v_proj": (2048, 256), "o_proj": (2048, 2048)},
        attention_path="model.language_model.layers.{layer_idx}.self_attn",
        total_parameters=3_754_622_976,
    )


def head_scores(layer_values=VALUES, **changes) -> HeadScores:
    count = len(layer_values)
    of = changes.pop("architecture", architecture(count))
    names = ("head_impact", *STATISTICS)
    per_layer = np.array(layer_values, dtype=np.float32)
    fields = {
        "score": "head_impact",
        "values": {name: np.repeat(per_layer[:, None], of.num_heads, axis=1) for name in names},
        "layer_values": dict.fromkeys(names, per_layer),
        "counts": {"used": 20, "skipped": {}},
        "architecture": of,
        "image_hashes": ("0a", "1b"),
        "file_hash": "feedfeedfeedfeed",
    }
    return HeadScores(**{**fields, **changes})
