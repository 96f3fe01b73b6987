"""Opens the model that a command names."""

from pathlib import Path
from typing import TYPE_CHECKING

from headimpact.workflows.configs import ModelOptions

if TYPE_CHECKING:
    from headimpact.models.loading import LoadedModel


def open_model(config: ModelOptions, *, adapter: Path | None = None) -> "LoadedModel":
    """Load a command's model without transformers' own progress bars.

    Args:
        config: The model options of a command.
        adapter: Folder of a PEFT adapter to put on it.

    Returns:
        The model, ready to run.

    Raises:
        HeadImpactError: If it cannot be loaded; the message says why.
    """
    from transformers.utils.logging import disable_progress_bar

    from headimpact.models.loading import load_model

    disable_progress_bar()
    return load_model(
        config.model,
        adapter=adapter,
        revision=config.revision,
        device=config.device,
        dtype=config.dtype,
        attn_implementation=config.attn_implementation,
    )
