"""What heads do: every picture's slope of the loss by every head, and loss and naming where heads are knocked out."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headimpact.attention.gates import gate_heads
from headimpact.attention.image_parts import gather_image_parts
from headimpact.attention.knockout import KNOCKOUTS, knock_out
from headimpact.attention.queries import response_rows
from headimpact.core.errors import OptionError
from headimpact.core.shapes import ImageHeadValues
from headimpact.data.sample import Sample
from headimpact.data.synonyms import is_named
from headimpact.evaluation.generation import respond
from headimpact.models.batching import BatchSize, Result, run_in_batches
from headimpact.models.generation_options import searched_generation
from headimpact.models.loading import LoadedModel
from headimpact.models.prompts import EncodedBatch, encode
from headimpact.models.response_losses import response_losses

HeadSet = Mapping[int, Sequence[int]]
"""Layer to some of its heads."""

Means = Mapping[int, Float[np.ndarray, "heads value_dim"]]
"""Layer to what each of its heads takes from the image tokens on average."""

KNOCKOUT_KINDS = (*KNOCKOUTS, "mean")
"""What may become of a silenced head's look at the picture; `mean` puts the mean over pictures in its place."""


@dataclasses.dataclass(frozen=True, eq=False)
class Silencing:
    """How heads are silenced.

    Attributes:
        knockout: What becomes of the weights on image tokens, one of `KNOCKOUT_KINDS`.
        responses_only: Silence the rows that predict the response's tokens alone, instead of every row.
        means: What stands in for what is taken from the picture, for `mean`; see `measure_image_means`.
    """

    knockout: str = "renormalize"
    responses_only: bool = False
    means: Means | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Knockouts:
    """Losses of some pictures as they are, and their rises under knockouts.

    Attributes:
        plain: Loss with all heads.
        rises: Loss with a set silenced minus loss without; above 0 where the heads' look at the picture helped.
    """

    plain: Float[np.ndarray, " images"]
    rises: Float[np.ndarray, "images sets"]


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


def measure_losses(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    responses: Sequence[str],
    sets: Sequence[HeadSet],
    *,
    prompt: str,
    batch_size: BatchSize,
    how: Silencing | None = None,
) -> Knockouts:
    """Measure every picture's loss, and by how much it rises where heads cannot look at the image tokens.

    A batch is encoded once, its pictures pass the vision tower once where the family allows, and then the language
    model runs once as it is and once for every set.

    Args:
        loaded: The model.
        samples: The pictures.
        responses: What the model is to answer, one per picture.
        sets: Heads that are silenced together.
        prompt: What is asked about every picture.
        batch_size: Rows per pass; shrinks where memory runs out.
        how: How they are silenced; in every row, the other weights renormalised, if left out.

    Returns:
        Plain losses and rises.

    Raises:
        OptionError: If a set has no heads or names some that do not exist, or the knockout is unknown.
    """
    language_inputs, how = loaded.family.language_inputs, how or Silencing()

    def run(batch: EncodedBatch) -> list[Tensor]:
        keys = [torch.as_tensor(layout.positions, dtype=torch.long) for layout in batch.layouts]
        queries = response_rows(batch.response_spans) if how.responses_only else None
        with torch.no_grad():
            inputs: Mapping[str, Any] = batch.inputs
            if language_inputs is not None:
                inputs = language_inputs(loaded.family.backbone(loaded.model), inputs)
            plain, rises = _losses(loaded, inputs, batch), []
            for heads in sets:
                with _silenced(loaded, heads, keys, how=how, queries=queries):
                    rises.append(_losses(loaded, inputs, batch) - plain)
        return list(torch.stack([plain, *rises], dim=1).cpu())

    found = torch.stack(_run(loaded, samples, responses, run=run, prompt=prompt, batch_size=batch_size)).numpy()
    return Knockouts(plain=found[:, 0], rises=found[:, 1:])


def measure_knockouts(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    responses: Sequence[str],
    sets: Sequence[HeadSet],
    *,
    prompt: str,
    batch_size: BatchSize,
    responses_only: bool = False,
) -> Float[np.ndarray, "images sets"]:
    """Measure by how much every picture's loss rises where heads cannot look at the image tokens.

    Args:
        loaded: The model.
        samples: The pictures.
        responses: What the model is to answer, one per picture.
        sets: Heads that are silenced together.
        prompt: What is asked about every picture.
        batch_size: Rows per pass; shrinks where memory runs out.
        responses_only: Silence the rows that predict the response's tokens alone, instead of every row.

    Returns:
        Loss with the set silenced, the other weights renormalised, minus loss without; above 0 where the heads' look
        at the picture helped.

    Raises:
        OptionError: If a set has no heads or names some that do not exist.
    """
    how = Silencing(responses_only=responses_only)
    return measure_losses(loaded, samples, responses, sets, prompt=prompt, batch_size=batch_size, how=how).rises


def measure_image_means(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    responses: Sequence[str],
    *,
    prompt: str,
    batch_size: BatchSize,
    responses_only: bool = False,
) -> dict[int, Float[np.ndarray, "heads value_dim"]]:
    """Average over rows and pictures what every head takes from the image tokens.

    Args:
        loaded: The model.
        samples: The pictures.
        responses: What the model is to answer, one per picture.
        prompt: What is asked about every picture.
        batch_size: Rows per pass; shrinks where memory runs out.
        responses_only: Average over the rows that predict the response's tokens, instead of every row.

    Returns:
        Layer to its heads' mean part of the output, in float32; every picture counts the same.
    """
    modules = loaded.family.attention_modules(loaded.model)

    def run(batch: EncodedBatch) -> list[dict[int, Tensor]]:
        keys = [torch.as_tensor(layout.positions, dtype=torch.long) for layout in batch.layouts]
        queries = response_rows(batch.response_spans)
        if not responses_only:
            queries = [row.nonzero()[:, 0].cpu() for row in batch.inputs["attention_mask"]]
        with torch.no_grad(), gather_image_parts(modules, queries=queries, keys=keys) as parts:
            _losses(loaded, batch.inputs, batch)
        return [{layer: part[row].cpu() for layer, part in parts.items()} for row in range(len(keys))]

    found = _run(loaded, samples, responses, run=run, prompt=prompt, batch_size=batch_size)
    return {
        layer: torch.stack([parts[layer] for parts in found]).double().mean(dim=0).float().numpy() for layer in modules
    }


def measure_naming(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    sets: Sequence[HeadSet],
    *,
    prompt: str,
    batch_size: BatchSize,
    max_new_tokens: int,
    how: Silencing | None = None,
) -> Float[np.ndarray, "images sets_and_one"]:
    """Find out whether the model's own greedy answers name a key object, as it is and under every knockout.

    Args:
        loaded: The model.
        samples: The pictures.
        sets: Heads that are silenced together, in every row, while the answer is written too.
        prompt: What is asked about every picture.
        batch_size: Rows per pass; shrinks where memory runs out.
        max_new_tokens: Longest answer.
        how: How they are silenced; every row is, whatever it says of rows.

    Returns:
        1 where it does and 0 where not: first as it is, then for every set. The mean over pictures is key-object
        recall.

    Raises:
        OptionError: If a set has no heads or names some that do not exist, or the knockout is unknown.
    """
    options = searched_generation(loaded, max_new_tokens=max_new_tokens)

    def prepare(batch: Sequence[Sample]) -> tuple[Sequence[Sample], EncodedBatch]:
        images = [sample.load_image() for sample in batch]
        return batch, encode(loaded, images, [prompt] * len(batch), None, padding_side="left")

    def run(prepared: tuple[Sequence[Sample], EncodedBatch]) -> list[list[float]]:
        batch, encoded = prepared
        keys = [torch.as_tensor(layout.positions, dtype=torch.long) for layout in encoded.layouts]
        said = [respond(loaded, dict(encoded.inputs), options)]
        for heads in sets:
            with _silenced(loaded, heads, keys, how=how or Silencing()):
                said.append(respond(loaded, dict(encoded.inputs), options))
        return [[_names(sample, text) for text in texts] for sample, *texts in zip(batch, *said, strict=True)]

    overlap = loaded.device.type != "cpu"
    found = run_in_batches(list(samples), prepare=prepare, run=run, size=batch_size, overlap=overlap)
    return np.array(found, dtype=np.float32).reshape(len(samples), 1 + len(sets))


def _names(sample: Sample, text: str) -> float:
    """Say whether a text names a key object of a picture."""
    return float(is_named([text], tuple(name for item in sample.key_objects for name in item.names)))


def _silenced(
    loaded: LoadedModel,
    heads: HeadSet,
    keys: Sequence[Tensor],
    *,
    how: Silencing,
    queries: Sequence[Tensor] | None = None,
) -> AbstractContextManager[None]:
    """Knock heads out in one of `KNOCKOUT_KINDS`.

    Raises:
        OptionError: If means are missing, or the knockout is refused.
    """
    modules = loaded.family.attention_modules(loaded.model)
    if how.knockout != "mean":
        return knock_out(modules, heads, keys=keys, queries=queries, knockout=how.knockout)
    if how.means is None:
        raise OptionError("Knockout 'mean' needs means of every layer; see measure_image_means.")
    parts = {layer: torch.from_numpy(how.means[layer]) for layer in heads}
    return knock_out(modules, heads, keys=keys, queries=queries, knockout="zero", means=parts)


def _run(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    responses: Sequence[str],
    *,
    run: Callable[[EncodedBatch], list[Result]],
    prompt: str,
    batch_size: BatchSize,
) -> list[Result]:
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
