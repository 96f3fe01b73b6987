"""Several scores of a run as one: the mean of their ranks."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from headimpact.core.errors import OptionError
from headimpact.core.shapes import HeadValues
from headimpact.scoring.aggregation import aggregate_layers
from headimpact.scoring.head_scores import STATISTICS, HeadScores
from headimpact.scoring.rank_agreement import midranks

PLUS = "+"
"""Stands between the names of scores that are combined."""


def find_score(scores: HeadScores, name: str) -> HeadScores:
    """Give one of a run's scores, or several combined.

    Args:
        scores: The run.
        name: As in `SCORES`, or names with `+` between them.

    Returns:
        That score alone.

    Raises:
        UnknownNameError: If the run has no such score.
        OptionError: If a name is there twice.
    """
    names = [part.strip() for part in name.split(PLUS)]
    if len(names) == 1:
        return scores.named(name)
    if len(set(names)) < len(names):
        raise OptionError(f"A score is named twice: {name!r}; expected different ones. Name each once.")
    return combine_scores({part: scores.named(part) for part in names})


def combine_scores(parts: Mapping[str, HeadScores]) -> HeadScores:
    """Average the ranks that some scores give the heads.

    Every score ranks all heads of all layers, and a head's rank becomes the share of heads below it, equal ones half:
    (rank - 1/2) / heads. The combined value is the mean share, and layers are put together from it by the run's own
    rule. Ranks and not z-scores: scores have different units, some are far from normal (many zeros, few large values),
    and one extreme head would outweigh the others.

    Args:
        parts: Scores of one run, by name, at least one.

    Returns:
        Values in (0, 1), NaN for heads that some score has none for. There is no chance level of a mean of ranks, so
        what stands beside the values is NaN. Higher is better.

    Source: mean rank aggregation, Borda 1781; midranks for ties. As a way to combine head scores: ours.
    """
    first = next(iter(parts.values()))
    name = PLUS.join(parts)
    unknown = np.any([np.isnan(part.values[part.score]) for part in parts.values()], axis=0)
    shares = [_rank_shares(np.where(unknown, np.nan, part.values[part.score])) for part in parts.values()]
    values = np.mean(shares, axis=0)
    layers = aggregate_layers(values, rule=str(first.options.get("layer_aggregation", "mean")))
    return dataclasses.replace(
        first,
        score=name,
        values=_beside_nothing(name, values),
        layer_values=_beside_nothing(name, layers),
        options={**first.options, "score": name},
        baselines={},
        baseline_statistics={},
        held_out=(),
        baseline=None,
        others={},
    )


def _rank_shares(values: HeadValues) -> HeadValues:
    """Turn values into the share of heads below each, equal ones half."""
    known = ~np.isnan(values)
    shares = np.full(values.shape, np.nan)
    if known.any():
        shares[known] = (midranks(values[known].astype(np.float64)) - 0.5) / known.sum()
    return shares


def _beside_nothing(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """Give values without anything to hold them against."""
    empty = np.full(values.shape, np.nan, dtype=np.float32)
    return {name: values.astype(np.float32), **dict.fromkeys(STATISTICS, empty)}
