"""What a scoring run says on the terminal."""

from collections.abc import Mapping

import numpy as np

from headimpact.data.word_kinds import KINDS, OBJECT_KINDS
from headimpact.report.ranking import LEVEL, beyond_chance
from headimpact.report.sections.baselines import NAMES
from headimpact.scoring import is_variant
from headimpact.scoring.agreement import ScoreAgreement
from headimpact.scoring.depth import depth_alone
from headimpact.scoring.head_scores import HeadScores

LAYER_HEADER = "layer  score  chance     gap       q"
"""Stands above `layer_line`."""


def describe_scores(scores: HeadScores, agreement: ScoreAgreement | None = None) -> list[str]:
    """Say what a run found, for the terminal; where it has several scores, also how far they agree."""
    heads, layers = scores.values, scores.layer_values
    if np.isnan(heads[scores.score]).all():
        return [f"pictures: {scores.counts['used']} used", "no head sees an image token: nothing can be selected"]
    best = np.unravel_index(int(np.nanargmax(heads[scores.score])), heads[scores.score].shape)
    significant = int(beyond_chance(heads["q"]).sum())
    return [
        pictures_line(scores),
        f"best head: layer {best[0]}, head {best[1]}: {heads[scores.score][best]:.3f}, {_beside_chance(scores, best)}",
        *_held_out_lines(scores),
        f"heads above chance (q <= {LEVEL}): {'not known' if np.isnan(heads['gap']).all() else significant} of "
        f"{heads['q'].size}",
        *(
            f"for comparison, {NAMES.get(name, name)}: {'none found' if np.isnan(value) else f'{value:.3f}'}"
            for name, value in scores.baselines.items()
        ),
        *_twin_line(scores),
        *_depth_line(scores),
        LAYER_HEADER,
        *(layer_line(scores, layer) for layer in range(len(layers["q"]))),
        *(f"warning: {warning}" for warning in scores.warnings),
        f"layers by score: {' '.join(map(str, rank_layers(scores)))}",
        *(
            f"layers by {name}: {' '.join(map(str, layers)) or scores.others[name].why_unranked or 'none'}"
            for name, layers in rank_layers_by_others(scores).items()
            if not is_variant(name)
        ),
        *(_score_lines(scores, agreement) if scores.others else []),
    ]


def pictures_line(scores: HeadScores) -> str:
    """Say how many pictures the scores rest on, and why others were left out."""
    skipped = ", ".join(f"{count} {reason}" for reason, count in scores.counts["skipped"].items()) or "none"
    return f"pictures: {scores.counts['used']} used, skipped: {skipped}"


def rank_layers(scores: HeadScores) -> list[int]:
    """List layers from the highest score to the lowest, those without one left out."""
    values: Mapping[str, np.ndarray] = scores.layer_values
    order = np.argsort(-values[scores.score], kind="stable")
    return [int(layer) for layer in order if not np.isnan(values[scores.score][layer])]


def rank_layers_by_others(scores: HeadScores) -> dict[str, list[int]]:
    """List layers in the same way by each further score of the run; none where it is the same for all heads."""
    return {name: [] if other.why_unranked else rank_layers(other) for name, other in scores.others.items()}


def pictures_by_kind(scores: HeadScores) -> dict[str, int]:
    """Count for each kind of word (`--words`) the pictures in which some head has a score."""
    found = {kind: scores.others.get(f"{scores.score}_{kind}") for kind in (*KINDS, *OBJECT_KINDS)}
    counts = {kind: part.counts for kind, part in found.items() if part is not None}
    return {kind: count["with_score"] for kind, count in counts.items() if "with_score" in count}


def _beside_chance(scores: HeadScores, place: tuple[np.intp, ...]) -> str:
    """Write a head's chance level and gap, or say why there is none."""
    null_mean, gap, low, high = (
        float(scores.values[name][place]) for name in ("null_mean", "gap", "gap_low", "gap_high")
    )
    if np.isnan(gap):
        alone = scores.counts["used"] == 1
        return f"{'no other picture to hold it against, so ' if alone else ''}chance and gap are not known"
    return f"chance {null_mean:.3f}, gap {gap:+.3f} [{low:+.3f}, {high:+.3f}]"


def _held_out_lines(scores: HeadScores) -> list[str]:
    """Say what the best head of one half of the pictures has on the other, where that is known."""
    return [
        f"best head, chosen on {half['chosen_on']} pictures and measured on {half['reported_on']} others: "
        f"layer {half['layer_idx']}, head {half['head_idx']}: {_number(half[scores.score])}, "
        f"gap {_number(half['gap'], '+.3f')} [{_number(half['gap_low'], '+.3f')}, {_number(half['gap_high'], '+.3f')}]"
        for half in scores.held_out
    ]


def layer_line(scores: HeadScores, layer: int) -> str:
    """Write a layer's score beside chance; without a chance level there is no q either."""
    value, null_mean, gap, q = (
        float(scores.layer_values[name][layer]) for name in (scores.score, "null_mean", "gap", "q")
    )
    q = np.nan if np.isnan(gap) else q
    return (
        f"{layer:>5}  {_number(value):>5}  {_number(null_mean):>6}  {_number(gap, '+.3f'):>6}  {_number(q, '.4f'):>6}"
    )


def _number(value: float, spec: str = ".3f") -> str:
    """Write a number; a dash where it is not known."""
    return "-" if np.isnan(value) else format(float(value), spec)


def _twin_line(scores: HeadScores) -> list[str]:
    """Say what the untrained twin's best head reaches, where it was scored."""
    if scores.baseline is None or np.isnan(values := scores.baseline.values[scores.score]).all():
        return []
    return [f"untrained twin, best head: {np.nanmax(values):.3f}"]


def _depth_line(scores: HeadScores) -> list[str]:
    """Say what the layer number alone would give."""
    guess = depth_alone(scores.values[scores.score])
    if guess is None:
        return []
    explained = (
        "" if np.isnan(guess.explained) else f"; explains {100 * max(guess.explained, 0.0):.0f} % of the variance"
    )
    return [f"depth alone: {guess.best:.3f} at layer {guess.layer_idx}{explained}"]


def _score_lines(scores: HeadScores, agreement: ScoreAgreement | None) -> list[str]:
    """List every score's best head beside chance, and how far it ranks the heads like the run's own score."""
    every = (scores, *scores.others.values())
    width = max(len(other.score) for other in every)
    lines = [f"{'score':<{width}}          best head  value  chance     gap  heads above chance  rank correlation"]
    for other in every:
        values = other.values[other.score]
        if np.isnan(values).all() or other.why_unranked:
            lines.append(f"{other.score:<{width}}  {other.why_unranked or 'none'}")
            continue
        place = np.unravel_index(int(np.nanargmax(values)), values.shape)
        above = f"{int(beyond_chance(other.values['q']).sum())} of {values.size}"
        has_chance = not np.isnan(other.values["gap"][place])
        chance = f"{other.values['null_mean'][place]:>6.3f}  {other.values['gap'][place]:>+6.3f}  {above:>18}"
        line = f"{other.score:<{width}}  {f'layer {place[0]}, head {place[1]}':>17}  {values[place]:.3f}  "
        line += chance if has_chance else f"{'-':>6}  {'-':>6}  {'-':>18}"
        lines.append(f"{line}  {_correlation(other.score, agreement)}".rstrip())
    if rest := pictures_by_kind(scores):
        used = scores.counts["used"]
        lines.append(f"pictures with such words: {', '.join(f'{kind} {n} of {used}' for kind, n in rest.items())}")
    return lines


def _correlation(name: str, agreement: ScoreAgreement | None) -> str:
    """Write a score's rank correlation with the run's own; nothing for that itself, or where it is not known."""
    if agreement is None or name not in agreement.names[1:]:
        return ""
    place = agreement.names.index(name)
    value, low, high = (float(part[0, place]) for part in (agreement.correlation, agreement.low, agreement.high))
    if np.isnan(value):
        return ""
    return f"{value:+.2f}" + ("" if np.isnan(low) else f" [{low:+.2f}, {high:+.2f}]")
