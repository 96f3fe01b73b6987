"""Key-object recall: does the response name a key object of the picture."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from headimpact.data.synonyms import is_named
from headimpact.evaluation.metrics.metric import Parts, PartSums, TokenizedPredictions, mean_of_parts
from headimpact.evaluation.results import Prediction


@dataclasses.dataclass(frozen=True)
class KeyObjectRecall:
    """Share of pictures whose response names a key object, of those with known names. Higher is better.

    A name counts as `headimpact.data.synonyms.is_named` says: whole words, in any case; the readers put plurals
    and synonyms among the names.

    Source: our own, in the manner of CHAIR's object matching (Rohrbach et al. 1809.02156, section 2.1).
    """

    name: str = "key_object_recall"
    title: str = "key-object recall"
    higher_is_better: bool = True
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def missing(self, predictions: Sequence[Prediction]) -> str | None:
        """Need at least one picture with names."""
        return None if any(prediction.names for prediction in predictions) else "no picture has names of key objects"

    def parts(self, tokenized: TokenizedPredictions) -> Parts:
        """Give (named, has names) of each picture."""
        rows = [(is_named([p.prediction], p.names), bool(p.names)) for p in tokenized.predictions]
        return np.array(rows, dtype=np.float64).reshape(-1, 2)

    def reduce(self, sums: PartSums) -> Float[np.ndarray, " resamples"]:
        """Give the share named, of the pictures with names."""
        return mean_of_parts(sums)


METRIC = KeyObjectRecall()
