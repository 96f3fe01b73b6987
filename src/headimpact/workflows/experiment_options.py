"""What an experiment must have before anything of it is written: sound options, room for its arms, its splits."""

from pathlib import Path
from typing import TYPE_CHECKING

from headimpact.core.errors import DataFormatError, OptionError
from headimpact.core.registry import unknown_name_message
from headimpact.data.dataset import KeyObjectDataset
from headimpact.evaluation.metrics import METRICS
from headimpact.selection.strategies import select_layers
from headimpact.workflows.configs import ExperimentConfig
from headimpact.workflows.dataset import read_checked

if TYPE_CHECKING:
    from headimpact.models.loading import LoadedModel


def check_options(config: ExperimentConfig) -> None:
    """Refuse options that cannot be carried out before anything is written.

    Raises:
        OptionError: If a number is out of range or the task is unknown.
        UnknownNameError: If the primary metric is unknown.
    """
    from headimpact.embedded.tasks import TASKS

    METRICS[config.primary]
    if not config.margin > 0:
        raise OptionError(f"--margin is {config.margin}; expected a difference above 0 that would matter.")
    if config.data is None and config.task not in TASKS:
        raise OptionError(unknown_name_message("task", config.task, TASKS))
    for name in ("calibration", "train", "test", "seeds", "max_steps", "batch_size"):
        if getattr(config, name) < 1:
            raise OptionError(f"--{name.replace('_', '-')} is {getattr(config, name)}; expected 1 or more.")
    if config.exhaustive and config.random_draws != ExperimentConfig.random_draws:
        raise OptionError(
            f"--random-draws is {config.random_draws}, but every set of layers is tuned here. Leave it out, or use "
            "headimpact demo."
        )
    if config.random_draws < 1 and not config.exhaustive:
        raise OptionError("--random-draws is 0; expected 1 or more: random choices are the chance level.")


def check_arms(config: ExperimentConfig, loaded: "LoadedModel") -> None:
    """Refuse arms that the model has no room for, before anything is written.

    Raises:
        OptionError: If k, r or the projections do not fit the model.
        UnknownNameError: If the model has no such projection.
    """
    architecture = loaded.family.architecture(loaded.config)
    select_layers(architecture, strategy="last-n", k=config.k, r=config.r, target_modules=tuple(config.target_modules))


def read_splits(folder: Path) -> KeyObjectDataset:
    """Read a data folder and check that every split of an experiment has pictures.

    Raises:
        DataFormatError: If the folder has faults, or a split has no picture that says something.
        UnknownNameError: If a split is missing.
    """
    data = read_checked(folder)
    for name in ("calibration", "train", "test"):
        if not len(data.split(name)):
            raise DataFormatError(f"No picture left in {folder} (split {name!r}); expected at least one.")
    return data
