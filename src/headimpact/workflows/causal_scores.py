"""Scores of what heads do to the loss, picture by picture, beside those that attention maps give."""

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from headimpact.core.shapes import ImageHeadValues
from headimpact.data.sample import Sample
from headimpact.models.batching import BatchSize
from headimpact.models.loading import LoadedModel
from headimpact.scoring import CAUSAL_SCORES
from headimpact.scoring.aggregation import nan_mean
from headimpact.scoring.sample_scores import PictureScores
from headimpact.workflows.head_causes import measure_gate_gradients, measure_knockouts
from headimpact.workflows.picture_measurement import ScoredPicture

_LOG = logging.getLogger(__name__)

SpokenPicture = tuple[Sample, Sequence[str]]
"""A picture and the responses whose loss counts."""


def add_causes(
    loaded: LoadedModel,
    pictures: Sequence[tuple[SpokenPicture, ScoredPicture]],
    *,
    names: Sequence[str],
    prompt: str,
    batch_size: BatchSize,
) -> list[ScoredPicture]:
    """Measure the causal scores among some names and put them beside what the pictures' maps gave.

    Args:
        loaded: The model.
        pictures: Pictures with their responses, and their scores by name, at least one.
        names: Scores of the run; those that are not causal are left as they are.
        prompt: What is asked about every picture.
        batch_size: Rows per pass; shrinks where memory runs out.

    Returns:
        Per picture all its scores. A head has a causal score where its rows see the picture.
    """
    scored = [dict(scores) for _, scores in pictures]
    spoken = [(sample, text) for (sample, texts), _ in pictures for text in texts]
    ends = np.cumsum([len(texts) for (_, texts), _ in pictures])
    for name in CAUSAL_SCORES if scored else ():
        if name not in names:
            continue
        samples, texts = [sample for sample, _ in spoken], [text for _, text in spoken]
        values = MEASURES[name](loaded, samples, texts, prompt=prompt, batch_size=batch_size)
        for scores, own in zip(scored, np.split(values, ends[:-1]), strict=True):
            like = next(iter(scores.values()))
            scores[name] = _picture_scores(like, nan_mean(own))
    return list(scored)


def announce_causes(loaded: LoadedModel, names: Sequence[str], *, pictures: int) -> None:
    """Say what the causal scores among some names will cost, before they are measured."""
    if "gate_gradient" in names:
        _LOG.info("gate_gradient: a forward and a backward pass of each of %d pictures", pictures)
    if "knockout" in names:
        heads = len(single_heads(loaded))
        _LOG.info("knockout: %d forward passes, 1 + %d of each of %d pictures", pictures * (1 + heads), heads, pictures)


def measure_squared_gradients(
    loaded: LoadedModel, samples: Sequence[Sample], responses: Sequence[str], *, prompt: str, batch_size: BatchSize
) -> ImageHeadValues:
    """Give the square of every picture's slope by every head's gate.

    Args:
        loaded: The model.
        samples: The pictures.
        responses: One response each.
        prompt: What is asked about every picture.
        batch_size: Rows per pass; shrinks where memory runs out.

    Returns:
        At least 0; NaN for layers without attention to the picture.

    Source: influence of a head in Image-LoRA (arXiv 2512.19219), which sums up over pictures what is averaged here.
    """
    slopes = measure_gate_gradients(loaded, samples, responses, prompt=prompt, batch_size=batch_size)
    squares: ImageHeadValues = np.square(slopes)
    return squares


def measure_single_knockouts(
    loaded: LoadedModel, samples: Sequence[Sample], responses: Sequence[str], *, prompt: str, batch_size: BatchSize
) -> ImageHeadValues:
    """Give the rise of every picture's loss where one head alone cannot look at the image tokens.

    Args:
        loaded: The model.
        samples: The pictures.
        responses: One response each.
        prompt: What is asked about every picture.
        batch_size: Rows per pass; shrinks where memory runs out.

    Returns:
        Loss without the head's look minus loss with it; NaN for layers without attention to the picture.
    """
    heads = single_heads(loaded)
    sets = [{layer_idx: (head_idx,)} for layer_idx, head_idx in heads]
    rises = measure_knockouts(loaded, samples, responses, sets, prompt=prompt, batch_size=batch_size)
    sizes = loaded.architecture
    values = np.full((len(samples), sizes.num_layers, sizes.num_heads), np.nan, dtype=np.float32)
    values[:, [layer_idx for layer_idx, _ in heads], [head_idx for _, head_idx in heads]] = rises
    return values


def single_heads(loaded: LoadedModel) -> list[tuple[int, int]]:
    """List layer and head of every head that attends to the picture."""
    num_heads = loaded.architecture.num_heads
    layers = loaded.family.attention_modules(loaded.model)
    return [(layer_idx, head_idx) for layer_idx in layers for head_idx in range(num_heads)]


MEASURES: Mapping[str, Callable[..., ImageHeadValues]] = {
    "gate_gradient": measure_squared_gradients,
    "knockout": measure_single_knockouts,
}
"""How each of `CAUSAL_SCORES` is measured."""


def _picture_scores(like: PictureScores, values: np.ndarray) -> PictureScores:
    """Put a causal score in the form of the others; masks say nothing about it, so there are no donors."""
    return PictureScores(
        image_id=like.image_id,
        own=np.where(like.sees_image > 0, values, np.nan).astype(np.float32),
        donors=np.zeros((0, *values.shape), dtype=np.float32),
        donor_ids=(),
        sees_image=like.sees_image,
    )
