"""Losses of pictures with heads silenced -> how much the chosen ones matter, and how far scores agree with that.

In: every picture's rise of the loss under every set. Out: `KnockoutTable`. The unit of "matters more" is a random
choice, as everywhere here: draws are resampled, then pictures, the same ones for all sets.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from headimpact.comparison.knockout_table import KnockoutRow, KnockoutTable
from headimpact.comparison.score_agreement import agree, measures_by_picture
from headimpact.comparison.statistics import (
    choose_runs,
    chosen_means,
    estimate,
    picture_weights,
    rank_p,
    split_variance,
)
from headimpact.comparison.verdict import Evidence, Question, Verdict, describe_pictures, judge
from headimpact.scoring.head_scores import HeadScores
from headimpact.selection.knockout_sets import UNITS, HeadSet, KnockoutArm, KnockoutSets
from headimpact.selection.strategies import DRAWN

TOP = "top-k"
MATTERS = Question(
    above="matter more",
    below="matter less",
    neither="no measurable difference",
    quantity="the rise of the loss without the look of {title}",
)


@dataclasses.dataclass(frozen=True, eq=False)
class KnockoutSamples:
    """What was measured picture by picture.

    Attributes:
        image_ids: The pictures.
        plain: Loss with all heads.
        rises: Rise of the loss by set.
        gates: Slope of the loss by every head's gate, `[images, layers, heads]`; no layers where left out.
        naming: Whether the answer names a key object: with all heads, then by set of `arm_columns`; no columns where no
            answers were written.
    """

    image_ids: tuple[str, ...]
    plain: Float[np.ndarray, " images"]
    rises: Float[np.ndarray, "images sets"]
    gates: Float[np.ndarray, "images layers heads"]
    naming: Float[np.ndarray, "images arms"]


def compare_knockouts(
    samples: KnockoutSamples,
    sets: KnockoutSets,
    scores: HeadScores,
    *,
    margin: float,
    resamples: int,
    seed: int,
    notes: Sequence[str] = (),
    options: Mapping[str, object] | None = None,
) -> KnockoutTable:
    """Compare what chosen heads and layers do to the loss with what others do.

    Args:
        samples: What was measured.
        sets: Which sets were silenced.
        scores: The scores that chose them.
        margin: Smallest difference that would matter, as a share of the rise where no head sees the picture.
        resamples: Bootstrap resamples.
        seed: Seed of the resamples.
        notes: What else a reader must know.
        options: How it was measured.

    Returns:
        The table. Where the loss does not rise when no head sees the picture, there is nothing to share out and all
        verdicts are left out.
    """
    table = _Resampled(samples, resamples=resamples, seed=seed)
    blind = estimate(float(samples.rises[:, 0].mean()), table.rises[0])
    rows = tuple(_row(arm, sets, table, samples) for arm in sets.arms)
    needs_picture = blind.low > 0
    verdicts = {}
    for unit in UNITS if needs_picture else ():
        for against in DRAWN:
            verdict = _judge(unit, against, sets, table, margin=margin * blind.value)
            if verdict is not None:
                verdicts[f"{unit} against {against}"] = verdict
    top = sets.arm("layers", TOP)
    chosen = sorted({layer_idx for column in top.columns for layer_idx, _ in sets.sets[column]}) if top else []
    measures = measures_by_picture(samples.rises, samples.gates, sets, scores)
    return KnockoutTable(
        score=scores.score,
        pictures=len(samples.image_ids),
        plain=estimate(float(samples.plain.mean()), table.plain),
        blind=blind,
        recall=estimate(float(samples.naming[:, 0].mean()), table.naming[0]) if len(table.naming) else None,
        rows=rows,
        verdicts=verdicts,
        agreements=agree(measures, sets, scores.score, resamples=resamples, seed=seed),
        chosen=tuple(chosen),
        notes=(
            *notes,
            *describe_pictures(len(samples.image_ids)),
            *sets.notes,
            *_limits(rows, needs_picture=needs_picture),
        ),
        options={**(options or {}), "margin": margin, "bootstrap": resamples, "seed": seed},
        values={name: array.mean(axis=-1).astype(np.float32) for name, array in measures.items()},
    )


NEEDS_NO_PICTURE = (
    "The loss does not rise for sure where no head sees the picture: these answers do not need it, so no head can "
    "matter through what it sees."
)


SURER_OF_OTHERS = (
    "The loss falls where random heads are silenced: the model is surer of other answers than of these references, and "
    "whatever makes it less sure helps. --response own asks about the answers that it gives itself."
)


def _limits(rows: Sequence[KnockoutRow], *, needs_picture: bool) -> list[str]:
    """Say what keeps the rises from meaning what they seem to."""
    falls = any(row.strategy == "random" and row.rise.high < 0 for row in rows)
    return [*([] if needs_picture else [NEEDS_NO_PICTURE]), *([SURER_OF_OTHERS] if falls else [])]


class _Resampled:
    """Means over the pictures of every resample."""

    def __init__(self, samples: KnockoutSamples, *, resamples: int, seed: int) -> None:
        """Resample the pictures once for everything."""
        self.generator = np.random.default_rng(seed)
        self.resamples = resamples
        self.count = len(samples.image_ids)
        weights = picture_weights(self.count, resamples=resamples, generator=self.generator) / self.count
        self.plain = weights @ samples.plain.astype(np.float64)
        self.observed = samples.rises.mean(axis=0, dtype=np.float64)
        self.rises = (weights @ samples.rises.astype(np.float64)).T
        self.naming = (weights @ samples.naming.astype(np.float64)).T

    def draws_of(self, values: Float[np.ndarray, "sets resamples"], columns: Sequence[int]) -> np.ndarray:
        """Average an arm's draws in every resample, the draws resampled too."""
        draws = [(column,) for column in columns]
        chosen = choose_runs(draws, resamples=self.resamples, generator=self.generator)
        means: np.ndarray = chosen_means(values, chosen).mean(axis=0)
        return means


def _row(arm: KnockoutArm, sets: KnockoutSets, table: _Resampled, samples: KnockoutSamples) -> KnockoutRow:
    """Describe one arm."""
    rises = table.observed[list(arm.columns)]
    fall = None
    if len(table.naming):
        places = [1 + sets.arm_columns().index(column) for column in arm.columns]
        falls = samples.naming[:, :1].mean(dtype=np.float64) - samples.naming[:, places].mean(axis=0, dtype=np.float64)
        fall = estimate(float(falls.mean()), table.draws_of(table.naming[0] - table.naming, places))
    return KnockoutRow(
        unit=arm.unit,
        strategy=arm.strategy,
        draws=len(arm.columns),
        rise=estimate(float(rises.mean()), table.draws_of(table.rises, arm.columns)),
        fall=fall,
        points=tuple(
            (float(table.observed[column]), _describe(sets.sets[column], unit=arm.unit)) for column in arm.columns
        ),
    )


def _describe(heads: HeadSet, *, unit: str) -> str:
    """Say what a set silences."""
    if unit == "layers":
        return f"layers {' '.join(map(str, sorted({layer_idx for layer_idx, _ in heads})))}"
    return f"heads {' '.join(f'{layer_idx}.{head_idx}' for layer_idx, head_idx in heads)}"


def _judge(unit: str, against: str, sets: KnockoutSets, table: _Resampled, *, margin: float) -> Verdict | None:
    """Judge the top choice against draws of one kind; None where either is missing."""
    top, other = sets.arm(unit, TOP), sets.arm(unit, against)
    if top is None or other is None:
        return None
    value, draws = float(table.observed[top.columns[0]]), table.observed[list(other.columns)]
    apart = table.rises[top.columns[0]] - table.draws_of(table.rises, other.columns)
    difference = estimate(value - float(draws.mean()), apart)
    by_pictures = estimate(
        difference.value, table.rises[top.columns[0]] - table.rises[list(other.columns)].mean(axis=0)
    )
    evidence = Evidence(
        measure=unit,
        arm=TOP,
        against=against,
        value=value,
        random_mean=float(draws.mean()),
        difference=difference,
        rank_p=rank_p(value, draws),
        rank_p_below=rank_p(value, draws, upper=False),
        draws=len(draws),
        max_draws=sets.layer_choices.get(against) if unit == "layers" else None,
        images=table.count,
        variances=split_variance(difference.standard_error**2, by_pictures.standard_error**2, draws),
    )
    return judge(evidence, margin=float(f"{margin:.2g}"), question=MATTERS)
