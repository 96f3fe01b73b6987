"""What a metric is: parts per picture, and a value from their weighted sums."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

import numpy as np
from jaxtyping import Float
from PIL import Image

from headimpact.evaluation.results import Prediction

Parts = Float[np.ndarray, "images parts"]
"""Sufficient statistics of each response; those of a picture's responses are added up."""

PartSums = Float[np.ndarray, "resamples parts"]
"""Weighted sums of the parts over pictures, one row per resample."""


@dataclass(frozen=True)
class TokenizedPredictions:
    """Predictions with their texts as tokens joined by blanks.

    Attributes:
        predictions: The predictions as they were.
        candidates: Tokens of each prediction.
        references: Tokens of each prediction's references.
    """

    predictions: tuple[Prediction, ...]
    candidates: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]


@runtime_checkable
class Metric(Protocol):
    """One metric of the table."""

    @property
    def name(self) -> str:
        """Name in the table."""
        ...

    @property
    def title(self) -> str:
        """Name within a sentence, as the field writes it."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """Whether a larger value is a better one."""
        ...

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest possible value."""
        ...

    def missing(self, predictions: Sequence[Prediction]) -> str | None:
        """Say why these predictions cannot give this metric, or None where they can."""
        ...

    def parts(self, tokenized: TokenizedPredictions) -> Parts:
        """Compute the sufficient statistics of every prediction."""
        ...

    def reduce(self, sums: PartSums) -> Float[np.ndarray, " resamples"]:
        """Turn weighted sums of parts into values."""
        ...


@dataclass(frozen=True)
class MetricResources:
    """What some metrics need besides texts.

    Attributes:
        load_image: Gives a picture as RGB by its id; None where pictures are not at hand.
        clip_checkpoint: Folder or hub id of a CLIP.
        bert_checkpoint: Folder or hub id of a text encoder.
        bert_layer: Which of its hidden states is compared, 0 for the embeddings; the last if None.
        device: Where they run.
    """

    load_image: Callable[[str], Image.Image] | None = None
    clip_checkpoint: str | None = None
    bert_checkpoint: str | None = None
    bert_layer: int | None = None
    device: str = "auto"


@runtime_checkable
class NeedsModel(Protocol):
    """A metric that needs a model or pictures to compute parts; reading and comparing them needs neither."""

    def equipped(self, resources: MetricResources) -> Self:
        """Give the same metric with what it needs, as far as it is there."""
        ...


def metric_values(
    metric: Metric, parts: Parts, weights: Float[np.ndarray, "resamples images"]
) -> Float[np.ndarray, " resamples"]:
    """Compute a metric under many weightings of the pictures at once.

    Args:
        metric: The metric that the parts belong to.
        parts: What `metric.parts` gave.
        weights: How often each picture counts, non-negative, one row per resample.

    Returns:
        One value per row of weights; whole-number weights give exactly the metric of that multiset of
        pictures (for CIDEr-D with the document frequencies of all pictures kept).
    """
    return metric.reduce(weights @ parts)


def metric_value(metric: Metric, parts: Parts, weights: Float[np.ndarray, " images"] | None = None) -> float:
    """Compute a metric's value, every picture counting once unless weighted.

    Args:
        metric: The metric that the parts belong to.
        parts: What `metric.parts` gave.
        weights: How often each picture counts; once each if left out.

    Returns:
        The value.
    """
    row = np.ones(parts.shape[0]) if weights is None else weights
    return float(metric_values(metric, parts, row[None, :])[0])


def mean_of_parts(sums: PartSums) -> Float[np.ndarray, " resamples"]:
    """Divide the summed values (part 0) by the summed counts (part 1); NaN where nothing was counted."""
    empty = np.full(len(sums), np.nan)
    np.divide(sums[:, 0], sums[:, 1], out=empty, where=sums[:, 1] > 0)
    return empty


def as_mean_parts(values: Sequence[float]) -> Parts:
    """Lay out per-picture values as (value, 1), the parts of a plain mean."""
    column = np.asarray(values, dtype=np.float64)
    return np.stack([column, np.ones_like(column)], axis=1)
