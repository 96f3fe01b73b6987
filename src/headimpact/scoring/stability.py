"""How many pictures are enough: looks at a growing number of pictures drawn at random; read and written as a file.

The looks are fixed before any picture is scored, and each is allowed its part of the error, so that stopping at the
first look that is good enough keeps the promise.
"""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from headimpact.core.artifacts import read_json, write_json
from headimpact.core.errors import DataFormatError
from headimpact.scoring.aggregation import layer_shares
from headimpact.scoring.rank_agreement import spearman, top_overlap
from headimpact.scoring.regret import RegretBound, bound_regret, mean_errors
from headimpact.scoring.sample_scores import SampleScores

SCHEMA = "stability/1"
STABILITY_FILE = "stability.json"
FIRST_LOOK = 32
REGRET = 0.02
"""A choice is stable where its regret, relative to the best choice's mean score, is below this."""
CONFIDENCE = 0.95
"""Confidence of all looks together."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """What the first so many pictures say about the choice of layers.

    Attributes:
        pictures: Pictures drawn so far.
        scored: Those of them that said something.
        layers: The k layers of highest score, ascending.
        tied: Layers of which it is open on which side of the cut they belong.
        regret_bound: Most that the choice may lose, as a share of the best k layers' mean score.
        rank_correlation: Spearman's correlation with the layers' scores at the last look; None where it has none.
        overlap: Share of the k layers that the last look chooses as well.
    """

    pictures: int
    scored: int
    layers: tuple[int, ...]
    tied: tuple[int, ...]
    regret_bound: float
    rank_correlation: float | None
    overlap: float

    @property
    def is_stable(self) -> bool:
        """Whether the choice keeps the promise."""
        return self.regret_bound < REGRET


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stability:
    """All looks of a run.

    Attributes:
        score: Name of the score.
        k: Layers that are chosen.
        pictures: Pictures at hand.
        planned: Numbers of pictures to look at, ascending; the last is all of them.
        until_stable: Whether the run stopped at the first look that was stable.
        looks: Those that were made; a look at which fewer than two pictures or no more than k layers had a score is
            left out.
    """

    score: str
    k: int
    pictures: int
    planned: tuple[int, ...]
    until_stable: bool
    looks: tuple[Look, ...]

    @property
    def stable_at(self) -> int | None:
        """Number of pictures at the first look that was stable."""
        return next((look.pictures for look in self.looks if look.is_stable), None)

    def write(self, folder: Path) -> None:
        """Write `stability.json`.

        Args:
            folder: Run folder.

        Raises:
            RunFailedError: If the file system refuses.
        """
        content = {
            **dataclasses.asdict(self),
            "regret": REGRET,
            "confidence": CONFIDENCE,
            "stable_at": self.stable_at,
        }
        write_json(folder / STABILITY_FILE, content, schema=SCHEMA)

    @classmethod
    def read(cls, folder: Path) -> "Stability":
        """Read `stability.json` of a run folder.

        Args:
            folder: Run folder.

        Returns:
            The looks.

        Raises:
            DataFormatError: If the file is missing or broken.
        """
        content = read_json(folder / STABILITY_FILE, schema=SCHEMA)
        try:
            looks = tuple(
                Look(**{**look, "layers": tuple(look["layers"]), "tied": tuple(look["tied"])})
                for look in content["looks"]
            )
            return cls(
                score=content["score"],
                k=content["k"],
                pictures=content["pictures"],
                planned=tuple(content["planned"]),
                until_stable=content["until_stable"],
                looks=looks,
            )
        except (KeyError, TypeError) as error:
            raise DataFormatError(
                f"Broken file {folder / STABILITY_FILE}: {error!r}. Expected a {SCHEMA} file; score the model again."
            ) from error


def plan_looks(pictures: int) -> tuple[int, ...]:
    """Fix the looks before anything is seen: 32 pictures, twice as many each time, and all.

    Args:
        pictures: Pictures at hand, at least 1.

    Returns:
        Numbers of pictures, ascending.

    Example:
        >>> plan_looks(300), plan_looks(20)
        ((32, 64, 128, 256, 300), (20,))
    """
    doubled = (FIRST_LOOK * 2**step for step in range(pictures.bit_length()))
    return (*(look for look in doubled if look < pictures), pictures)


def judge_looks(
    samples: SampleScores, drawn: Sequence[str], *, planned: Sequence[int], k: int, seed: int = 0
) -> tuple[Look, ...]:
    """Look at the first pictures, again and again, as far as they have been scored.

    A pure function of the shards; looks that were made before come out the same when more pictures are there.

    Args:
        samples: Scores of all pictures so far.
        drawn: Ids of the pictures so far in the order they were drawn, those that said nothing among them.
        planned: Numbers of pictures to look at; those beyond the pictures so far are still to come.
        k: Layers to choose.
        seed: Seed of the draws behind the bounds.

    Returns:
        The looks; rankings are held against the last of them.

    Source: Bonferroni correction for the planned looks; `regret.py` for the bound.
    """
    place = {image_id: row for row, image_id in enumerate(samples.image_ids)}
    found: list[tuple[int, int, np.ndarray, RegretBound]] = []
    for pictures in planned:
        rows = [place[image_id] for image_id in drawn[:pictures] if image_id in place]
        values = layer_shares(samples.own[rows], samples.sees_image[rows]) if rows else np.zeros((0, 0))
        if pictures <= len(drawn) and len(rows) > 1 and (~np.isnan(values[0])).sum() > k:
            error_rate = (1 - CONFIDENCE) / len(planned)
            found.append((pictures, len(rows), values.mean(axis=0), _bound(values, k, error_rate, seed)))
    return tuple(
        Look(
            pictures=pictures,
            scored=scored,
            layers=bound.chosen,
            tied=bound.tied,
            regret_bound=bound.bound,
            rank_correlation=_or_none(spearman(means, found[-1][2])),
            overlap=top_overlap(means, found[-1][2], k=k),
        )
        for pictures, scored, means, bound in found
    )


def _bound(values: Float[np.ndarray, "images layers"], k: int, error_rate: float, seed: int) -> RegretBound:
    """Bound the regret of a choice among the layers that have a score."""
    layers = np.flatnonzero(~np.isnan(values[0]))
    bound = bound_regret(mean_errors(values[:, layers], error_rate=error_rate, seed=seed), k=k)
    return dataclasses.replace(
        bound,
        chosen=tuple(int(layers[column]) for column in bound.chosen),
        tied=tuple(int(layers[column]) for column in bound.tied),
    )


def _or_none(value: float) -> float | None:
    """Give None for NaN, which JSON cannot hold."""
    return None if math.isnan(value) else value
