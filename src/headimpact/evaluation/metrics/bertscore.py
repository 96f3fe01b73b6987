"""BERTScore (F1) with a text encoder that the user names."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float

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

_ENCODERS = Registry("encoder", {"words": "headimpact.evaluation.word_encoder:WordEncoder"})
"""Named, not imported: comparing runs needs the table of metrics and no torch."""


@dataclasses.dataclass(frozen=True)
class BertScore:
    """Mean over pictures of the best F1 of greedily matched token vectors over the references. Higher is better.

    Every token is matched with the most similar one of the other text; precision and recall are the mean cosines.
    The encoder's own first and last token can be matched but are not counted. Neither idf weights nor rescaling: values
    crowd together far above 0, and only those of one checkpoint and layer can be compared.

    Source: Zhang et al. 1904.09675, section 3, F_BERT; special tokens as in bert_score 0.3.13.
    """

    name: str = "bertscore"
    title: str = "BERTScore"
    higher_is_better: bool = True
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    resources: MetricResources = dataclasses.field(default_factory=MetricResources)

    def equipped(self, resources: MetricResources) -> "BertScore":
        """Give the same metric with a checkpoint."""
        return dataclasses.replace(self, resources=resources)

    def missing(self, predictions: Sequence[Prediction]) -> str | None:  # noqa: ARG002
        """Need a checkpoint."""
        named = self.resources.bert_checkpoint is not None
        return None if named else "no text encoder was named; pass --bert-checkpoint"

    def parts(self, tokenized: TokenizedPredictions) -> Parts:
        """Give (best F1, 1) of each response."""
        given = self.resources
        encoder = _ENCODERS.load("words")(given.bert_checkpoint, layer=given.bert_layer, device=given.device)
        texts = [text for one in tokenized.predictions for text in (one.prediction, *one.references)]
        unique = list(dict.fromkeys(texts))
        vectors = encoder.encode(unique)
        found = {text: (one.numpy(), words.numpy()) for text, (one, words) in zip(unique, vectors, strict=True)}
        return as_mean_parts(
            [
                max(greedy_f1(*found[one.prediction], *found[text]) for text in one.references)
                for one in tokenized.predictions
            ]
        )

    def reduce(self, sums: PartSums) -> Float[np.ndarray, " resamples"]:
        """Give the mean."""
        return mean_of_parts(sums)


METRIC = BertScore()


def greedy_f1(
    candidate: Float[np.ndarray, "tokens features"],
    candidate_words: Bool[np.ndarray, " tokens"],
    reference: Float[np.ndarray, "others features"],
    reference_words: Bool[np.ndarray, " others"],
) -> float:
    """Match every token with the most similar one of the other text and give the F1 of the mean cosines.

    Args:
        candidate: Unit vectors of the candidate's tokens.
        candidate_words: Which of them count.
        reference: Unit vectors of the reference's tokens.
        reference_words: Which of them count.

    Returns:
        F1 in [0, 1]; 0 where a text has no word, and where a mean cosine is not above 0.

    Example:
        >>> ahead, both, one, two = np.eye(2)[:1], np.eye(2), np.array([True]), np.array([True, True])
        >>> greedy_f1(ahead, one, ahead, one), round(greedy_f1(ahead, one, both, two), 3)
        (1.0, 0.667)
    """
    if not candidate_words.any() or not reference_words.any():
        return 0.0
    similarity = candidate @ reference.T
    precision = float(similarity.max(axis=1)[candidate_words].mean())
    recall = float(similarity.max(axis=0)[reference_words].mean())
    return 2 * precision * recall / (precision + recall) if min(precision, recall) > 0 else 0.0
