"""CHAIR: how many of the objects that a caption names are not in the picture."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from headimpact.data.build.mentions import MentionFinder, build_mention_finder
from headimpact.data.synonyms import SYNONYMS
from headimpact.evaluation.metrics.metric import Parts, PartSums, TokenizedPredictions
from headimpact.evaluation.results import Prediction


@dataclasses.dataclass(frozen=True)
class Chair:
    """Share of hallucinated objects: of all mentions (CHAIR-i), or of captions with any (CHAIR-s). Lower is better.

    A mention is a place where the caption names a category by a word of `headimpact.data.synonyms`, found as
    `headimpact.data.build.mentions` says. It is hallucinated where the picture has no annotated object of the category
    and no reference caption names it. Looked for are the categories of the evaluated pictures, and all of COCO's
    where one of them is COCO's. Where nothing at all is named, nothing is hallucinated: 0.

    Source: Rohrbach et al. 1809.02156, section 2.1, with our own synonyms and rules for what is a mention (a "hot dog"
        is no dog, "no dog" neither) instead of their list, so values differ from those of their code.
    """

    name: str
    title: str
    per_sentence: bool
    higher_is_better: bool = False
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def missing(self, predictions: Sequence[Prediction]) -> str | None:
        """Need to know which objects are in the pictures."""
        is_known = any(one.objects is not None for one in predictions)
        return None if is_known else "the data does not say which objects are in the pictures"

    def parts(self, tokenized: TokenizedPredictions) -> Parts:
        """Give (hallucinated, all) of each caption: mentions, or itself; (0, 0) where the objects are unknown."""
        finder = _finder(frozenset(name for one in tokenized.predictions for name in one.objects or ()))
        counts = [_count(one, finder) for one in tokenized.predictions]
        if self.per_sentence:
            counts = [
                (int(wrong > 0), int(one.objects is not None))
                for (wrong, _), one in zip(counts, tokenized.predictions, strict=True)
            ]
        return np.array(counts, dtype=np.float64).reshape(-1, 2)

    def reduce(self, sums: PartSums) -> Float[np.ndarray, " resamples"]:
        """Give the share that is hallucinated."""
        shares = np.zeros(len(sums))
        np.divide(sums[:, 0], sums[:, 1], out=shares, where=sums[:, 1] > 0)
        return shares


CHAIR_I = Chair("chair_i", "CHAIR-i", per_sentence=False)
CHAIR_S = Chair("chair_s", "CHAIR-s", per_sentence=True)


def _count(prediction: Prediction, finder: MentionFinder) -> tuple[int, int]:
    """Count hallucinated and all mentions of one caption."""
    if prediction.objects is None:
        return 0, 0
    there = {*prediction.objects, *(name for text in prediction.references for name in finder.read(text))}
    named = [mention.category for mention in finder.find(prediction.prediction)]
    return sum(category not in there for category in named), len(named)


@functools.lru_cache(maxsize=8)
def _finder(categories: frozenset[str]) -> MentionFinder:
    """Make a finder of the categories of some pictures, all of COCO's among them where one is COCO's."""
    return build_mention_finder([*sorted(categories), *(SYNONYMS if categories & SYNONYMS.keys() else ())])
