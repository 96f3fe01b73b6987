"""Cuts a decoder below one of its layers: what enters the layer is taken out once, and put in again later.

    embeddings -> layer 0 -> ... -> layer c-1 -> | -> layer c -> ... -> norm -> logits
                  run once, kept                 |    run again and again

The model's own forward pass does both. The first time it ends where layer `c` begins. Later the same pass runs with
the layers below skipped and the kept states handed to layer `c`; masks, rotary tables and whatever else depends on
positions alone are made anew by the model itself, so they need not be kept and cannot differ.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.family import ModelFamily
from headimpact.models.loading import LoadedModel

STATES = "inputs_embeds"
"""Under this name the kept states enter the model; only layer `c` reads them."""

_MASK = "attention_mask"
_VISUAL_PLACES = "visual_pos_masks"
_VISUAL_STATES = "deepstack_visual_embeds"
_CROSS_STATES = "cross_attention_states"
_MADE_ANEW = {STATES, _MASK, "position_ids", "past_key_values", "full_text_row_masked_out_mask"}


@dataclasses.dataclass(frozen=True, eq=False)
class LayerInputs:
    """What a batch needs from a layer on.

    Attributes:
        per_token: Arguments with a batch and a sequence axis side by side: states, masks, positions, token types.
        per_row: Arguments of which every row has any number of entries; those of all rows are joined on the first axis.
    """

    per_token: dict[str, Tensor]
    per_row: dict[str, tuple[Tensor, ...]]


class _CutReachedError(Exception):
    """Ends a forward pass where the cut is."""


def take_layer_inputs(loaded: LoadedModel, inputs: Mapping[str, Any], layer_idx: int) -> LayerInputs:
    """Run a batch as far as a layer and give what enters it, and what enters later layers besides.

    Args:
        loaded: The model; its dropout should be off.
        inputs: Processed inputs on its device, padded.
        layer_idx: The first layer that is not run.

    Returns:
        Arguments with which the model runs inside `starting_at`, in place of tokens and pictures.

    Raises:
        UnsupportedModelError: If the family's decoder cannot be cut, or gets something that nobody knows.
    """
    decoder = _decoder(loaded.family, loaded.model)
    given: dict[str, Any] = {}

    def at_decoder(_: nn.Module, __: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given.update(kwargs)

    def at_layer(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given[STATES] = args[0] if args else kwargs["hidden_states"]
        raise _CutReachedError

    with contextlib.ExitStack() as stack:
        stack.callback(decoder.register_forward_pre_hook(at_decoder, with_kwargs=True).remove)
        stack.callback(decoder.layers[layer_idx].register_forward_pre_hook(at_layer, with_kwargs=True).remove)
        stack.enter_context(contextlib.suppress(_CutReachedError))
        loaded.family.backbone(loaded.model)(**inputs, use_cache=False)
    _refuse_unknown(loaded.family, given, inputs)
    per_token = _per_token(given, inputs)
    per_row = _cross_states(given, decoder, layer_idx, num_rows=len(per_token[_MASK]))
    visual = list(enumerate(given.get(_VISUAL_STATES) or ()))[layer_idx:]
    if visual:
        places = per_token[_VISUAL_PLACES] = given[_VISUAL_PLACES]
        counts = places.sum(dim=1).tolist()
        per_row |= {f"{_VISUAL_STATES}.{index}": torch.split(states, counts) for index, states in visual}
    return LayerInputs(per_token=per_token, per_row=per_row)


@contextlib.contextmanager
def starting_at(family: ModelFamily, model: nn.Module, layer_idx: int) -> Iterator[None]:
    """Let a model begin at a layer while the block runs: it is called with what `take_layer_inputs` gave.

    Logits, losses, gradients of this and later layers are those of the whole pass. Calls must not generate.

    Args:
        family: The model's family.
        model: The model, with or without an adapter on this or later layers; left as it was.
        layer_idx: The layer.

    Yields:
        Nothing.

    Raises:
        UnsupportedModelError: If the family's decoder cannot be cut.
    """
    decoder = _decoder(family, model)
    kept: dict[str, Any] = {}

    def at_backbone(
        _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        kept.clear()
        kept[STATES] = kwargs[STATES]
        of_decoder = [name for name in kwargs if name.partition(".")[0] in (_VISUAL_PLACES, _VISUAL_STATES)]
        kept.update(_visual_arguments({name: kwargs.pop(name) for name in of_decoder}))
        return args, kwargs

    def at_decoder(
        _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return args, {**kwargs, **kept}

    def at_layer(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if args:
            return (kept[STATES], *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": kept[STATES]}

    with contextlib.ExitStack() as stack:
        for module, hook in (
            (family.backbone(model), at_backbone),
            (decoder, at_decoder),
            (decoder.layers[layer_idx], at_layer),
        ):
            stack.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)
        for layer in decoder.layers[:layer_idx]:
            stack.enter_context(_skipped(layer))
        yield


@contextlib.contextmanager
def _skipped(layer: nn.Module) -> Iterator[None]:
    """Let a layer hand on what it gets."""
    before = vars(layer).get("forward")

    def hand_on(hidden_states: Tensor, *_: Any, **__: Any) -> Tensor:
        return hidden_states

    layer.forward = hand_on
    try:
        yield
    finally:
        if before is None:
            del layer.forward
        else:
            layer.forward = before


def _decoder(family: ModelFamily, model: nn.Module) -> Any:
    """Find the module whose `layers` are the decoder's.

    Raises:
        UnsupportedModelError: If the family's decoder cannot be cut.
    """
    if family.uncuttable:
        raise UnsupportedModelError(
            f"The decoder of a {family.model_type!r} model cannot begin at a later layer: {family.uncuttable}. Tune "
            "without --prefix-cache."
        )
    return family.decoder(model)


def _refuse_unknown(family: ModelFamily, given: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
    """Refuse tensors that enter the decoder and are neither kept nor made anew from what is.

    Raises:
        UnsupportedModelError: If there are any.
    """
    known = _MADE_ANEW | {_VISUAL_PLACES, _VISUAL_STATES, _CROSS_STATES} | set(inputs)
    for name, value in given.items():
        if name not in known and isinstance(value, (Tensor, list, tuple, Mapping)):
            raise UnsupportedModelError(
                f"The decoder of a {family.model_type!r} model gets {name!r}, which is not known to a cut; expected "
                f"{', '.join(sorted(known - set(inputs)))}. Tune without --prefix-cache."
            )


def _per_token(given: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Tensor]:
    """Gather states, positions, and the inputs that say something of every token."""
    mask = inputs[_MASK]
    found = {
        name: value
        for name, value in inputs.items()
        if name != "input_ids" and not value.is_floating_point() and value.shape[:2] == mask.shape
    }
    positions = given.get("position_ids")
    if positions is not None:
        found["position_ids"] = positions.expand(*positions.shape[:-2], *mask.shape)
    return {**found, STATES: given[STATES]}


def _cross_states(
    given: Mapping[str, Any], decoder: Any, layer_idx: int, *, num_rows: int
) -> dict[str, tuple[Tensor, ...]]:
    """Take what cross-attention looks at, where a layer from the cut on does so."""
    states = given.get(_CROSS_STATES)
    if states is None or max(decoder.config.cross_attention_layers, default=-1) < layer_idx:
        return {}
    return {_CROSS_STATES: torch.split(states, len(states) // num_rows)}


def _visual_arguments(kept: Mapping[str, Tensor]) -> dict[str, Any]:
    """Put numbered visual states back into the list that the decoder counts by layers; it reads none below the cut."""
    states = {int(name.partition(".")[2]): value for name, value in kept.items() if name != _VISUAL_PLACES}
    if not states:
        return {}
    first = states[min(states)]
    listed = [states.get(index, first) for index in range(max(states) + 1)]
    return {_VISUAL_PLACES: kept[_VISUAL_PLACES], _VISUAL_STATES: listed}
