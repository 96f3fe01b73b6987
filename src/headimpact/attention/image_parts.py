"""What every head takes from the image tokens on average, to stand in for what it takes from one picture.

In: a model's attention modules, which rows look, which keys are image tokens. Out: per picture, layer and head the mean
over rows of the image tokens' share of the head's output.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headimpact.attention.head_rows import CHUNK_BYTES, head_rows
from headimpact.attention.interception import AttentionCall, observe_attention
from headimpact.attention.positions import check_positions, image_mask, query_positions
from headimpact.core.errors import RunFailedError

ImagePart = Float[Tensor, "batch heads value_dim"]
"""Sum over image tokens of weight times value, averaged over a batch row's query rows."""


@contextlib.contextmanager
def gather_image_parts(
    modules: Mapping[int, nn.Module],
    *,
    queries: Sequence[Tensor],
    keys: Sequence[Tensor],
    chunk_bytes: int = CHUNK_BYTES,
) -> Iterator[dict[int, ImagePart]]:
    """Gather what heads take from image tokens during one forward pass inside the block, which stays as it is.

    The mean over pictures of what is gathered, per layer, is what `knock_out` takes as `means`.

    Args:
        modules: Layer to attention module, as `ModelFamily.attention_modules` gives them.
        queries: Query positions per batch row, padding counted; at least one each, each once.
        keys: Key positions of the image tokens per batch row, padding counted.
        chunk_bytes: About how many bytes may be held at a time beyond the model's own and the result.

    Yields:
        Layer to what was gathered, in float32; filled while the model runs.

    Raises:
        OptionError: If positions do not fit the batch or the sequence.
        UnsupportedModelError: If attention does not go through transformers' interface, or is no plain softmax.
        RunFailedError: If a layer runs twice inside the block, or drops attention weights at random.
    """
    check_positions(keys, queries)
    parts: dict[int, ImagePart] = {}

    def gather(layer: int, call: AttentionCall) -> None:
        if layer in parts:
            raise RunFailedError(f"Layer {layer} ran twice inside one block. Expected one forward pass.")
        with torch.no_grad(), torch.autocast(device_type=call.query.device.type, enabled=False):
            parts[layer] = _image_part(call, keys, query_positions(call, queries), chunk_bytes)

    with observe_attention(modules, gather):
        yield parts


def _image_part(call: AttentionCall, keys: Sequence[Tensor], positions: Tensor, chunk_bytes: int) -> ImagePart:
    """Average the image part of the wanted rows; one that fills up a ragged list counts once in all."""
    hidden = image_mask(call, keys).logical_not()[:, None, None]
    batch, num_heads, num_queries, _ = call.query.shape
    times = torch.zeros(batch, num_queries, device=positions.device)
    times.scatter_add_(1, positions, torch.ones_like(positions, dtype=times.dtype))
    shares = 1 / (times * (times > 0).sum(dim=1, keepdim=True))
    part = torch.zeros(batch, num_heads, call.value.shape[3], device=call.value.device)
    for rows in head_rows(call, range(num_heads), positions, chunk_bytes=chunk_bytes):
        taken = rows.output(rows.weights.masked_fill(hidden[rows.batch], 0.0))
        share = shares[rows.batch[:, None], rows.positions][:, :, None, None]
        part[rows.batch[:, None], rows.heads] += (taken * share).sum(dim=1)
    return part
