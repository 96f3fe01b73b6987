"""VQA accuracy: how many of the people asked gave the model's answer, after the usual normalisation."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from headimpact.evaluation.metrics.metric import Parts, PartSums, TokenizedPredictions, as_mean_parts, mean_of_parts
from headimpact.evaluation.results import Prediction

AGREEING = 3
"""People who must have given an answer for it to be fully right."""

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_PERIOD = re.compile(r"\.(?!\d)")
_THOUSANDS = re.compile(r"\d,\d")
_ARTICLES = frozenset(("a", "an", "the"))
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS: Mapping[str, str] = MappingProxyType({"none": "0"} | {word: str(n) for n, word in enumerate(_NUMBERS)})
_APOSTROPHES = (
    "ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd "
    "he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've "
    "needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd "
    "somebody'd've somebody'll somebody's someone'd someone'd've someone'll someone's something'd something'd've "
    "something'll that's there'd there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't "
    "we'd've we've weren't what'll what're what's what've when's where'd where's where've who'd who'd've who'll "
    "who's who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've "
    "you'll you're you've"
)
_CONTRACTIONS: Mapping[str, str] = MappingProxyType(
    {
        word[:place] + word[place + 1 :]: word
        for word in _APOSTROPHES.split()
        for place, character in enumerate(word)
        if character == "'"
    }
)
"""Contractions with one apostrophe left out to the same with all of them."""


@dataclasses.dataclass(frozen=True)
class VqaAccuracy:
    """Mean agreement of the answers with those of several people. Higher is better.

    Of ten people's answers each is left out in turn, and the response counts min(matching ones / 3, 1) against the
    nine others; the mean of the ten is its accuracy. The same with any number of answers from four on; up to three
    are taken for one right answer in several wordings, any of which counts in full.

    All texts are normalised by `normalise_answer`. The evaluation code leaves them as they are where all people agree,
    so there "Yes." misses "yes"; here it does not.

    Source: Antol et al. 1505.00468, section 3; Goyal et al. 1612.00837; vqaEval.py of the VQA evaluation code.
    """

    name: str = "vqa_accuracy"
    title: str = "VQA accuracy"
    higher_is_better: bool = True
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def missing(self, predictions: Sequence[Prediction]) -> str | None:
        """Need questions."""
        return None if any(one.question_id is not None for one in predictions) else "no response answers a question"

    def parts(self, tokenized: TokenizedPredictions) -> Parts:
        """Give (accuracy, 1) of each answer."""
        return as_mean_parts([answer_accuracy(one.prediction, one.references) for one in tokenized.predictions])

    def reduce(self, sums: PartSums) -> Float[np.ndarray, " resamples"]:
        """Give the mean."""
        return mean_of_parts(sums)


METRIC = VqaAccuracy()


def answer_accuracy(response: str, answers: Sequence[str]) -> float:
    """Give one response's accuracy against the answers of people.

    Args:
        response: What the model said.
        answers: One per person, at least one.

    Returns:
        Agreement in [0, 1].

    Example:
        >>> answer_accuracy("2", ["two"] * 3 + ["3"] * 7), answer_accuracy("a red one", ["red one", "crimson"])
        (0.9, 1.0)
    """
    said = normalise_answer(response)
    matching = [normalise_answer(answer) == said for answer in answers]
    if len(answers) <= AGREEING:
        return float(any(matching))
    return sum(min((sum(matching) - match) / AGREEING, 1.0) for match in matching) / len(answers)


def normalise_answer(text: str) -> str:
    """Fold case, drop punctuation and articles, write numbers as digits, mend contractions.

    A mark is dropped where the text has a blank beside such a mark or a comma between digits ("yes , it is", "1,000"),
    elsewhere it becomes a blank ("red-green"); a full stop goes unless a digit follows it.

    Example:
        >>> [normalise_answer(text) for text in ("Two dogs.", "The red-green car", "1,000", "dont know", "3.5 m.")]
        ['2 dogs', 'red green car', '1000', "don't know", '3.5 m']

    Source: vqaEval.py of the VQA evaluation code, `processPunctuation` and `processDigitArticle`.
    """
    flat = text.replace("\n", " ").replace("\t", " ").strip()
    bare = flat
    for mark in _PUNCTUATION:
        is_loose = f"{mark} " in flat or f" {mark}" in flat or _THOUSANDS.search(flat)
        bare = bare.replace(mark, "" if is_loose else " ")
    words = [_DIGITS.get(word, word) for word in _PERIOD.sub("", bare).lower().split()]
    return " ".join(_CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)
