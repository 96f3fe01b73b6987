"""Options of `sensitivity`: the single source of its flags, defaults, help and YAML keys."""

from dataclasses import dataclass

from headimpact.workflows.configs import DataOptions, ModelOptions, OptionalCount, OutputOptions


@dataclass(frozen=True, kw_only=True)
class SensitivityConfig(ModelOptions, DataOptions, OutputOptions):
    """Measure how far the ranking by Head Impact moves with choices that the method leaves open."""

    split: str = "calibration"
    """Split to score on; `all` for every picture."""
    k: OptionalCount = None
    """Number of layers whose choice is compared; a seventh of all layers if left out."""
    wordings: tuple[str, ...] = ()
    """Other wordings of the prompt to try; a few general ones if left out."""
    max_new_tokens: int = 48
    """Longest answer of the model's own."""
    shard_size: int = 16
    """Pictures per shard; a stopped run loses at most one shard of work."""
