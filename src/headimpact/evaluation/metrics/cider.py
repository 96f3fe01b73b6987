"""CIDEr-D, per picture with the document frequencies of the evaluated references, then the mean."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from pycocoevalcap.cider.cider import Cider

from headimpact.evaluation.metrics.metric import Parts, PartSums, TokenizedPredictions, as_mean_parts, mean_of_parts
from headimpact.evaluation.results import Prediction


@dataclasses.dataclass(frozen=True)
class CiderD:
    """Mean over pictures of ten times the clipped tf-idf similarity of n-grams up to 4. Higher is better.

    The document frequencies come from the references of all evaluated pictures and stay fixed when pictures
    are resampled, so every resample is judged by the same scale. On one picture alone it is 0: every n-gram
    is in every document.

    Source: Vedantam et al. 1411.5726, the "-D" variant, which pycocoevalcap 1.2 calls CIDEr.
    """

    name: str = "cider_d"
    title: str = "CIDEr-D"
    higher_is_better: bool = True
    range: ClassVar[tuple[float, float]] = (0.0, 10.0)

    def missing(self, predictions: Sequence[Prediction]) -> str | None:  # noqa: ARG002
        """Need nothing but references."""
        return None

    def parts(self, tokenized: TokenizedPredictions) -> Parts:
        """Give (CIDEr-D, 1) of each picture."""
        if not any(text for references in tokenized.references for text in references):
            return as_mean_parts([0.0] * len(tokenized.candidates))
        references = {index: list(texts) for index, texts in enumerate(tokenized.references)}
        candidates = {index: [text] for index, text in enumerate(tokenized.candidates)}
        _, scores = Cider().compute_score(references, candidates)
        return as_mean_parts(scores.tolist())

    def reduce(self, sums: PartSums) -> Float[np.ndarray, " resamples"]:
        """Give the mean."""
        return mean_of_parts(sums)


METRIC = CiderD()
