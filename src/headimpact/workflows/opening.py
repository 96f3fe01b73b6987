"""Opens the model that a command names."""

from pathlib import Path
from typing import TYPE_CHECKING

from headimpact.core.architecture import ArchitectureSummary
from headimpact.core.errors import DataFormatError
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
        device_map=config.device_map,
        quantization=config.quantization,
    )


def check_model(config: ModelOptions) -> None:
    """Refuse, without loading weights, a model that cannot be opened: what a dry run checks.

    Raises:
        HeadImpactError: If device, number format, attention, folder or family will not do; the message says why.
    """
    from headimpact.models.loading import check_checkpoint
    from headimpact.models.placement import Placement

    Placement.resolve(
        device=config.device, dtype=config.dtype, device_map=config.device_map, quantization=config.quantization
    )
    check_checkpoint(config.model, revision=config.revision, attn_implementation=config.attn_implementation)


def read_architecture(config: ModelOptions) -> ArchitectureSummary:
    """Give the sizes of a model's language part from its config alone.

    Args:
        config: The model options of a command.

    Returns:
        What selection, budgets and estimates need.

    Raises:
        DataFormatError: If the config cannot be read.
        UnsupportedModelError: If it is of no supported family.
    """
    from headimpact.models.checkpoint_files import read_config
    from headimpact.models.family import resolve_family
    from headimpact.models.loading import resolve_source

    found = read_config(resolve_source(config.model), config.revision)
    return resolve_family(found).architecture(found)


def find_adapter(folder: Path) -> Path:
    """Find the PEFT adapter of a tuning run.

    Args:
        folder: Run folder of `tune`, or a PEFT adapter folder.

    Returns:
        The folder with `adapter_config.json`.

    Raises:
        DataFormatError: If there is no adapter.
    """
    adapter = folder / "adapter" if (folder / "adapter").is_dir() else folder
    if not (adapter / "adapter_config.json").is_file():
        raise DataFormatError(
            f"No adapter at {folder}: expected adapter_config.json there or in its folder adapter/. "
            "Pass the --out of headimpact tune, or a PEFT adapter."
        )
    return adapter
