"""Tiny makers of run files and broken files, for the tests of whole commands."""

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from headimpact.core.architecture import ArchitectureSummary
from headimpact.scoring.head_scores import STATISTICS, HeadScores
from tests.builders import picture

TINY = ArchitectureSummary(
    model_type="llava",
    num_layers=3,
    num_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    hidden_size=32,
    projections={"q_proj": (32, 32), "k_proj": (32, 16), "v_proj": (32, 16), "o_proj": (32, 32)},
    attention_path="model.language_model.layers.{layer_idx}.self_attn",
    total_parameters=71_040,
)
"""The language part of the tiny LLaVA; a test of the selection stage needs no model."""


def written_scores(folder: Path, *, unscored: tuple[int, ...] = ()) -> Path:
    """Write scores of the tiny LLaVA as `score` would; layer 2 is the highest."""
    values = np.linspace(0.1, 0.9, 12, dtype=np.float32).reshape(3, 4)
    values[list(unscored)] = np.nan
    layers = values.mean(axis=1)
    scores = HeadScores(
        score="head_impact",
        values=dict.fromkeys(("head_impact", *STATISTICS), values),
        layer_values=dict.fromkeys(("head_impact", *STATISTICS), layers),
        counts={"used": 2, "skipped": {}},
        architecture=TINY,
    )
    scores.write(folder)
    return folder


def bomb(path: Path) -> Path:
    """Write a PNG of a few bytes that claims 50,000 x 50,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 10)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def truncated(path: Path) -> Path:
    """Write a picture whose end is missing."""
    picture(path, (64, 64))
    path.write_bytes(path.read_bytes()[:-900])
    return path


def edit_json(path: Path, **changes: Any) -> Path:
    """Change top-level values of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return path
