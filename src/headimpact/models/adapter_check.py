"""Says, without loading a model's weights, whether all of an adapter finds its place in it."""

import copy
import dataclasses
import difflib
import re
import warnings
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, get_peft_model, get_peft_model_state_dict
from transformers import AutoModelForImageTextToText, PretrainedConfig

from headimpact.core.errors import OptionError
from headimpact.models.adapters import read_adapter_weights
from headimpact.models.checkpoint_files import read_config
from headimpact.models.family import resolve_family
from headimpact.models.loading import resolve_source

_PART = re.compile(r"^(?:base_model\.model\.)?(.+?)\.lora_\w+(?:\.\w+)*$")


@dataclasses.dataclass(frozen=True)
class AdapterPlaces:
    """Where an adapter lies.

    Attributes:
        weights: Number of its weights.
        modules: Full names of the modules that carry them, sorted.
    """

    weights: int
    modules: tuple[str, ...]


def check_adapter(name: str | Path, folder: Path) -> AdapterPlaces:
    """Match an adapter with a model as PEFT does, on a model without memory.

    Tools that serve adapters pass over weights whose module they do not find and answer as the base model. Here each
    weight must find a module of its size, and each module that the adapter's config targets a weight.

    Args:
        name: Folder with `config.json`, hub id, or a short name such as `embedded`.
        folder: PEFT adapter folder.

    Returns:
        Number of weights and the modules they lie on.

    Raises:
        DataFormatError: If files of the adapter or `config.json` are missing or broken.
        UnsupportedModelError: If the model is no vision-language model or of an unknown or refused family.
        OptionError: If a weight finds no module of its size or a module no weight; the message names the first and
            the nearest module.
    """
    weights = {key: tuple(tensor.shape) for key, tensor in read_adapter_weights(folder).items()}
    config = read_config(resolve_source(str(name)), None)
    resolve_family(config)
    model = _without_memory(config)
    modules = [module for module, _ in model.named_modules()]
    held = _held(model, folder)
    strange = sorted(key for key in weights if key not in held)
    misshapen = sorted(key for key in weights if key in held and held[key] != weights[key])
    empty = sorted(set(held) - set(weights))
    if strange or misshapen or empty:
        raise OptionError(
            f"Adapter does not fit the model {str(name)!r}: {folder}: of {len(weights)} weights {len(strange)} find no "
            f"module and {len(misshapen)} one of another size; {len(empty)} expected weights are not there. "
            f"{_first(strange, misshapen, empty, modules)} Pass the base model it was trained on."
        )
    return AdapterPlaces(weights=len(weights), modules=tuple(sorted({_module_of(key) for key in weights})))


def _without_memory(config: PretrainedConfig) -> Any:
    """Build a model on torch's meta device."""
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(copy.deepcopy(config))


def _held(model: Any, folder: Path) -> dict[str, tuple[int, ...]]:
    """Give the adapter weights that the model takes, with their shapes; none where PEFT finds no target."""
    config = PeftConfig.from_pretrained(str(folder))
    config.init_lora_weights = True  # values do not matter, and other starts read the base model's
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        warnings.filterwarnings("ignore", message="The PEFT config's `base_model_name_or_path`")  # that is the question
        try:
            adapted = get_peft_model(model, config)
        except ValueError:
            return {}
        state = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def _first(strange: list[str], misshapen: list[str], empty: list[str], modules: list[str]) -> str:
    """Name the first weight in trouble, and the nearest module where it has none."""
    if not strange:
        return f"First: {(misshapen or empty)[0]}."
    near = difflib.get_close_matches(_module_of(strange[0]), modules, n=1)
    return f"First: {strange[0]}." + (f" The nearest module here is {near[0]!r}." if near else "")


def _module_of(key: str) -> str:
    """Give the module that a weight of an adapter file belongs to."""
    found = _PART.match(key)
    return found[1] if found else key
