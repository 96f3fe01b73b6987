"""SPICE, where Java and the parser's files are there; nothing is ever downloaded for it."""

import dataclasses
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from headimpact.core.errors import RunFailedError
from headimpact.evaluation.java import NO_JAVA, find_java, package_folder, run_java
from headimpact.evaluation.metrics.metric import Parts, PartSums, TokenizedPredictions, as_mean_parts, mean_of_parts
from headimpact.evaluation.results import Prediction

PARSER_FILES = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
"""Files of Stanford CoreNLP (stanford-corenlp-full-2015-12-09.zip) that pycocoevalcap leaves to be downloaded."""


@dataclasses.dataclass(frozen=True)
class Spice:
    """Mean over pictures of the F-score of objects, attributes and relations in the scene graph. Higher is better.

    Source: Anderson et al. 1607.08822; spice-1.0.jar of pycocoevalcap 1.2, run without its cache.
    """

    name: str = "spice"
    title: str = "SPICE"
    higher_is_better: bool = True
    range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def missing(self, predictions: Sequence[Prediction]) -> str | None:  # noqa: ARG002
        """Need Java and the parser's files, which are looked for and never fetched."""
        if find_java() is None:
            return NO_JAVA
        absent = [name for name in PARSER_FILES if not (_folder() / "lib" / name).is_file()]
        if not absent:
            return None
        return (
            f"files of Stanford CoreNLP were not found: expected {' and '.join(absent)} of "
            f"stanford-corenlp-full-2015-12-09.zip in {_folder() / 'lib'}; put them there"
        )

    def parts(self, tokenized: TokenizedPredictions) -> Parts:
        """Give (SPICE, 1) of each response.

        Raises:
            RunFailedError: If Java fails, or gives no score for a response.
        """
        pairs = zip(tokenized.candidates, tokenized.references, strict=True)
        asked = [{"image_id": n, "test": text, "refs": list(refs)} for n, (text, refs) in enumerate(pairs)]
        with tempfile.TemporaryDirectory(prefix="headimpact-spice-") as folder:
            source, target = Path(folder) / "in.json", Path(folder) / "out.json"
            source.write_text(json.dumps(asked), encoding="utf-8")
            arguments = ["-Xmx8G", "-jar", "spice-1.0.jar", str(source), "-out", str(target), "-silent"]
            run_java(arguments, needed_by="SPICE", folder=_folder())
            return as_mean_parts(_read_scores(target, count=len(asked)))

    def reduce(self, sums: PartSums) -> Float[np.ndarray, " resamples"]:
        """Give the mean."""
        return mean_of_parts(sums)


METRIC = Spice()


def _read_scores(path: Path, *, count: int) -> list[float]:
    """Read the F-score of every response, in their order.

    Raises:
        RunFailedError: If there is not one number for each.
    """
    try:
        found = {int(one["image_id"]): float(one["scores"]["All"]["f"]) for one in json.loads(path.read_text("utf-8"))}
        return [found[number] for number in range(count)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFailedError(
            f"SPICE gave no score for some of {count} responses: {error!r}. Check its Java and files, or leave it out."
        ) from error


def _folder() -> Path:
    """Say where SPICE should be."""
    return package_folder("pycocoevalcap.spice") or Path("pycocoevalcap/spice")
