"""The command that hands a selection to another trainer: its config; no torch."""

from dataclasses import dataclass

from headimpact.workflows.configs import OptionalCount, OptionalPath, OptionalText


@dataclass(frozen=True, kw_only=True)
class ExportSelectionConfig:
    """Write the config with which another trainer tunes exactly the chosen layers, or check what it trained."""

    selection: OptionalPath = None
    """selection.json, or the folder that holds it."""
    to: OptionalText = None
    """Trainer that will read it; see `headimpact list exports`."""
    check: OptionalPath = None
    """Instead: PEFT adapter, or run folder of `tune`, each weight of which must find a module of --model."""
    model: OptionalText = None
    """Model that --check is about; its config alone is read."""
    out: OptionalPath = None
    """File to write; stdout if left out."""
    overwrite: bool = False
    """Replace a file that already exists."""
    r: OptionalCount = None
    """LoRA rank; that of the selection if left out."""
    lora_alpha: int = 16
    """LoRA scale: the update is multiplied by lora_alpha / r."""
    lora_dropout: float = 0.0
    """Dropout before the LoRA matrices."""
    target_modules: tuple[str, ...] = ()
    """Attention projections that LoRA adapts; those of the selection if left out."""
    json: bool = False
    """Print the answer, the exported text in it, as JSON on stdout."""
    config: OptionalPath = None
    """YAML file with values for these options; flags win over it."""
