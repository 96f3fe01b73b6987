"""Attention weights of chosen heads at all keys, some query rows at a time, and the values that they weigh.

What a head gives out is these weights times these values; who changes weights can compute what it would give out then.
Beside the call's own tensors only one block exists at a time, so no matrix of all heads, nor of all rows, is held.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headimpact.attention.interception import AttentionCall
from headimpact.attention.visibility import Visibility
from headimpact.core.errors import RunFailedError

CHUNK_BYTES = 64 * 2**20
"""About how much a block holds beyond the model's own tensors."""

_LOWEST = torch.finfo(torch.float32).min


@dataclasses.dataclass(frozen=True, eq=False)
class HeadRows:
    """Some query rows of some heads that share a key/value head.

    Attributes:
        batch: Batch rows.
        heads: Query heads.
        positions: Query positions per batch row.
        weights: Attention weights in float32; each row sums up to 1.
        visible: Which keys a row sees, the axis of heads of length 1 where all see the same; None for all.
        values: The heads' values in float32.
    """

    batch: Int[Tensor, " batch"]
    heads: Int[Tensor, " heads"]
    positions: Int[Tensor, "batch queries"]
    weights: Float[Tensor, "batch heads queries keys"]
    visible: Bool[Tensor, "batch #heads queries keys"] | None
    values: Float[Tensor, "batch keys value_dim"]

    def output(
        self, weights: Float[Tensor, "batch heads queries keys"]
    ) -> Float[Tensor, "batch queries heads value_dim"]:
        """Give what the heads give out under some weights.

        Args:
            weights: The block's own, or others in their place.
        """
        mixed = torch.matmul(weights.flatten(1, 2), self.values)
        return mixed.view(*weights.shape[:3], -1).transpose(1, 2)


def head_rows(
    call: AttentionCall, heads: Sequence[int], positions: Int[Tensor, "batch queries"], *, chunk_bytes: int
) -> Iterator[HeadRows]:
    """Compute the attention weights of some rows of some heads, block by block, in float32.

    Args:
        call: One attention call.
        heads: Query heads, each once.
        positions: Query positions per batch row, on the call's device.
        chunk_bytes: About how many bytes a block may take; a single row of a group's heads is the least.

    Yields:
        Blocks that together cover every row of every head once.

    Raises:
        UnsupportedModelError: If the call's weights are no plain softmax (see `Visibility.of`).
        RunFailedError: If the call drops weights at random.
    """
    if call.options.get("dropout"):
        raise RunFailedError(
            f"Attention weights cannot be computed again: {type(call.module).__name__} drops some at random (dropout "
            f"{call.options['dropout']}). Expected a model in evaluation mode; call model.eval()."
        )
    visibility = Visibility.of(call)
    per_group = call.query.shape[1] // call.key.shape[1]
    for group in sorted({head // per_group for head in heads}):
        own = [head for head in heads if head // per_group == group]
        batch_rows, query_rows = _block_size(call, len(own), positions.shape[1], chunk_bytes)
        chosen = torch.tensor(own, device=call.query.device)
        for first in range(0, call.query.shape[0], batch_rows):
            batch = torch.arange(first, min(first + batch_rows, call.query.shape[0]), device=call.query.device)
            keys, values = call.key[batch, group].float(), call.value[batch, group].float()
            for row in range(0, positions.shape[1], query_rows):
                looking = positions[batch, row : row + query_rows]
                weights, visible = _weights(call, visibility, batch, chosen, looking, keys)
                yield HeadRows(batch, chosen, looking, weights, visible, values)


def _weights(
    call: AttentionCall, visibility: Visibility, batch: Tensor, heads: Tensor, positions: Tensor, keys: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Compute the weights of one block and which keys it sees."""
    scaling, softcap = call.options.get("scaling"), call.options.get("softcap")
    queries = call.query[batch[:, None, None], heads[:, None], positions[:, None]].float()
    queries = queries * (call.query.shape[-1] ** -0.5 if scaling is None else scaling)
    logits = torch.matmul(queries.flatten(1, 2), keys.transpose(1, 2)).view(*queries.shape[:3], -1)
    if softcap is not None:
        logits = torch.tanh(logits / softcap) * softcap
    everywhere = torch.arange(keys.shape[1], device=keys.device).expand(len(batch), -1)
    seen, bias = (_of_heads(mask, heads) for mask in visibility.look(batch, positions, everywhere))
    if bias is not None:
        logits = logits + bias
        seen = bias > torch.finfo(bias.dtype).min / 2
    elif seen is not None:
        logits = logits.masked_fill(seen.logical_not(), _LOWEST)
    return logits.softmax(dim=-1), seen


def _of_heads(mask: Tensor | None, heads: Tensor) -> Tensor | None:
    """Pick some heads of a mask that tells them apart."""
    return mask if mask is None or mask.shape[1] == 1 else mask[:, heads]


def _block_size(call: AttentionCall, num_heads: int, num_rows: int, chunk_bytes: int) -> tuple[int, int]:
    """Say how many batch rows and query rows fit into a block: their keys, values, logits, weights and masks."""
    num_keys = call.key.shape[2]
    fixed = num_keys * (call.key.shape[3] + call.value.shape[3])
    per_row = 4 * num_heads * num_keys
    budget = chunk_bytes // 4
    query_rows = max(1, min(num_rows, (budget - fixed) // per_row))
    batch_rows = max(1, min(call.query.shape[0], budget // (fixed + query_rows * per_row)))
    return batch_rows, query_rows
