"""What heads do to the loss: every picture's slope by every head, and its rise where sets of heads are knocked out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headimpact.attention.gates import gate_heads
from headimpact.attention.knockout import knock_out
from headimpact.attention.queries import response_rows
from headimpact.core.shapes import ImageHeadValues
from headimpact.data.sample import Sample
from headimpact.models.batching import BatchSize, run_in_batches
from headimpact.models.loading import LoadedModel
from headimpact.models.prompts import EncodedBatch, encode
from headimpact.models.response_losses import response_losses

HeadSet = Mapping[int, Sequence[int]]
"""Layer to some of its heads."""


def measure_gate_gradients(
    loaded: LoadedModel, samples: Sequence[Sample], responses: Sequence[str], *, prompt: str, batch_size: BatchSize
) -> ImageHeadValues:
    """Differentiate every picture's loss by a gate on every head, one backward pass a batch.

    Args:
        loaded: The model.
        samples: The pictures.
        responses: What the model is to answer, one per picture.
        prompt: What is asked about every picture.
        batch_size: Rows per pass; shrinks where memory runs out.

    Returns:
        dL/dg in float32; NaN for layers without attention to the picture. Their squares' sum over pictures is the gate
        gradient score.
    """
    modules = loaded.family.attention_modules(loaded.model)

    def run(batch: EncodedBatch) -> list[Tensor]:
        with torch.enable_grad(), gate_heads(modules, loaded.model) as gates:
            found = gates.gradients(_losses(loaded, batch.inputs, batch))
        return list(found.cpu())

    found = torch.stack(_run(loaded, samples, responses, run=run, prompt=prompt, batch_size=batch_size)).numpy()
    num_layers = int(loaded.config.get_text_config().num_hidden_layers)
    values = np.full((len(samples), num_layers, found.shape[2]), np.nan, dtype=np.float32)
    values[:, list(modules)] = found
    return values


def measure_knockouts(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    responses: Sequence[str],
    sets: Sequence[HeadSet],
    *,
    prompt: str,
    batch_size: BatchSize,
    knockout: str = "renormalize",
    responses_only: bool = False,
) -> Float[np.ndarray, "images sets"]:
    """Measure by how much every picture's loss rises where heads cannot look at the image tokens.

    A batch is encoded once, its pictures pass the vision tower once where the family allows, and then the language
    model runs once as it is and once for every set.

    Args:
        loaded: The model.
        samples: The pictures.
        responses: What the model is to answer, one per picture.
        sets: Heads that are silenced together.
        prompt: What is asked about every picture.
        batch_size: Rows per pass; shrinks where memory runs out.
        knockout: What becomes of the weights on image tokens, one of `KNOCKOUTS`.
        responses_only: Silence the rows that predict the response's tokens alone, instead of every row.

    Returns:
        Loss with the set silenced minus loss without; above 0 where the heads' look at the picture helped.

    Raises:
        OptionError: If a set has no heads or names some that do not exist, or the knockout is unknown.
    """
    modules = loaded.family.attention_modules(loaded.model)
    language_inputs = loaded.family.language_inputs

    def run(batch: EncodedBatch) -> list[Tensor]:
        keys = [torch.as_tensor(layout.positions, dtype=torch.long) for layout in batch.layouts]
        queries = response_rows(batch.response_spans) if responses_only else None
        with torch.no_grad():
            inputs: Mapping[str, Any] = batch.inputs
            if language_inputs is not None:
                inputs = language_inputs(loaded.family.backbone(loaded.model), inputs)
            plain, rises = _losses(loaded, inputs, batch), []
            for heads in sets:
                with knock_out(modules, heads, keys=keys, queries=queries, knockout=knockout):
                    rises.append(_losses(loaded, inputs, batch) - plain)
        return list(torch.stack(rises, dim=1).cpu())

    found = _run(loaded, samples, responses, run=run, prompt=prompt, batch_size=batch_size)
    return torch.stack(found).numpy()


def _run(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    responses: Sequence[str],
    *,
    run: Callable[[EncodedBatch], list[Tensor]],
    prompt: str,
    batch_size: BatchSize,
) -> list[Tensor]:
    """Encode pictures with their responses batch by batch and run each; one result per picture."""

    def prepare(batch: Sequence[tuple[Sample, str]]) -> EncodedBatch:
        images, texts = [sample.load_image() for sample, _ in batch], [text for _, text in batch]
        return encode(loaded, images, [prompt] * len(batch), texts, padding_side="right")

    items = list(zip(samples, responses, strict=True))
    overlap = loaded.device.type != "cpu"
    return run_in_batches(items, prepare=prepare, run=run, size=batch_size, overlap=overlap)


def _losses(loaded: LoadedModel, inputs: Mapping[str, Any], batch: EncodedBatch) -> Tensor:
    """Give each row's loss of its response."""
    return response_losses(loaded.model, inputs, cast("Tensor", batch.labels))
