"""CLIPScore and RefCLIPScore with a CLIP that the user names."""

import dataclasses
from collections.abc import Sequence
from functools import partial

import numpy as np
from jaxtyping import Float

from headimpact.core.registry import Registry
from headimpact.evaluation.metrics.metric import (
    MetricResources,
    Parts,
    PartSums,
    TokenizedPredictions,
    as_mean_parts,
    mean_of_parts,
)
from headimpact.evaluation.results import Prediction

WEIGHT = 2.5
PREFIX = "A photo depicts "
_ENCODERS = Registry("encoder", {"clip": "headimpact.evaluation.clip_encoder:shared_clip"})
"""Named, not imported: comparing runs needs the table of metrics and no torch."""


@dataclasses.dataclass(frozen=True)
class ClipScore:
    """Mean closeness of caption and picture, and with references of caption and closest reference. Higher is better.

    CLIPScore is 2.5 max(cos(caption, picture), 0) of a CLIP's vectors. RefCLIPScore is the harmonic mean of that and of
    the largest cosine with a reference, 0 where that is negative. All texts begin with "A photo depicts".

    Source: Hessel et al. 2104.08718, section 3. Their figures are of openai/clip-vit-base-patch32; others have
        another scale.
    """

    name: str
    title: str
    with_references: bool
    range: tuple[float, float]
    higher_is_better: bool = True
    resources: MetricResources = dataclasses.field(default_factory=MetricResources)

    def equipped(self, resources: MetricResources) -> "ClipScore":
        """Give the same metric with a checkpoint and pictures."""
        return dataclasses.replace(self, resources=resources)

    def missing(self, predictions: Sequence[Prediction]) -> str | None:  # noqa: ARG002
        """Need a checkpoint and the pictures."""
        if self.resources.clip_checkpoint is None:
            return "no CLIP was named; pass --clip-checkpoint"
        return None if self.resources.load_image is not None else "the pictures are not at hand; pass --images"

    def parts(self, tokenized: TokenizedPredictions) -> Parts:
        """Give (score, 1) of each caption."""
        load, checkpoint = self.resources.load_image, self.resources.clip_checkpoint
        encoder = _ENCODERS.load("clip")(checkpoint, device=self.resources.device)
        predictions = tokenized.predictions
        pictures = encoder.encode_pictures([partial(load, one.image_id) for one in predictions if load is not None])
        captions = encoder.encode_texts([PREFIX + one.prediction for one in predictions])
        scores = WEIGHT * (captions * pictures).sum(dim=1).numpy().clip(min=0.0)
        if self.with_references:
            texts = encoder.encode_texts([PREFIX + text for one in predictions for text in one.references])
            groups = np.split(texts.numpy(), np.cumsum([len(one.references) for one in predictions])[:-1])
            closest = [float((group @ caption).max()) for group, caption in zip(groups, captions.numpy(), strict=True)]
            scores = harmonic_mean(scores, np.clip(closest, 0.0, None))
        return as_mean_parts(scores.tolist())

    def reduce(self, sums: PartSums) -> Float[np.ndarray, " resamples"]:
        """Give the mean."""
        return mean_of_parts(sums)


CLIPSCORE = ClipScore("clipscore", "CLIPScore", with_references=False, range=(0.0, WEIGHT))
REFCLIPSCORE = ClipScore("refclipscore", "RefCLIPScore", with_references=True, range=(0.0, 2 * WEIGHT / (WEIGHT + 1)))


def harmonic_mean(first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Give harmonic means; 0 where either is 0.

    Example:
        >>> harmonic_mean(np.array([1.0, 0.0]), np.array([0.5, 0.0])).tolist()
        [0.6666666666666666, 0.0]
    """
    total = first + second
    means: Float[np.ndarray, " n"] = np.divide(2 * first * second, total, out=np.zeros_like(total), where=total > 0)
    return means
