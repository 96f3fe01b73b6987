"""Key-object recall: does the response name a key object of the picture."""

import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from headimpact.evaluation.metrics.metric import Parts, PartSums, TokenizedPredictions, mean_of_parts
from headimpact.evaluation.results import Prediction

_IRREGULAR = {
    "child": "children",
    "foot": "feet",
    "goose": "geese",
    "knife": "knives",
    "leaf": "leaves",
    "man": "men",
    "mouse": "mice",
    "person": "people",
    "sheep": "sheep",
    "shelf": "shelves",
    "tooth": "teeth",
    "wolf": "wolves",
    "woman": "women",
}


@dataclasses.dataclass(frozen=True)
class KeyObjectRecall:
    """Share of pictures whose response names a key object, of those with known names. Higher is better.

    A name counts as a whole word (or words), in any case, also in the plural.

    Source: our own, in the manner of CHAIR's object matching (Rohrbach et al. 1809.02156, section 2.1).
    """

    name: str = "key_object_recall"
    higher_is_better: bool = True
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def missing(self, predictions: Sequence[Prediction]) -> str | None:
        """Need at least one picture with names."""
        return None if any(prediction.names for prediction in predictions) else "no picture has names of key objects"

    def parts(self, tokenized: TokenizedPredictions) -> Parts:
        """Give (named, has names) of each picture."""
        rows = [(names_key_object(p.prediction, p.names), bool(p.names)) for p in tokenized.predictions]
        return np.array(rows, dtype=np.float64).reshape(-1, 2)

    def reduce(self, sums: PartSums) -> Float[np.ndarray, " resamples"]:
        """Give the share named, of the pictures with names."""
        return mean_of_parts(sums)


METRIC = KeyObjectRecall()


def names_key_object(text: str, names: Iterable[str]) -> bool:
    """Say whether a text names an object.

    Args:
        text: A response.
        names: Words for the object, singular or plural; blanks in a name match blanks or a hyphen.

    Returns:
        True where any name or its plural stands in the text as whole words.

    Example:
        >>> names_key_object("Two hot-dogs on buses.", ["bus"]), names_key_object("a business", ["bus"])
        (True, False)
    """
    return any(_pattern(form).search(text.casefold()) for name in names for form in _forms(name))


def _forms(name: str) -> tuple[str, ...]:
    """Give a name and its plurals; the last word is the one that changes."""
    words = re.split(r"[\s-]+", name.casefold().strip())
    if not words[-1]:
        return ()
    head, last = words[:-1], words[-1]
    plurals = [last, last + "s"]
    if re.search(r"(s|x|z|ch|sh|o)$", last):
        plurals.append(last + "es")
    if re.search(r"[^aeiou]y$", last):
        plurals.append(last[:-1] + "ies")
    for singular, plural in _IRREGULAR.items():
        if last == singular or (singular in {"man", "woman"} and last.endswith(singular)):
            plurals.append(last.removesuffix(singular) + plural)
    return tuple(" ".join([*head, form]) for form in plurals)


def _pattern(form: str) -> re.Pattern[str]:
    """Match whole words, with any blanks or a hyphen between them."""
    return re.compile(r"(?<!\w)" + r"[\s-]+".join(re.escape(word) for word in form.split()) + r"(?!\w)")
