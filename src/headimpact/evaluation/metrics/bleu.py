"""BLEU-1 to BLEU-4 from n-gram counts, so that any reweighting of the pictures has its exact corpus BLEU."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from pycocoevalcap.bleu.bleu_scorer import cook_refs, cook_test

from headimpact.evaluation.metrics.metric import Parts, PartSums, TokenizedPredictions
from headimpact.evaluation.results import Prediction

_SMALL, _TINY = 1e-9, 1e-15


@dataclasses.dataclass(frozen=True)
class Bleu:
    """Corpus BLEU: geometric mean of clipped n-gram precisions up to `order`, times the brevity penalty.

    Parts of a picture: length of the response, length of its closest reference, then for each n up to
    `order` the n-grams in the response and how many of them are matched. Higher is better.

    Source: Papineni et al. 2002; counts by pycocoevalcap 1.2, bleu/bleu_scorer.py, and its `compute_score`
        with option "closest", added constants 1e-15 and 1e-9 included.
    """

    order: int
    higher_is_better: bool = True
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    @property
    def name(self) -> str:
        """Name in the table."""
        return f"bleu_{self.order}"

    @property
    def title(self) -> str:
        """Name within a sentence."""
        return f"BLEU-{self.order}"

    def missing(self, predictions: Sequence[Prediction]) -> str | None:  # noqa: ARG002
        """Need nothing but references."""
        return None

    def parts(self, tokenized: TokenizedPredictions) -> Parts:
        """Count lengths, n-grams and matches of each picture."""
        rows = [
            self._counts(candidate, references)
            for candidate, references in zip(tokenized.candidates, tokenized.references, strict=True)
        ]
        return np.array(rows, dtype=np.float64).reshape(-1, 2 + 2 * self.order)

    def reduce(self, sums: PartSums) -> Float[np.ndarray, " resamples"]:
        """Give corpus BLEU from summed counts."""
        lengths, closest = sums[:, 0], sums[:, 1]
        guessed, matched = sums[:, 2 : 2 + self.order], sums[:, 2 + self.order :]
        precision = np.prod((matched + _TINY) / (guessed + _SMALL), axis=1) ** (1.0 / self.order)
        ratio = (lengths + _TINY) / (closest + _SMALL)
        penalty = np.exp(np.minimum(0.0, 1.0 - 1.0 / ratio))
        values: Float[np.ndarray, " resamples"] = precision * penalty
        return values

    def _counts(self, candidate: str, references: tuple[str, ...]) -> list[int]:
        """Count one picture."""
        cooked = cook_test(candidate, cook_refs(references, n=self.order), eff="closest", n=self.order)
        return [cooked["testlen"], cooked["reflen"], *cooked["guess"], *cooked["correct"]]


BLEU_1, BLEU_2, BLEU_3, BLEU_4 = Bleu(1), Bleu(2), Bleu(3), Bleu(4)
