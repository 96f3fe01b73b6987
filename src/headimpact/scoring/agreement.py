"""Agreement of a run's scores: do they rank the heads alike, and are the same layers on top?

In come each score's per-picture values; out goes a matrix with intervals, which `agreement.json` keeps beside the
scores, for the pictures are not in `head_scores.*`.
"""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from headimpact.core.artifacts import read_json, write_json
from headimpact.core.errors import DataFormatError
from headimpact.core.shapes import ImageHeadValues
from headimpact.scoring.aggregation import aggregate_layers, nan_mean
from headimpact.scoring.gaps import interval, resampled_gaps
from headimpact.scoring.rank_agreement import midranks, top_overlap

SCHEMA = "agreement/1"
AGREEMENT_FILE = "agreement.json"
"""Name of the file in a run folder."""

DEPTH = "depth"
"""Stands for the layer number among the scores: what agrees with it may know no more than how deep a head is."""

DRAWS_AT_ONCE = 50
"""Resamples that are ranked in one go."""

Matrix = Float[np.ndarray, "scores scores"]


@dataclasses.dataclass(frozen=True, eq=False)
class ScoreAgreement:
    """How far some scores agree, the layer number among them.

    Attributes:
        names: The scores, the run's own first, `DEPTH` last.
        correlation: Spearman's rank correlation over heads, in [-1, 1]; NaN where a score is the same for all heads.
        low: Lower end of its 95 % interval, a bootstrap over pictures; NaN with a single picture.
        high: Upper end.
        overlap: Share of the `k` best layers that two scores have in common; of unrelated ones it is k / layers.
        k: How many layers.
        num_heads: Heads that every score has a value for; the others are left out.
        num_layers: Layers that every score has a value for.
        images: Pictures.
        resamples: Bootstrap resamples.
    """

    names: tuple[str, ...]
    correlation: Matrix
    low: Matrix
    high: Matrix
    overlap: Matrix
    k: int
    num_heads: int
    num_layers: int
    images: int
    resamples: int

    def to_json(self) -> dict[str, Any]:
        """Give JSON-serialisable values, NaN as None."""
        content = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        plain = {name: _rows(value) if isinstance(value, np.ndarray) else value for name, value in content.items()}
        return {**plain, "names": list(self.names)}

    def write(self, folder: Path) -> None:
        """Write `agreement.json`.

        Args:
            folder: The run's folder.

        Raises:
            RunFailedError: If the file system refuses.
        """
        write_json(folder / AGREEMENT_FILE, self.to_json(), schema=SCHEMA)

    @classmethod
    def read(cls, folder: Path) -> "ScoreAgreement":
        """Read `agreement.json`.

        Args:
            folder: The run's folder.

        Returns:
            What `write` wrote.

        Raises:
            DataFormatError: If the file is missing or broken.
        """
        content = read_json(folder / AGREEMENT_FILE, schema=SCHEMA)
        try:
            fields = {field.name: content[field.name] for field in dataclasses.fields(cls)}
            names = tuple(fields["names"])
            matrices = {name: _matrix(fields[name], len(names)) for name in ("correlation", "low", "high", "overlap")}
        except (KeyError, TypeError, ValueError) as error:
            raise DataFormatError(
                f"Broken file {folder / AGREEMENT_FILE}: {error!r}. Expected a {SCHEMA} file; score the model again."
            ) from error
        return cls(**{**fields, **matrices, "names": names})


def score_agreement(
    own: Mapping[str, ImageHeadValues],
    *,
    k: int,
    layer_aggregation: str = "mean",
    resamples: int = 1000,
    seed: int = 0,
) -> ScoreAgreement:
    """Compare the rankings of heads, and the best layers, that several scores of the same pictures give.

    A resample draws pictures with replacement, the same for all scores, averages and ranks anew. Its interval says
    what other pictures would have shown of these very heads; noise makes rankings agree less, so it tends to lie below
    the value where pictures are few.

    Args:
        own: Each score of each picture and head against the picture's own mask; NaN for heads without a score.
        k: Layers that are compared, at least 1.
        layer_aggregation: Heads to layer, as in `aggregate_layers`.
        resamples: Bootstrap resamples.
        seed: Seed of the resamples.

    Returns:
        The agreement, over heads that all scores with any value have one for; a score without any has NaN.

    Source: Spearman 1904; percentile interval over pictures, Efron & Tibshirani 1993, 13.3.
    """
    names = (*own, DEPTH)
    images, layers, heads = next(iter(own.values())).shape
    depth = np.repeat(np.arange(layers, dtype=np.float64), heads)
    means = np.stack([*(nan_mean(values).ravel() for values in own.values()), depth])
    empty = np.isnan(means).all(axis=1)
    known = ~np.isnan(means[~empty]).any(axis=0)
    by_layer = aggregate_layers(
        np.where(known, means, np.nan).reshape(len(names), layers, heads), rule=layer_aggregation
    )
    scored = known.reshape(layers, heads).any(axis=1)
    low = high = np.full((len(names), len(names)), np.nan)
    if images > 1 and known.any():
        means_drawn = [resampled_gaps(one.reshape(images, -1), resamples=resamples, seed=seed) for one in own.values()]
        drawn = np.stack([*means_drawn, np.broadcast_to(depth, means_drawn[0].shape)], axis=1)[..., known]
        parts = [drawn[start : start + DRAWS_AT_ONCE] for start in range(0, resamples, DRAWS_AT_ONCE)]
        low, high = interval(np.concatenate([_correlations(part) for part in parts]))
    return ScoreAgreement(
        names=names,
        correlation=_correlations(means[:, known]),
        low=low,
        high=high,
        overlap=_overlaps(by_layer[:, scored], k=min(k, int(scored.sum()))),
        k=min(k, int(scored.sum())),
        num_heads=int(known.sum()),
        num_layers=int(scored.sum()),
        images=images,
        resamples=resamples,
    )


def _correlations(
    values: Float[np.ndarray, "*draws scores units"],
) -> Float[np.ndarray, "*draws scores scores"]:
    """Correlate the rankings of every two scores; NaN where one is constant or has a gap."""
    usable = ~np.isnan(values).any(axis=-1, keepdims=True)
    moved = midranks(np.where(usable, values, 0.0)) - (values.shape[-1] + 1) / 2
    sizes = np.sqrt((moved**2).sum(axis=-1, keepdims=True))
    scaled = moved / np.where(sizes > 0, sizes, np.nan)
    matrices: np.ndarray = np.clip(scaled @ scaled.swapaxes(-1, -2), -1.0, 1.0)
    return matrices


def _overlaps(layers: Float[np.ndarray, "scores layers"], *, k: int) -> Matrix:
    """Give the share of the k best layers that every two scores have in common; NaN where one ranks no layers."""
    flat = np.array([len(np.unique(row[~np.isnan(row)])) < 2 for row in layers])
    if not k:
        return np.full((len(layers), len(layers)), np.nan)
    shared = np.array([[top_overlap(one, other, k=k) for other in layers] for one in layers])
    return np.where(flat[:, None] | flat[None, :], np.nan, shared)


def _rows(matrix: Matrix) -> list[list[float | None]]:
    """Write a matrix as JSON values, NaN as null."""
    return [[None if math.isnan(value) else value for value in row] for row in matrix.tolist()]


def _matrix(rows: Any, size: int) -> Matrix:
    """Read a matrix back.

    Raises:
        ValueError: If it has another shape.
    """
    matrix = np.array([[math.nan if value is None else value for value in row] for row in rows], dtype=np.float64)
    if matrix.shape != (size, size):
        raise ValueError(f"a matrix has shape {matrix.shape}, expected {(size, size)}")
    return matrix
