"""How far head scores agree with what silencing heads does to the loss."""

import itertools
from collections.abc import Mapping

import numpy as np

from headimpact.comparison.knockout_table import ScoreAgreement
from headimpact.core.shapes import ImageHeadValues
from headimpact.scoring.aggregation import nan_mean
from headimpact.scoring.head_scores import HeadScores
from headimpact.scoring.rank_agreement import Repeats, correlate_ranks, top_overlap
from headimpact.selection.knockout_sets import KnockoutSets

GATE, KNOCKOUT = "gate_gradient", "knockout"
LAYER_PREFIX = "layer_"


def measures_by_picture(
    rises: np.ndarray, gates: ImageHeadValues, sets: KnockoutSets, scores: HeadScores
) -> dict[str, np.ndarray]:
    """Put every measure of heads and of layers side by side.

    Args:
        rises: Rise of the loss by picture and set.
        gates: Slope of the loss by every head's gate, no layers where left out.
        sets: Which sets were silenced.
        scores: The scores that chose.

    Returns:
        The score, `gate_gradient` and `knockout`, by head as `[layers, heads, pictures]` and, with the prefix `layer_`,
        by layer as `[layers, pictures]`; those that were measured, in float64. The score, whose pictures are others,
        has a single column. A layer's gate gradient is the mean over its heads, its knockout that of the whole layer.
        NaN for heads and layers without a score.
    """
    name = scores.score
    heads, layers = (values[name].astype(np.float64)[..., None] for values in (scores.values, scores.layer_values))
    found = {name: heads, f"{LAYER_PREFIX}{name}": layers}
    if gates.shape[1]:
        squares = np.square(np.moveaxis(gates.astype(np.float64), 0, -1))
        found[GATE] = np.where(np.isnan(heads), np.nan, squares)
        found[f"{LAYER_PREFIX}{GATE}"] = np.where(np.isnan(layers), np.nan, nan_mean(np.moveaxis(found[GATE], 1, 0)))
    if sets.each != "none":
        prefix, shape = ("", heads.shape[:2]) if sets.each == "head" else (LAYER_PREFIX, layers.shape[:1])
        values = np.full((*shape, len(rises)), np.nan)
        for column in sets.each_columns:
            values[sets.sets[column][0][: len(shape)]] = rises[:, column]
        found[f"{prefix}{KNOCKOUT}"] = values
    return found


def agree(
    measures: Mapping[str, np.ndarray], sets: KnockoutSets, score: str, *, resamples: int, seed: int
) -> tuple[ScoreAgreement, ...]:
    """Correlate every pair of measures, over heads where there are values by head, and over layers.

    Args:
        measures: What `measures_by_picture` gave.
        sets: Gives the number of top places: heads and layers per choice.
        score: Name of the score that chose.
        resamples: Bootstrap resamples.
        seed: Seed of the resamples.

    Returns:
        One entry per pair and unit. The interval is over layers, drawn with all their heads, and over pictures.
    """
    found = []
    for unit, prefix, places in (("heads", "", sets.head_k), ("layers", LAYER_PREFIX, sets.k)):
        names = [name for name in dict.fromkeys((score, GATE, KNOCKOUT)) if f"{prefix}{name}" in measures]
        for first, second in itertools.combinations(names, 2):
            pair = [measures[f"{prefix}{name}"] for name in (first, second)]
            found.append(
                _agreement((unit, first, second), *_known(*pair), places=places, resamples=resamples, seed=seed)
            )
    return tuple(found)


def _agreement(
    names: tuple[str, str, str],
    first: Repeats,
    second: Repeats,
    depth: np.ndarray,
    *,
    places: int,
    resamples: int,
    seed: int,
) -> ScoreAgreement:
    """Compare two measures of the same heads or layers."""
    unit, one, other = names
    same = first.shape[1] == second.shape[1] > 1
    plain, given_depth = (
        correlate_ranks(first, second, given=given, clusters=depth, same_repeats=same, resamples=resamples, seed=seed)
        for given in (None, depth.astype(np.float64))
    )
    return ScoreAgreement(
        unit=unit,
        first=one,
        second=other,
        plain=plain,
        given_depth=given_depth,
        shared=round(top_overlap(first.mean(axis=1), second.mean(axis=1), k=places) * places),
        places=places,
        by_chance=places**2 / len(first),
    )


def _known(first: np.ndarray, second: np.ndarray) -> tuple[Repeats, Repeats, np.ndarray]:
    """Line up the heads or layers that have both measures, and the layer of each."""
    layers = np.arange(len(first)).reshape(-1, *[1] * (first.ndim - 2))
    depth = np.broadcast_to(layers, first.shape[:-1]).ravel()
    one, other = (values.reshape(-1, values.shape[-1]) for values in (first, second))
    known = ~(np.isnan(one).any(axis=1) | np.isnan(other).any(axis=1))
    return one[known], other[known], depth[known]
