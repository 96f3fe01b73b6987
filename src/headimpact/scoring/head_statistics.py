"""Per-picture scores in, HeadScores out: means, chance level, gap, z, p and q, per head and per layer."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from headimpact.core.architecture import ArchitectureSummary
from headimpact.core.errors import DataFormatError
from headimpact.core.provenance import hash_texts
from headimpact.scoring.aggregation import aggregate_layers, blind_heads, check_layer_rule, nan_mean
from headimpact.scoring.chance import NullTally, default_draws, false_discovery_rates, observed_means, tally_null
from headimpact.scoring.gaps import PictureGaps, interval, picture_gaps, resampled_gaps
from headimpact.scoring.head_scores import STATISTICS, HeadScores
from headimpact.scoring.held_out import best_heads_held_out
from headimpact.scoring.sample_scores import SampleScores
from headimpact.scoring.swap_tables import build_swap_tables


@dataclasses.dataclass(frozen=True, eq=False)
class _Columns:
    """How the columns of a swap table map to layers, heads and baselines."""

    shape: tuple[int, int]
    blind: Bool[np.ndarray, "layers heads"]
    rule: str

    @property
    def heads(self) -> int:
        """Count the columns that are heads."""
        return self.shape[0] * self.shape[1]

    def by_head(self, values: Float[np.ndarray, "*many columns"]) -> Float[np.ndarray, "*many layers heads"]:
        """Give the heads' columns by layer and head, NaN for blind ones."""
        split = values[..., : self.heads].reshape(*values.shape[:-1], *self.shape)
        return np.where(self.blind, np.nan, split)

    def by_layer(self, values: Float[np.ndarray, "*many columns"]) -> Float[np.ndarray, "*many layers"]:
        """Put the heads of each layer together."""
        return aggregate_layers(self.by_head(values), rule=self.rule)

    def with_layers(self, values: Float[np.ndarray, "draws columns"]) -> Float[np.ndarray, "draws statistics"]:
        """Append the layers to the columns."""
        return np.concatenate([values, self.by_layer(values)], axis=-1)


def build_head_scores(
    samples: SampleScores,
    architecture: ArchitectureSummary,
    *,
    layer_aggregation: str = "mean",
    draws: int | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> HeadScores:
    """Reduce per-picture scores to heads and layers, each beside its chance level.

    A pure function of the shards and these options, the same bits for any order of the pictures. Layers are
    put together within each null draw, so that "the best head of a layer" is held against the best heads of
    layers under chance. Maps that need no model go through the same steps.

    Args:
        samples: Scores of all pictures.
        architecture: The model's language part.
        layer_aggregation: Heads to layer: `mean`, `max` or `top-M`.
        draws: Null draws; `default_draws` if left out.
        bootstrap: Resamples of pictures behind the intervals.
        seed: Seed of draws, resamples and halves.
        options: How the per-picture scores came about, to be written beside the numbers; `score` says what they
            are called, `head_impact` if left out.
        provenance: Where they come from, likewise.

    Returns:
        Scores without an untrained twin; put it in with `dataclasses.replace(scores, baseline=...)`.

    Raises:
        DataFormatError: If no picture was scored, the scores do not fit the architecture, or donors do not
            fit together.
        OptionError: If the rule for layers or the number of draws is out of range.

    Source: chance level of the scores page (`docs/method.md`); `chance.py`, `gaps.py`.
    """
    shape = (architecture.num_layers, architecture.num_heads)
    score = str((options or {}).get("score", "head_impact"))
    check_layer_rule(layer_aggregation, heads=shape[1])
    _check_samples(samples, shape)
    columns = _Columns(shape=shape, blind=blind_heads(samples.sees_image), rule=layer_aggregation)
    draws = default_draws(*shape) if draws is None else draws
    tables = build_swap_tables(samples)
    gaps = picture_gaps(tables)
    tally = tally_null(tables, draws=draws, seed=seed, statistic=columns.with_layers)
    observed = observed_means(tables)
    spread = resampled_gaps(gaps.gap, resamples=bootstrap, seed=seed)
    flat = _column_statistics(score, observed, gaps, tally, spread)
    baselines = _baseline_statistics(samples, columns, flat)
    return HeadScores(
        score=score,
        values=_with_rates(score, {name: columns.by_head(values) for name, values in flat.items()}),
        layer_values=_with_rates(score, _layer_statistics(score, columns, flat, tally, spread)),
        counts={
            **_count_pictures(samples),
            "blind_heads": int(columns.blind.sum()),
            "largest_group": max(len(table.image_ids) for table in tables),
        },
        architecture=architecture,
        options={
            **(options or {}),
            "layer_aggregation": layer_aggregation,
            "draws": draws,
            "bootstrap": bootstrap,
            "seed": seed,
        },
        provenance=provenance or {},
        warnings=_warnings(samples, gaps, columns),
        baselines={name: values[score] for name, values in baselines.items()},
        baseline_statistics=baselines,
        held_out=best_heads_held_out(
            _seeing(gaps, columns), score=score, num_heads=shape[1], resamples=bootstrap, seed=seed
        ),
        image_hashes=tuple(sorted(hash_texts([image_id]) for image_id in samples.image_ids)),
    )


def _count_pictures(samples: SampleScores) -> dict[str, Any]:
    """Count the pictures that were used, those in which some head has a score, and those left out, by reason."""
    return {
        "used": len(samples.image_ids),
        "with_score": int((~np.isnan(samples.own)).any(axis=(1, 2)).sum()),
        "skipped": dict(sorted(Counter(samples.skipped.values()).items())),
    }


def _baseline_statistics(
    samples: SampleScores, columns: _Columns, flat: Mapping[str, Float[np.ndarray, " columns"]]
) -> dict[str, dict[str, float]]:
    """Give score and statistics of every map that needs no model; their columns stand behind the heads'."""
    return {
        name: {statistic: float(values[column]) for statistic, values in flat.items()}
        for column, name in enumerate(samples.baseline_names, start=columns.heads)
    }


def _check_samples(samples: SampleScores, shape: tuple[int, int]) -> None:
    """Refuse no pictures at all, or another model's.

    Raises:
        DataFormatError: If there is none, or layers or heads differ.
    """
    if not samples.image_ids:
        reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(samples.skipped.values()).items())
        raise DataFormatError(
            f"No sample left to score: {reasons or 'none was given'}. Expected at least one picture whose key object "
            "is seen and does not fill it; check the masks with headimpact dataset validate."
        )
    if samples.own.shape[1:] != shape:
        raise DataFormatError(
            f"Scores do not fit the model: they have {samples.own.shape[1]} layers of {samples.own.shape[2]} heads, "
            f"expected {shape[0]} of {shape[1]}. Pass the shards and the architecture of one model."
        )


def _column_statistics(
    score: str,
    observed: Float[np.ndarray, " columns"],
    gaps: PictureGaps,
    tally: NullTally,
    spread: Float[np.ndarray, "resamples columns"],
) -> dict[str, Float[np.ndarray, " columns"]]:
    """Give score, chance level, gap with interval, z and p of every column."""
    low, high = interval(spread)
    count = len(observed)
    return {
        score: observed,
        "null_mean": nan_mean(gaps.chance),
        "gap": nan_mean(gaps.gap),
        "gap_low": low,
        "gap_high": high,
        "z": tally.z_values()[:count],
        "p": tally.p_values()[:count],
    }


def _layer_statistics(
    score: str,
    columns: _Columns,
    flat: Mapping[str, Float[np.ndarray, " columns"]],
    tally: NullTally,
    spread: Float[np.ndarray, "resamples columns"],
) -> dict[str, Float[np.ndarray, " layers"]]:
    """Give the same of every layer; its chance level is that of the heads put together in the same way."""
    first = len(flat[score])
    observed = columns.by_layer(flat[score])
    if columns.rule == "mean":
        chance, gap, moved = (columns.by_layer(values) for values in (flat["null_mean"], flat["gap"], spread))
    else:
        chance = tally.mean()[first:]
        gap, moved = observed - chance, columns.by_layer(flat[score] + spread - flat["gap"]) - chance
    low, high = interval(moved)
    return {
        score: observed,
        "null_mean": chance,
        "gap": gap,
        "gap_low": low,
        "gap_high": high,
        "z": tally.z_values()[first:],
        "p": tally.p_values()[first:],
    }


def _with_rates(score: str, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Add q over all tests of one kind and go to single precision."""
    complete = {**values, "q": false_discovery_rates(values["p"])}
    return {name: complete[name].astype(np.float32) for name in (score, *STATISTICS)}


def _seeing(gaps: PictureGaps, columns: _Columns) -> PictureGaps:
    """Keep the heads alone, with blind ones taken out, so that none of them can be the best."""

    def heads(values: Float[np.ndarray, "images columns"]) -> Float[np.ndarray, "images heads"]:
        return columns.by_head(values).reshape(len(gaps.image_ids), columns.heads)

    return PictureGaps(gaps.image_ids, own=heads(gaps.own), chance=heads(gaps.chance), gap=heads(gaps.gap))


def _warnings(samples: SampleScores, gaps: PictureGaps, columns: _Columns) -> tuple[str, ...]:
    """Say what the numbers cannot carry."""
    found = []
    used = len(samples.image_ids)
    heads = slice(columns.heads)
    lonely = int((np.isnan(gaps.chance[:, heads]) & ~np.isnan(gaps.own[:, heads])).any(axis=1).sum())
    if 0 < lonely < used:
        found.append(
            f"{lonely} of {used} pictures have no other picture whose mask they can be held against: they count in the "
            "score, not in chance level and gap."
        )
    if used < 8:
        scored = "1 picture was" if used == 1 else f"{used} pictures were"
        found.append(f"Only {scored} scored: p cannot become small and intervals are rough; score more pictures.")
    blind = int(columns.blind.sum())
    if blind:
        found.append(
            f"{blind} of {columns.heads} heads see no image token in over 10 % of the samples and have no score."
        )
    return tuple(found)
