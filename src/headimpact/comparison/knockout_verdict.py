"""The screen before tuning, in plain sentences."""

from headimpact.comparison.knockout_table import KnockoutTable, ScoreAgreement
from headimpact.comparison.knockouts import MATTERS, NEEDS_NO_PICTURE
from headimpact.comparison.score_agreement import KNOCKOUT
from headimpact.comparison.verdict import Evidence

NAMES = {"head_impact": "Head Impact", "gate_gradient": "gate gradient", "auroc": "AUROC"}
"""Scores by the name that readers know."""


def screen_sentence(table: KnockoutTable) -> str:
    """Say in one sentence whether the chosen layers matter more for the loss than others of their depth.

    Args:
        table: The answer of `knockout`.

    Returns:
        Yes, no, no measurable difference or undecided, with the figures.
    """
    verdict = table.verdict
    if verdict is None:
        return NEEDS_NO_PICTURE if table.blind.low <= 0 else "Undecided: there are no other layers to compare with."
    evidence = verdict.evidence
    layers = f"the layers of highest {score_name(table.score)} ({', '.join(map(str, table.chosen))})"
    figures = _figures(evidence)
    others = "layers of the same depth" if evidence.against == "depth-matched" else "random layers"
    if verdict.answer == MATTERS.above:
        return f"Yes: for the loss, {layers} matter more than {others}: {figures}."
    if verdict.answer == MATTERS.below:
        return f"No: for the loss, {layers} matter less than {others}: {figures}."
    if verdict.answer == MATTERS.neither:
        return f"No measurable difference for the loss between {layers} and {others}: {figures}."
    return f"Undecided whether {layers} matter more for the loss than {others}: {figures}."


def agreement_sentence(table: KnockoutTable) -> str:
    """Say how far the score agrees with what silencing does; empty where that was not measured."""
    wanted = [one for one in table.agreements if one.first == table.score and one.second == KNOCKOUT]
    return " ".join(_agreement(one) for one in wanted)


def score_name(name: str) -> str:
    """Write a score's name within a sentence."""
    return NAMES.get(name, name.replace("_", " "))


def _figures(evidence: Evidence) -> str:
    """Give the figures behind an answer."""
    difference = evidence.difference
    draws = f"{evidence.draws} draw{'s' if evidence.draws > 1 else ''}"
    return (
        f"without their look at the picture the loss changes by {evidence.value:+.3f}, against "
        f"{evidence.random_mean:+.3f} on average for {draws}, a difference of {difference.value:+.3f} "
        f"[{difference.low:+.3f}, {difference.high:+.3f}]"
    )


def _agreement(one: ScoreAgreement) -> str:
    """Say how far a score and the knockout rank alike."""
    ways = {"positive": "rank alike", "negative": "rank the other way round"}
    found = one.plain
    return (
        f"Over {found.units} {one.unit}, {score_name(one.first)} and the rise without each "
        f"{ways.get(found.answer, 'may or may not rank alike')}: Spearman {found.value:+.2f} "
        f"[{found.low:+.2f}, {found.high:+.2f}], {one.shared} of the {one.places} highest in common where "
        f"{one.by_chance:.1f} would be by chance."
    )
