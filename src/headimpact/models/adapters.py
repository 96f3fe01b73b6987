"""Puts a trained PEFT adapter on its base model and makes sure that all of it landed."""

import json
import re
import warnings
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftConfig, PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from headimpact.core.errors import DataFormatError, OptionError
from headimpact.models.family import ModelFamily

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"


def load_adapter(model: nn.Module, folder: Path, *, family: ModelFamily) -> nn.Module:
    """Put an adapter on its base model.

    PEFT only warns when weights of an adapter find no place, and says nothing when a layer of the adapter
    stays at its start; both would score or evaluate the wrong model. So every weight is compared.

    Args:
        model: The base model.
        folder: Folder with `adapter_config.json` and `adapter_model.safetensors`.
        family: The base model's family; its attention modules must still be found.

    Returns:
        The `PeftModel`, in evaluation mode, on the base model's device.

    Raises:
        DataFormatError: If files of the adapter are missing or broken.
        OptionError: If the adapter was trained for another base model, or is of a kind that adds tokens.
        UnsupportedModelError: If the attention modules are no longer found.
    """
    weights = read_adapter_weights(folder)
    config = PeftConfig.from_pretrained(str(folder))
    if config.is_prompt_learning:
        raise OptionError(
            f"Adapter kind {config.peft_type} puts tokens of its own into the sequence: {folder}. Expected one that "
            "changes weights, such as LoRA."
        )
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Found missing adapter keys")  # an error here, see below
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
            adapted = PeftModel.from_pretrained(model, str(folder), is_trainable=False)
    except (ValueError, RuntimeError) as error:
        raise OptionError(_other_base(folder, _reason(error))) from error
    _check_all_landed(adapted, weights, folder)
    family.attention_modules(adapted)
    adapted.eval()
    return cast("nn.Module", adapted)


def read_adapter_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Read an adapter's weights, saying what is wrong with the folder if anything is.

    Args:
        folder: Folder with `adapter_config.json` and `adapter_model.safetensors`.

    Returns:
        Weights by their names in the file.

    Raises:
        DataFormatError: If a file is missing or broken.
    """
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise DataFormatError(
                f"Not a PEFT adapter folder: {folder} has no {name}. Pass the folder that `headimpact tune` or PEFT's "
                "save_pretrained wrote."
            )
    try:
        json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        weights: dict[str, torch.Tensor] = load_file(folder / WEIGHTS_FILE)
    except (OSError, ValueError, SafetensorError) as error:
        raise DataFormatError(f"Cannot read the adapter in {folder}: {' '.join(str(error).split())}.") from error
    return weights


def _check_all_landed(adapted: Any, weights: dict[str, torch.Tensor], folder: Path) -> None:
    """Compare what the model now holds with the file, weight by weight.

    Raises:
        OptionError: If names or values differ.
    """
    held = {name: tensor.detach().cpu() for name, tensor in get_peft_model_state_dict(adapted).items()}
    strange = sorted(set(weights) - set(held))
    empty = sorted(set(held) - set(weights))
    if strange or empty:
        counts = f"{len(strange)} weights found no module, {len(empty)} modules no weight"
        raise OptionError(_other_base(folder, f"{counts} (first: {(strange or empty)[0]})"))
    for name, tensor in weights.items():
        if not torch.equal(held[name], tensor.to(held[name].dtype)):
            raise OptionError(_other_base(folder, f"weight {name} was not taken over"))


def _reason(error: BaseException) -> str:
    """Count the weights that torch names as of another size, and name the first; else give what was said, cut short."""
    found = re.findall(r"size mismatch for (\S+): .*?Size\(\[(.*?)\]\).*?Size\(\[(.*?)\]\)", str(error))
    if not found:
        return " ".join(str(error).split())[:300].rstrip(".")
    name, given, expected = found[0]
    return f"{len(found)} weights are of another size, first {name}, ({given}) where the model has ({expected})"


def _other_base(folder: Path, why: str) -> str:
    """Say that the adapter does not fit."""
    return f"Adapter does not fit the model: {folder}: {why}. Pass the base model it was trained on."
