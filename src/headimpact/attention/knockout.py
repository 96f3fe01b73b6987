"""Silences chosen heads' attention to the image tokens while the model runs: the same door as capture, as a cause.

In: a model's attention modules, heads, which keys are image tokens. Out: nothing; inside the block the model computes
what it would compute if these heads could not look there, and afterwards it is as it was.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headimpact.attention.head_rows import CHUNK_BYTES, HeadRows, head_rows
from headimpact.attention.interception import AttentionCall, replace_attention
from headimpact.attention.positions import ImageMask, check_positions, image_mask, query_positions
from headimpact.core.errors import OptionError, UnsupportedModelError
from headimpact.core.registry import unknown_name_message

Weights = Float[Tensor, "batch heads queries keys"]


def zero(rows: HeadRows, is_image: ImageMask) -> Weights:
    """Take the weights on image tokens away; the others stay, so a row sums up to less than 1.

    Args:
        rows: Rows of some heads.
        is_image: Which keys are image tokens.
    """
    return rows.weights.masked_fill(is_image[:, None, None], 0.0)


def renormalize(rows: HeadRows, is_image: ImageMask) -> Weights:
    """Take the weights on image tokens away and let the others sum up to 1: softmax with these keys masked.

    A row that sees nothing else keeps no weight at all.

    Args:
        rows: Rows of some heads.
        is_image: Which keys are image tokens.
    """
    left = zero(rows, is_image)
    return left / left.sum(dim=-1, keepdim=True).clamp_min(torch.finfo(left.dtype).tiny)


def uniform(rows: HeadRows, is_image: ImageMask) -> Weights:
    """Spread the weight that a row has on image tokens evenly over those it sees: how much stays, where goes.

    Args:
        rows: Rows of some heads.
        is_image: Which keys are image tokens.
    """
    shown = is_image[:, None, None] if rows.visible is None else is_image[:, None, None] & rows.visible
    mass = rows.weights.masked_fill(is_image[:, None, None].logical_not(), 0.0).sum(dim=-1, keepdim=True)
    return torch.where(shown, mass / shown.sum(dim=-1, keepdim=True).clamp_min(1), zero(rows, is_image))


KNOCKOUTS: Mapping[str, Callable[[HeadRows, ImageMask], Weights]] = {
    "zero": zero,
    "renormalize": renormalize,
    "uniform": uniform,
}
"""What becomes of the weights that a knocked-out head has on image tokens."""


@contextlib.contextmanager
def knock_out(
    modules: Mapping[int, nn.Module],
    heads: Mapping[int, Sequence[int]],
    *,
    keys: Sequence[Tensor],
    queries: Sequence[Tensor] | None = None,
    knockout: str = "renormalize",
    means: Mapping[int, Float[Tensor, "heads value_dim"]] | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> Iterator[None]:
    """Silence chosen heads' attention to chosen keys in every forward pass inside the block.

    The model's own attention function computes all heads; for the chosen ones, the rows asked for are computed again
    in float32 with other weights, block by block, and put in place of their output. Other heads of the layer keep
    theirs to the last bit. Grouped-query heads, padding, sliding windows, soft-capping and explicit masks are
    honoured. Knockouts may be nested; of a head and row in several, the innermost decides. Captures see attention as
    the model computes it from what reaches the layer, knocked out there or not. Whatever happens inside, the model is
    left as it was.

    Args:
        modules: Layer to attention module, as `ModelFamily.attention_modules` gives them.
        heads: Layer to its heads to silence, 0-based query heads.
        keys: Key positions of the image tokens per batch row, padding counted; may be empty. In generation with a
            cache they stay what they are in the prompt.
        queries: Query positions per batch row that are silenced, padding counted, at least one each; None for every
            row, image tokens among themselves too.
        knockout: One of `KNOCKOUTS`.
        means: Layer to what every head takes from the image tokens on average (see `gather_image_parts`), put in place
            of what it would have taken; only with `zero`, which leaves that place empty.
        chunk_bytes: About how many bytes may be held at a time beyond the model's own; a single row of the heads that
            share a key/value head, with its keys and values, is the least.

    Yields:
        Nothing.

    Raises:
        OptionError: If a layer or head does not exist, no head is chosen, the knockout is unknown, there are means
            without `zero` or not for every layer, or positions do not fit the batch or the sequence.
        UnsupportedModelError: If attention does not go through transformers' interface, is no plain softmax, or
            a cache may have dropped keys.
        RunFailedError: If the model drops attention weights at random (training mode).
    """
    if knockout not in KNOCKOUTS:
        raise OptionError(unknown_name_message("knockout", knockout, KNOCKOUTS))
    _check_heads(modules, heads)
    if means is not None and (knockout != "zero" or set(heads) - set(means)):
        raise OptionError(
            f"Means of layers {', '.join(map(str, sorted(means)))} do not go with knockout {knockout!r} of layers "
            f"{', '.join(map(str, sorted(heads)))}. Expected 'zero' and means of every one of them."
        )
    check_positions(keys, queries)
    change = KNOCKOUTS[knockout]

    def silence(layer: int, call: AttentionCall, output: Tensor) -> Tensor:
        _check_call(layer, call, output, heads[layer])
        is_image = image_mask(call, keys)
        silenced = output.clone()
        with torch.autocast(device_type=output.device.type, enabled=False):
            chosen = sorted(set(heads[layer]))
            for rows in head_rows(call, chosen, query_positions(call, queries), chunk_bytes=chunk_bytes):
                fresh = rows.output(change(rows, is_image[rows.batch]))
                if means is not None:
                    fresh = fresh + means[layer].to(fresh.device)[rows.heads]
                silenced[rows.batch[:, None, None], rows.positions[:, :, None], rows.heads] = fresh.to(output.dtype)
        return silenced

    with replace_attention({layer: modules[layer] for layer in heads}, silence):
        yield


def _check_heads(modules: Mapping[int, nn.Module], heads: Mapping[int, Sequence[int]]) -> None:
    """Refuse heads that cannot be silenced, as far as is known before the model runs.

    Raises:
        OptionError: If there are none, a layer has no attention module.
    """
    if not any(heads.values()):
        raise OptionError("No heads to knock out. Expected at least one; run the model as it is without them.")
    unknown = sorted(set(heads) - set(modules))
    if unknown:
        raise OptionError(
            f"Layers without attention to knock out: {', '.join(map(str, unknown))}; expected some of "
            f"{', '.join(map(str, sorted(modules)))}."
        )


def _check_call(layer: int, call: AttentionCall, output: Tensor, heads: Sequence[int]) -> None:
    """Refuse a call that does not hold the heads, or whose output is not laid out by heads.

    Raises:
        OptionError: If a head does not exist.
        UnsupportedModelError: If the output has another shape.
    """
    batch, num_heads, num_queries, _ = call.query.shape
    outside = [head for head in heads if not 0 <= head < num_heads]
    if outside:
        raise OptionError(
            f"Head {outside[0]} of layer {layer} cannot be knocked out: the layer has heads 0 to {num_heads - 1}."
        )
    expected = (batch, num_queries, num_heads, call.value.shape[3])
    if output.shape != expected:
        raise UnsupportedModelError(
            f"Heads cannot be told in the output of {type(call.module).__name__} with implementation "
            f"{call.implementation!r}: shape {tuple(output.shape)}, expected {expected}. Pass --attn-implementation "
            "sdpa or eager."
        )
