"""LoRA on exactly the projections a selection names: config, attachment that is verified, removal without trace."""

import contextlib
import copy
import dataclasses
import difflib
import math
import warnings
from collections.abc import Collection, Iterator
from typing import Any

import peft
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from transformers import PreTrainedModel

from headimpact.core.errors import OptionError, UnknownNameError, UnsupportedModelError
from headimpact.core.lora_arithmetic import TrainableCount, check_lora_targets
from headimpact.core.registry import unknown_name_message
from headimpact.selection.selection import Selection

_REFUSED_OPTIONS = {
    "layers_to_transform": "exact module names ignore it, and PEFT reads it as the first number of a module's path, "
    "so that layers of the vision tower match too; choose layers with `headimpact select`",
    "layers_pattern": "it belongs to layers_to_transform; choose layers with `headimpact select`",
    "layer_replication": "it changes the layers that the scores speak of",
    "exclude_modules": "the modules are named one by one; choose fewer layers or target_modules",
    "target_parameters": "only projections are tuned; use target_modules",
    "modules_to_save": "it trains whole modules outside the chosen layers",
    "trainable_token_indices": "it trains embeddings outside the chosen layers",
    "bias": "it trains biases of the base model",
}
_PASSED_OPTIONS = (
    "use_dora", "use_rslora", "init_lora_weights", "lora_bias", "rank_pattern", "alpha_pattern", "task_type", "revision"
)  # fmt: skip
_PLAIN_INITS = (True, False, "gaussian", "orthogonal")
_SHOWN = 3


def build_lora_config(
    selection: Selection,
    *,
    r: int = 8,
    lora_alpha: float = 16,
    lora_dropout: float = 0.0,
    target_modules: Collection[str] = ("q_proj", "v_proj"),
    **peft_options: Any,
) -> peft.LoraConfig:
    """Turn chosen layers into a PEFT config that names every module in full.

    Short names would also match the vision tower's projections, and `layers_to_transform` its equally numbered
    layers; full names of the language model can match neither. With grouped-query attention `q_proj` is adapted
    whole, for all query heads of the layer, `k_proj` and `v_proj` for all its groups. The task type is left
    open: PEFT then records the model class, and its auto classes find a vision-language model again, which
    "CAUSAL_LM" would send to text-only models. Give `task_type="CAUSAL_LM"` where another tool wants it.

    Args:
        selection: Which layers, of which architecture.
        r: LoRA rank.
        lora_alpha: LoRA scale; the update is multiplied by alpha / r.
        lora_dropout: Share of a tuned projection's inputs dropped in training, in [0, 1).
        target_modules: Projections tuned in each layer.
        **peft_options: Further fields of `peft.LoraConfig`; those that would tune anything else are refused.

    Returns:
        The config; `target_modules` holds full module names.

    Raises:
        OptionError: If `r` is below 1, nothing is selected, single heads are, a layer lies outside the model, or an
            option would change the base model or tune other modules.
        UnknownNameError: If the model has no such projection, or PEFT no such option.
    """
    if selection.heads is not None:
        raise OptionError(
            f"The selection holds {len(selection.heads)} single heads, expected whole layers. Use "
            "headimpact.tuning.head_lora, or tune."
        )
    check_lora_targets(selection.architecture, selection.layers, r=r, target_modules=tuple(target_modules))
    _check_peft_options(peft_options)
    names = [selection.architecture.module_name(layer, name) for layer in selection.layers for name in target_modules]
    return peft.LoraConfig(r=r, lora_alpha=lora_alpha, lora_dropout=lora_dropout, target_modules=names, **peft_options)


def attach_lora(model: nn.Module, config: peft.LoraConfig) -> peft.PeftModel:
    """Put LoRA into a model and prove that it sits where it was planned, and nowhere else.

    PEFT shortens 20 or more targets to suffixes, which fit this model but perhaps not the next one; the full
    names are put back, so that the saved `adapter_config.json` holds them. The base model's parameters are
    frozen; `attached_lora` undoes all of this.

    Args:
        model: The base model, changed in place.
        config: A config whose target modules are full names, as from `build_lora_config`; left unchanged.

    Returns:
        The model with an untrained adapter.

    Raises:
        OptionError: If the config's targets are no list of names, or the model already carries an adapter.
        UnsupportedModelError: If a planned module is not in the model, or another module was matched.
    """
    if isinstance(config.target_modules, str) or not config.target_modules:
        raise OptionError(
            f"LoRA targets must be full module names: got {config.target_modules!r}. Use build_lora_config."
        )
    if _lora_modules(model) or isinstance(model, peft.PeftModel):
        raise OptionError(
            "The model already carries an adapter; expected a base model. Load it without --adapter, "
            "or merge the adapter into it first."
        )
    planned = set(config.target_modules)
    _refuse_missing(planned - {name for name, _ in model.named_modules()}, model)
    config = copy.deepcopy(config)
    with warnings.catch_warnings():
        # PEFT 0.21 asks transformers 5.23 for an attribute under its old name.
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        attached = peft.get_peft_model(model, config)
    unplanned = _lora_modules(model) - planned
    unmatched = planned - _lora_modules(model)
    if unplanned or unmatched:
        attached.unload()
        raise UnsupportedModelError(
            f"LoRA did not land where it was planned: {_shorten(unmatched)} left out, {_shorten(unplanned)} matched "
            f"besides; expected exactly the {len(planned)} planned modules. A module path of this model ends in "
            "another's full name, so PEFT cannot tell them apart; choose other target_modules."
        )
    config.target_modules = sorted(planned)
    return attached


@contextlib.contextmanager
def attached_lora(model: PreTrainedModel, config: peft.LoraConfig) -> Iterator[peft.PeftModel]:
    """Lend a model with LoRA and leave the base model as it was, also after an error.

    Modules, weights (never touched), `requires_grad`, training mode and `use_cache` are as before afterwards, so
    that many arms can run one after another in one process. Save the adapter inside the block.

    Args:
        model: The base model, changed in place within the block.
        config: A config as from `build_lora_config`.

    Yields:
        The model with an untrained adapter.
    """
    modes = [(module, module.training) for module in model.modules()]
    gradients = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    settings = vars(model.config)
    had_use_cache = {name: settings[name] for name in ("use_cache",) if name in settings}
    attached = None
    try:
        attached = attach_lora(model, config)
        yield attached
    finally:
        if attached is not None:
            attached.unload()
        for module, training in modes:
            module.training = training
        for parameter, requires_grad in gradients:
            parameter.requires_grad_(requires_grad)
        settings.pop("use_cache", None)
        settings.update(had_use_cache)


def count_parameters(model: nn.Module) -> TrainableCount:
    """Count what a model with an adapter trains, beside the base model's parameters.

    Equals `headimpact.core.lora_arithmetic.count_lora_parameters` for plain LoRA; options that add parameters
    (DoRA's magnitudes) are counted here.

    Args:
        model: A model with an adapter attached; parameters shared by several modules count once.

    Returns:
        Parameters that ask for gradients, and all parameters that are not the adapter's.
    """
    adapter = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, BaseTunerLayer)
        for name in module.adapter_layer_names
        for parameter in getattr(module, name).parameters()
    }
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    total = sum(_num_weights(parameter) for parameter in model.parameters() if id(parameter) not in adapter)
    return TrainableCount(trainable=trainable, total=total)


def _num_weights(parameter: nn.Parameter) -> int:
    """Count the weights of a parameter, of which two share a byte where bitsandbytes keeps 4 bits of each."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else math.prod(state.shape)


def _check_peft_options(options: dict[str, Any]) -> None:
    """Refuse options that PEFT does not know, or that would reach beyond the chosen projections.

    Raises:
        OptionError: If an option tunes something else or rewrites the base model.
        UnknownNameError: If PEFT has no such option.
    """
    known = [field.name for field in dataclasses.fields(peft.LoraConfig)]
    for name, value in options.items():
        if name not in known:
            raise UnknownNameError(unknown_name_message("PEFT option", name, _PASSED_OPTIONS))
        if name not in _PASSED_OPTIONS and value not in (None, "none"):
            reason = _REFUSED_OPTIONS.get(name, "it may change the base model, which must stay as it is")
            raise OptionError(
                f"PEFT option {name}={value!r} is refused: {reason}. Expected some of {', '.join(_PASSED_OPTIONS)}."
            )
    init = options.get("init_lora_weights", True)
    if init not in _PLAIN_INITS:
        raise OptionError(
            f"init_lora_weights={init!r} is refused: it rewrites weights of the base model or needs data of its own; "
            f"expected one of {', '.join(str(one) for one in _PLAIN_INITS)}."
        )


def _lora_modules(model: nn.Module) -> set[str]:
    """Name the modules of a model that carry an adapter."""
    return {name for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)}


def _refuse_missing(missing: set[str], model: nn.Module) -> None:
    """Refuse planned modules that the model does not have, with the nearest names it has.

    Raises:
        UnsupportedModelError: If any is missing.
    """
    if not missing:
        return
    first = min(missing)
    near = difflib.get_close_matches(first, [name for name, _ in model.named_modules()], n=1)
    hint = f" The nearest module here is {near[0]!r}." if near else ""
    raise UnsupportedModelError(
        f"The selection names modules that the model does not have: {_shorten(missing)}.{hint} "
        "Was the selection made from another model's scores? Score and select with this model."
    )


def _shorten(names: set[str]) -> str:
    """List a few of many names."""
    if not names:
        return "none"
    shown = ", ".join(sorted(names)[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
