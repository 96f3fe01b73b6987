"""Which rows or columns of a projection belong to which heads, and what LoRA on them alone trains; no torch."""

import dataclasses
from collections.abc import Iterable, Sequence

from headimpact.core.architecture import ArchitectureSummary
from headimpact.core.errors import OptionError, UnsupportedModelError
from headimpact.core.lora_arithmetic import TrainableCount, check_lora_targets

Head = tuple[int, int]
"""Layer and query head, both 0-based."""

HEAD_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj")
"""Projections whose rows (q, k, v) or columns (o) belong to heads."""


@dataclasses.dataclass(frozen=True)
class HeadPart:
    """The part of one projection that belongs to some heads.

    Attributes:
        in_rows: Whether it is rows of the weight (its outputs: q, k, v) or columns (its inputs: o).
        indices: Those rows or columns, ascending.
        size: Rows or columns of the whole projection.
    """

    in_rows: bool
    indices: tuple[int, ...]
    size: int


def head_part(architecture: ArchitectureSummary, layer_idx: int, projection: str, heads: Iterable[int]) -> HeadPart:
    """Find the rows or columns of a projection that belong to query heads of its layer.

    Heads lie one after the other. With grouped queries, query head h reads the keys and values of group
    h // (query heads / groups); `k_proj` and `v_proj` have rows per group, so the part is the groups of the given
    heads, and the other query heads of those groups read them too.

    Args:
        architecture: Sizes of the model's language part.
        layer_idx: Layer of the language model, 0-based.
        projection: One of `HEAD_PROJECTIONS`.
        heads: Query heads of that layer.

    Returns:
        The part.

    Raises:
        OptionError: If the projection's rows and columns belong to no heads.
        UnsupportedModelError: If its size is no multiple of the number of heads or groups.

    Source:
        Grouped queries: `repeat_kv` in transformers 5.23, `models/llama/modeling_llama.py`.

    Example:
        >>> architecture = ArchitectureSummary(
        ...     model_type="llava", num_layers=1, num_heads=4, num_key_value_heads=2, head_dim=2, hidden_size=6,
        ...     projections={"q_proj": (6, 8), "k_proj": (6, 4), "v_proj": (6, 4), "o_proj": (8, 6)},
        ...     attention_path="layers.{layer_idx}", total_parameters=160)
        >>> head_part(architecture, 0, "q_proj", [3]).indices, head_part(architecture, 0, "v_proj", [2, 3]).indices
        ((6, 7), (2, 3))
    """
    if projection not in HEAD_PROJECTIONS:
        raise OptionError(
            f"{projection} cannot be held to heads: its rows and columns belong to none, or to several at once; "
            f"expected some of {', '.join(HEAD_PROJECTIONS)}. Tune whole layers, or pass other --target-modules."
        )
    inputs, outputs = architecture.projections_of(layer_idx)[projection]
    in_rows = projection != "o_proj"
    size = outputs if in_rows else inputs
    parts = architecture.num_heads
    if projection in {"k_proj", "v_proj"}:
        parts = _groups(architecture, layer_idx, outputs)
    if not parts or size % parts or architecture.num_heads % parts:
        raise UnsupportedModelError(
            f"{architecture.module_name(layer_idx, projection)} does not divide into heads: {size} "
            f"{'outputs' if in_rows else 'inputs'}, {architecture.num_heads} query heads; expected a multiple. Tune "
            "whole layers of this model."
        )
    width, heads_per_part = size // parts, architecture.num_heads // parts
    chosen = sorted({head // heads_per_part for head in heads})
    indices = tuple(part * width + offset for part in chosen for offset in range(width))
    return HeadPart(in_rows=in_rows, indices=indices, size=size)


def _groups(architecture: ArchitectureSummary, layer_idx: int, outputs: int) -> int:
    """Count a layer's key/value groups by the width of its heads; layers with wider heads may have fewer of them."""
    own = architecture.projections_of(layer_idx)
    if "o_proj" not in own:
        return architecture.num_key_value_heads
    return outputs * architecture.num_heads // own["o_proj"][0]


def check_heads(architecture: ArchitectureSummary, heads: Sequence[Head]) -> None:
    """Refuse heads that the model does not have, or that are not listed once and in order.

    Args:
        architecture: Sizes of the model's language part.
        heads: Layer and query head of each.

    Raises:
        OptionError: If there is none, one is named twice, they are out of order, or one lies outside the model.
    """
    if not heads:
        raise OptionError("Nothing to tune: no head is given; expected at least one, as (layer, head).")
    if list(heads) != sorted(set(heads)):
        raise OptionError(f"Heads twice or out of order: {list(heads)[:8]}; expected each once, ascending. Sort them.")
    for layer_idx, head_idx in heads:
        if not (0 <= layer_idx < architecture.num_layers and 0 <= head_idx < architecture.num_heads):
            raise OptionError(
                f"Head {head_idx} of layer {layer_idx} is not in the model: its language model has "
                f"{architecture.num_layers} layers of {architecture.num_heads} query heads, counted from 0. "
                "Was the choice made from another model's scores?"
            )


def heads_by_layer(heads: Sequence[Head]) -> dict[int, tuple[int, ...]]:
    """Sort heads into their layers, both ascending.

    Example:
        >>> heads_by_layer([(2, 0), (2, 3), (5, 1)])
        {2: (0, 3), 5: (1,)}
    """
    return {
        layer_idx: tuple(sorted(head for layer, head in heads if layer == layer_idx))
        for layer_idx in sorted({layer for layer, _ in heads})
    }


def count_head_lora_parameters(
    architecture: ArchitectureSummary, heads: Sequence[Head], *, r: int, target_modules: Sequence[str]
) -> TrainableCount:
    """Count what LoRA of rank `r` held to some heads trains: entries that are zero for good do not count.

    A projection of `inputs` x `outputs` with `live` of its outputs trains r (inputs + live) parameters, `o_proj`
    with `live` of its inputs r (live + outputs).

    Args:
        architecture: Sizes of the model's language part.
        heads: Layer and query head of each, ascending.
        r: Rank, at least 1.
        target_modules: Some of `HEAD_PROJECTIONS`.

    Returns:
        The count and the model's total.

    Raises:
        OptionError: If a head, the rank or a projection is refused.
        UnknownNameError: If the model has no such projection.
        UnsupportedModelError: If a projection does not divide into heads.
    """
    check_heads(architecture, heads)
    by_layer = heads_by_layer(heads)
    check_lora_targets(architecture, tuple(by_layer), r=r, target_modules=target_modules)
    trainable = 0
    for layer_idx, chosen in by_layer.items():
        for projection in target_modules:
            part = head_part(architecture, layer_idx, projection, chosen)
            inputs, outputs = architecture.projections_of(layer_idx)[projection]
            trainable += r * (len(part.indices) + (inputs if part.in_rows else outputs))
    return TrainableCount(trainable=trainable, total=architecture.total_parameters)
