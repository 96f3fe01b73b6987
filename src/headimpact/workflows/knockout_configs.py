"""The config of `knockout`; see `configs.py`."""

from dataclasses import dataclass
from pathlib import Path

from headimpact.workflows.configs import (
    DataOptions,
    ModelOptions,
    OptionalCount,
    OptionalPath,
    OptionalText,
    OutputOptions,
)


@dataclass(frozen=True, kw_only=True)
class KnockoutConfig(ModelOptions, DataOptions, OutputOptions):
    """Silence the chosen heads' look at the picture: do they matter for the loss, more than others?"""

    scores: Path
    """Folder written by `headimpact score`; its scores choose the heads and layers."""
    score: OptionalText = None
    """Which of that run's scores chooses; the one it was started with if left out."""
    split: OptionalText = None
    """Split whose pictures judge; `validation` if left out, or `test` where there is none: not those that chose."""
    adapter: OptionalPath = None
    """PEFT adapter folder to put on the model first."""
    knockout: str = "renormalize"
    """What becomes of the weights on image tokens: `renormalize`, `zero`, `uniform` or `mean`."""
    rows: str = "all"
    """Rows that are silenced: `all`, or those that predict the `response`."""
    k: OptionalCount = None
    """Layers per choice; a seventh of all layers if left out."""
    head_k: OptionalCount = None
    """Heads per choice; as many as k layers hold if left out."""
    draws: int = 20
    """Random choices, and as many depth-matched ones, of layers and of heads."""
    each: str = "layer"
    """Silence every `head` or every `layer` alone too, so that scores can be held against it, or `none`."""
    without_gates: bool = False
    """Leave out the gate gradients, which take a backward pass and its memory."""
    response: str = "reference"
    """Answer whose loss counts: the `reference` caption or the model's `own` greedy answer."""
    generate: bool = False
    """Write answers under every choice too, and measure the fall of key-object recall; much dearer."""
    max_new_tokens: int = 48
    """Longest answer, with --generate or --response own."""
    margin: float = 0.05
    """Smallest difference that would matter, as a share of the rise when no head sees the picture."""
    bootstrap: int = 2000
    """Resamples behind the intervals."""
    shard_size: int = 8
    """Pictures per file of work that a stopped run keeps."""
