"""METEOR from pycocoevalcap's jar, as counts, so that any reweighting of the pictures has its exact corpus METEOR."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from headimpact.core.errors import RunFailedError
from headimpact.evaluation.java import NO_JAVA, find_java, package_folder, run_java
from headimpact.evaluation.metrics.metric import Parts, PartSums, TokenizedPredictions
from headimpact.evaluation.results import Prediction

ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
STAGE_WEIGHTS = np.array([1.0, 0.6, 0.8, 0.6])
"""Weights of exact, stem, synonym and paraphrase matches; all of these are METEOR 1.5's for English."""

_COUNTS = 23
_BAR = "|||"


@dataclasses.dataclass(frozen=True)
class Meteor:
    """Corpus METEOR 1.5 for English: weighted matches of words, stems, synonyms and paraphrases. Higher is better.

    Parts of a response, against its best reference: words, then function words, of both; for each of the four
    kinds of match the content and function words matched on both sides; chunks; matched words of both. Precision and
    recall weigh content words by delta, their mean leans to recall, and a penalty grows with the number of chunks; a
    response that is its reference word for word has none. Words are matched by the jar, counts put together here.

    Source: Denkowski & Lavie 2014, "Meteor Universal"; meteor-1.5.jar of pycocoevalcap 1.2 with its flags
        (`-l en -norm`), whose last line for a corpus this equals.
    """

    name: str = "meteor"
    title: str = "METEOR"
    higher_is_better: bool = True
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def missing(self, predictions: Sequence[Prediction]) -> str | None:  # noqa: ARG002
        """Need Java and the jar."""
        if find_java() is None:
            return NO_JAVA
        return None if _jar().is_file() else f"its jar was not found: expected {_jar()}; install pycocoevalcap again"

    def parts(self, tokenized: TokenizedPredictions) -> Parts:
        """Let the jar count each response's matches.

        Raises:
            RunFailedError: If Java fails, or gives something else than one line of counts per response.
        """
        pairs = zip(tokenized.candidates, tokenized.references, strict=True)
        lines = [_line(candidate, references) for candidate, references in pairs]
        arguments = ["-Xmx2G", "-jar", _jar().name, "-", "-", "-stdio", "-l", "en", "-norm"]
        answer = run_java(arguments, needed_by="METEOR", text="".join(lines), folder=_jar().parent)
        rows = [[float(count) for count in line.split()] for line in answer.splitlines()]
        if len(rows) != len(lines) or {len(row) for row in rows} - {_COUNTS}:
            raise RunFailedError(
                f"METEOR gave {len(rows)} lines for {len(lines)} responses; expected one of {_COUNTS} counts for each. "
                "Install pycocoevalcap again, or leave METEOR out."
            )
        counts = np.array(rows, dtype=np.float64).reshape(-1, _COUNTS)
        is_reference = (counts[:, 20] == 1) & (counts[:, 21:23] == counts[:, 0:2]).all(axis=1)
        counts[is_reference, 20] = 0
        return counts

    def reduce(self, sums: PartSums) -> Float[np.ndarray, " resamples"]:
        """Give corpus METEOR from summed counts."""
        lengths, functions, matches = sums[:, 0:2], sums[:, 2:4], sums[:, 4:20].reshape(-1, 4, 4)
        content, function = matches[:, :, 0:2], matches[:, :, 2:4]
        matched = np.einsum("s,rsb->rb", STAGE_WEIGHTS, DELTA * content + (1 - DELTA) * function)
        possible = DELTA * (lengths - functions) + (1 - DELTA) * functions
        precision, recall = _share(matched[:, 0], possible[:, 0]), _share(matched[:, 1], possible[:, 1])
        mean = _share(precision * recall, ALPHA * precision + (1 - ALPHA) * recall)
        chunks, words = sums[:, 20], sums[:, 21:23]
        fragmentation = _share(chunks, words.mean(axis=1))
        values: Float[np.ndarray, " resamples"] = mean * (1 - GAMMA * fragmentation**BETA)
        return values


METRIC = Meteor()


def _line(candidate: str, references: Sequence[str]) -> str:
    """Write what the jar reads for one response, as pycocoevalcap does."""
    hypothesis = candidate.replace(_BAR, "").replace("  ", " ")
    return f" {_BAR} ".join(("SCORE", *(text.replace(_BAR, "") for text in references), hypothesis)) + "\n"


def _jar() -> Path:
    """Say where the jar should be."""
    return (package_folder("pycocoevalcap.meteor") or Path("pycocoevalcap/meteor")) / "meteor-1.5.jar"


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide; 0 where there is nothing to divide by."""
    shares = np.zeros_like(part)
    np.divide(part, whole, out=shares, where=whole > 0)
    return shares
