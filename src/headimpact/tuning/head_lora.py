"""LoRA held to chosen attention heads, as an ordinary PEFT adapter.

The update of a projection is B A. Its rows belong to B's rows, its columns to A's columns: where those of other heads
are zero, the update is zero there. So that they are zero and stay so, only the chosen heads' rows of B (q, k, v) or
columns of A (o) exist as parameters; the matrix that PEFT multiplies with, merges and saves is those entries laid out
among zeros. Weight decay, momentum or noise cannot reach what is no parameter.
"""

from collections.abc import Collection, Sequence
from typing import Any

import peft
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from headimpact.core.architecture import ArchitectureSummary
from headimpact.core.errors import OptionError, UnsupportedModelError
from headimpact.core.head_parts import Head, HeadPart, count_head_lora_parameters, head_part, heads_by_layer
from headimpact.selection.selection import Selection
from headimpact.tuning.lora import build_lora_config

_REFUSED_OPTIONS = {
    "use_dora": "its magnitudes rescale every row of the weight, so that other heads change",
    "lora_bias": "it adds a bias to the outputs of every head",
    "bias": "it trains biases of every head",
    "modules_to_save": "it trains whole modules",
    "rank_pattern": "all projections of a head have one rank, by which its parameters are counted",
    "alpha_pattern": "all projections of a head have one scale",
}
_HEAD_INITS = (True, "gaussian")
_REFUSED_INITS = {
    "pissa": "it takes principal parts out of the whole weight, other heads' too",
    "olora": "it rewrites the whole weight from its QR decomposition",
    "corda": "it splits the whole weight by the data's covariance",
    "eva": "it shares ranks out between whole projections",
    "loftq": "it quantises the whole weight anew",
}
_STORED = "parametrizations.weight.original"


def build_head_lora_config(
    architecture: ArchitectureSummary,
    heads: Sequence[Head],
    *,
    r: int = 8,
    lora_alpha: float = 16,
    lora_dropout: float = 0.0,
    target_modules: Collection[str] = ("q_proj", "v_proj"),
    **peft_options: Any,
) -> peft.LoraConfig:
    """Turn chosen heads into the PEFT config of their layers; `hold_to_heads` does the rest once it is attached.

    Args:
        architecture: The model's language part.
        heads: Layer and query head of each, 0-based, ascending.
        r: LoRA rank, the same for all heads.
        lora_alpha: LoRA scale; the update is multiplied by alpha / r, or by alpha / sqrt(r) with `use_rslora`.
        lora_dropout: Share of a tuned projection's inputs dropped in training, in [0, 1).
        target_modules: Some of `q_proj`, `k_proj`, `v_proj` and `o_proj`.
        **peft_options: `use_rslora`, `init_lora_weights` (True or "gaussian"), `task_type`, `revision`.

    Returns:
        The config; `target_modules` holds full module names.

    Raises:
        OptionError: If a head is not in the model, a projection has no rows or columns of heads, or an option would
            change other heads.
        UnknownNameError: If the model has no such projection, or PEFT no such option.
        UnsupportedModelError: If a projection does not divide into heads.
    """
    _check_head_options(peft_options)
    count_head_lora_parameters(architecture, heads, r=r, target_modules=tuple(target_modules))
    layers = Selection(strategy="given", layers=tuple(heads_by_layer(heads)), architecture=architecture)
    return build_lora_config(
        layers, r=r, lora_alpha=lora_alpha, lora_dropout=lora_dropout, target_modules=target_modules, **peft_options
    )


def hold_to_heads(attached: peft.PeftModel, architecture: ArchitectureSummary, heads: Sequence[Head]) -> None:
    """Leave only the chosen heads' entries of an attached, untrained adapter as parameters; the others become zero.

    Afterwards the model trains, saves (`save_pretrained`), merges (`merge_and_unload`) and unloads as any PEFT model.
    The saved files are plain LoRA: full matrices, zero outside the chosen heads, which PEFT loads without this code.
    Trained further after such a reload, they are held to nothing, unless this is called again.

    A merge adds zero to other heads' weights and so leaves them equal; a base model quantised to 4 or 8 bits is
    quantised anew by PEFT's merge, for which this does not hold.

    Args:
        attached: A model with LoRA on the heads' layers, as from `attach_lora`; changed in place.
        architecture: The model's language part.
        heads: Layer and query head of each, 0-based, ascending.

    Raises:
        OptionError: If the adapter lies on a module that has none of the heads.
        UnsupportedModelError: If the sizes are not those of the architecture.
    """
    base, adapter = attached.get_base_model(), attached.active_adapter
    by_layer = heads_by_layer(heads)
    names = {
        architecture.module_name(layer_idx, projection): (layer_idx, projection)
        for layer_idx in by_layer
        for projection in architecture.projections_of(layer_idx)
    }
    for name, module in base.named_modules():
        if not hasattr(module, "lora_A"):
            continue
        if name not in names:
            raise OptionError(f"LoRA lies on {name}, which has none of the chosen heads. Use build_head_lora_config.")
        layer_idx, projection = names[name]
        part = head_part(architecture, layer_idx, projection, by_layer[layer_idx])
        _hold(module.lora_B[adapter] if part.in_rows else module.lora_A[adapter], part, name)


class _Placed(nn.Module):
    """Lays live rows or columns out in a matrix of zeros."""

    indices: Tensor

    def __init__(self, part: HeadPart) -> None:
        super().__init__()
        self.dim, self.size = (0 if part.in_rows else 1), part.size
        self.register_buffer("indices", torch.tensor(part.indices), persistent=False)

    def forward(self, live: Tensor) -> Tensor:
        """Lay out."""
        shape = (self.size, live.shape[1]) if self.dim == 0 else (live.shape[0], self.size)
        return live.new_zeros(shape).index_copy(self.dim, self.indices, live)

    def right_inverse(self, full: Tensor) -> Tensor:
        """Take out."""
        return full.index_select(self.dim, self.indices.to(full.device))


def _hold(linear: nn.Linear, part: HeadPart, name: str) -> None:
    """Make the live part of one LoRA matrix its only parameter, saved and loaded as the whole matrix.

    Raises:
        UnsupportedModelError: If the matrix has another size than the projection.
    """
    size = linear.weight.shape[0 if part.in_rows else 1]
    if size != part.size:
        raise UnsupportedModelError(
            f"{name} has {size} {'outputs' if part.in_rows else 'inputs'}, the choice of heads was made for "
            f"{part.size}. Was it made from another model's scores? Score and choose with this model."
        )
    placed = _Placed(part).to(linear.weight.device)
    parametrize.register_parametrization(linear, "weight", placed)
    linear.register_state_dict_post_hook(_save_whole)  # type: ignore[no-untyped-call]
    linear.register_load_state_dict_pre_hook(_load_live)  # type: ignore[no-untyped-call]


def _save_whole(linear: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
    """Put the whole matrix, under the name that plain LoRA gives it, in the place of its live part."""
    live = state.pop(prefix + _STORED)
    (placed,) = linear.parametrizations.weight  # type: ignore[union-attr,misc]
    state[prefix + "weight"] = placed(live)


def _load_live(linear: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Take the live part out of a whole matrix.

    Raises:
        OptionError: If other heads' entries are not zero, which would be lost.
    """
    full = state.pop(prefix + "weight", None)
    if full is None:
        return
    (placed,) = linear.parametrizations.weight  # type: ignore[union-attr,misc]
    live = placed.right_inverse(full)
    if torch.count_nonzero(full) != torch.count_nonzero(live):
        raise OptionError(
            f"{prefix}weight is not zero outside the chosen heads; expected an adapter of these heads. Load it into a "
            "model that is not held to heads."
        )
    state[prefix + _STORED] = live


def _check_head_options(options: dict[str, Any]) -> None:
    """Refuse options that cannot keep other heads as they are.

    Raises:
        OptionError: If one is given.
    """
    for name, reason in _REFUSED_OPTIONS.items():
        if options.get(name) not in (None, False, "none", {}, []):
            raise OptionError(
                f"PEFT option {name}={options[name]!r} is refused for heads: {reason}. Leave it out, or tune "
                "whole layers."
            )
    init = options.get("init_lora_weights", True)
    if init in _HEAD_INITS:
        return
    kind = str(init).partition("_")[0].lower()
    reason = _REFUSED_INITS.get(kind, "B does not start at zero")
    raise OptionError(
        f"init_lora_weights={init!r} is refused for heads: {reason}; expected True or 'gaussian'. Leave it out, "
        "or tune whole layers."
    )
