"""Options of the command that advises; no torch."""

from dataclasses import dataclass

from headimpact.workflows.configs import OptionalCount, ScoreConfig


@dataclass(frozen=True, kw_only=True)
class AdviseConfig(ScoreConfig):
    """Say which layers to tune, beside chance, and write your trainer's config."""

    to: str = "peft"
    """Trainer that gets a config; see `headimpact list exports`."""
    k: OptionalCount = None
    """Number of layers to tune; a seventh of all layers if left out."""
    r: int = 8
    """LoRA rank."""
    target_modules: tuple[str, ...] = ("q_proj", "v_proj")
    """Attention projections that LoRA adapts in each chosen layer."""
