"""Comparison or scores -> the answer in one plain sentence, and what it cannot say."""

from collections.abc import Sequence

from headimpact.comparison.table import ComparisonTable
from headimpact.comparison.verdict import UNDECIDED, VALUE, Evidence
from headimpact.report import wording
from headimpact.report.page import Verdict
from headimpact.report.sections.comparison import TOP

CHANCE_LIMIT = (
    "Chance here is the same attention held against the objects of other pictures. It takes out the size of objects "
    "and a liking for the centre, but not contrast: an object differs from its background, and even random weights "
    "see that."
)
NO_COMPARISON = (
    "Whether tuning these layers pays is not known from these files: it takes evaluated runs and a comparison."
)
NO_ANSWER = "These files hold no comparison of the layers with random ones, so they give no answer about tuning."


def comparison_verdict(table: ComparisonTable) -> Verdict:
    """Say in one sentence whether the chosen layers beat random ones."""
    if table.verdict is None:
        return Verdict(NO_ANSWER, table.notes)
    evidence = table.verdict.evidence
    sentence = _plain(table.verdict.answer, evidence, margin=table.margin, layers=_top_layers(table))
    limits = (_of_the_same_depth(table), _needed(table), *table.notes)
    return Verdict(sentence, tuple(text for text in limits if text))


def score_verdict(summary: str, *, has_twin: bool) -> Verdict:
    """Say what scores alone show."""
    limits = (CHANCE_LIMIT + (" The untrained twin shows how much of it that is." if has_twin else ""), NO_COMPARISON)
    return Verdict(summary, limits)


def other_verdict(stages: Sequence[str]) -> Verdict:
    """Say what is there where neither scores nor a comparison are."""
    return Verdict(f"Nothing to judge yet: these files hold only {wording.listed(stages)}.", (NO_ANSWER,))


def _plain(answer: str, evidence: Evidence, *, margin: float, layers: str) -> str:
    """Write the answer for someone who has not read the rest."""
    measure = wording.metric_name(evidence.measure)
    value, mean = wording.number(evidence.value), wording.number(evidence.random_mean)
    against = f"{mean} on average for {wording.plural(evidence.draws, 'draw')} of random layers"
    gives = f"tuning {layers} gives {measure} {value}, against {against}"
    difference = evidence.difference
    ends = wording.interval(difference.low, difference.high, sign=True)
    apart = f"a difference of {wording.signed(difference.value)} (95{wording.NBSP}% interval {ends})"
    if answer == VALUE.above:
        return f"Yes: {gives}, {apart}."
    if answer == VALUE.below:
        return f"No, worse than random layers: {gives}, {apart}."
    if answer == VALUE.neither:
        return f"No measurable benefit: {gives}. A difference of {wording.number(margin)} would most likely have shown."
    return f"Undecided: {gives}, {apart} that these runs cannot tell from luck."


def _of_the_same_depth(table: ComparisonTable) -> str:
    """Say how the choice does against layers of its own depth, which is where depth alone could be the reason."""
    verdict = table.depth_matched_verdict
    if verdict is None:
        return ""
    difference = verdict.evidence.difference
    ends = wording.interval(difference.low, difference.high, sign=True)
    draws = wording.plural(verdict.evidence.draws, "draw")
    return (
        f"Against {draws} of layers of the same depth: {verdict.answer}, {wording.signed(difference.value)} ({ends})."
    )


def _top_layers(table: ComparisonTable) -> str:
    """Name the top choice's layers."""
    row = next((row for row in table.rows if row.arm == TOP), None)
    if row is None or not row.points or row.draws != 1:
        return "the layers of the highest Head Impact"
    layers = row.points[0].layers
    word = "layer" if len(layers) == 1 else "layers"
    return f"the {word} that look{'s' if len(layers) == 1 else ''} most at the key objects ({wording.joined(layers)})"


def _needed(table: ComparisonTable) -> str:
    """Say what would decide an undecided comparison."""
    verdict = table.verdict
    if verdict is None or verdict.answer != UNDECIDED:
        return ""
    ways = []
    if verdict.draws_needed is not None:
        ways.append(f"{wording.plural(verdict.draws_needed, 'random draw')} in all")
    if verdict.pictures_needed is not None:
        ways.append(f"{wording.plural(verdict.pictures_needed, 'test picture')} in all")
    if not ways:
        return "Neither more draws nor more pictures alone would decide it."
    return f"About {' or '.join(ways)} might decide it."
