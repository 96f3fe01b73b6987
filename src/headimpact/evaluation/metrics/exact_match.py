"""Exact match: is the response one of the references, but for case, blanks and end punctuation."""

import dataclasses
import unicodedata
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from headimpact.evaluation.metrics.metric import Parts, PartSums, TokenizedPredictions, as_mean_parts, mean_of_parts
from headimpact.evaluation.results import Prediction

_END = ".!?,;:… "


@dataclasses.dataclass(frozen=True)
class ExactMatch:
    """Share of pictures whose response equals one of the references after `normalise`. Higher is better.

    Source: exact match as in SQuAD (Rajpurkar et al. 2016), with articles and inner punctuation kept.
    """

    name: str = "exact_match"
    title: str = "exact match"
    higher_is_better: bool = True
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def missing(self, predictions: Sequence[Prediction]) -> str | None:  # noqa: ARG002
        """Need nothing but references."""
        return None

    def parts(self, tokenized: TokenizedPredictions) -> Parts:
        """Give (match, 1) of each picture."""
        return as_mean_parts([_matches(prediction) for prediction in tokenized.predictions])

    def reduce(self, sums: PartSums) -> Float[np.ndarray, " resamples"]:
        """Give the share of matches."""
        return mean_of_parts(sums)


METRIC = ExactMatch()


def normalise(text: str) -> str:
    """Fold case, join blanks, and cut punctuation off the end.

    Example:
        >>> normalise("  A red  Circle. ")
        'a red circle'
    """
    return " ".join(unicodedata.normalize("NFC", text).casefold().split()).rstrip(_END)


def _matches(prediction: Prediction) -> float:
    """Say 1 where the response equals a reference, else 0; saying nothing never matches."""
    said = normalise(prediction.prediction)
    return float(bool(said) and said in {normalise(text) for text in prediction.references})
