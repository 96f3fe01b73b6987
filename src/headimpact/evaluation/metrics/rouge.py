"""ROUGE-L, per picture, then the mean."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from pycocoevalcap.rouge.rouge import Rouge

from headimpact.evaluation.metrics.metric import Parts, PartSums, TokenizedPredictions, as_mean_parts, mean_of_parts
from headimpact.evaluation.results import Prediction


@dataclasses.dataclass(frozen=True)
class RougeL:
    """Mean over pictures of the longest-common-subsequence F-score, beta 1.2. Higher is better.

    Best precision and best recall over the references, which may come from different ones.

    Source: Lin 2004, as in pycocoevalcap 1.2, rouge/rouge.py.
    """

    name: str = "rouge_l"
    title: str = "ROUGE-L"
    higher_is_better: bool = True
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def missing(self, predictions: Sequence[Prediction]) -> str | None:  # noqa: ARG002
        """Need nothing but references."""
        return None

    def parts(self, tokenized: TokenizedPredictions) -> Parts:
        """Give (ROUGE-L, 1) of each picture."""
        pairs = zip(tokenized.candidates, tokenized.references, strict=True)
        scorer = Rouge()
        return as_mean_parts([scorer.calc_score([candidate], list(references)) for candidate, references in pairs])

    def reduce(self, sums: PartSums) -> Float[np.ndarray, " resamples"]:
        """Give the mean."""
        return mean_of_parts(sums)


METRIC = RougeL()
