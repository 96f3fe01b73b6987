"""The verdict on one choice of layers against random choices, in one word and one plain sentence."""

import dataclasses

from headimpact.comparison.statistics import ALPHA, DETECTABLE, Estimate, Variances, count_needed, draws_for_rank
from headimpact.evaluation.metrics import METRICS

UNDECIDED = "undecided"

FEWEST_PICTURES = 8
"""With fewer, resampled pictures are too alike: intervals come out too narrow."""


@dataclasses.dataclass(frozen=True)
class Question:
    """What is asked, and the words for its answers.

    Attributes:
        above: Answer where the choice lies above random choices.
        below: Answer where it lies below.
        neither: Answer where nothing of the size of the margin is there.
        quantity: What is compared, as in a sentence.
    """

    above: str
    below: str
    neither: str
    quantity: str


VALUE = Question(above="benefit", below="worse", neither="no measurable benefit", quantity="{title}")
SHIFT = Question(
    above="larger shift",
    below="smaller shift",
    neither="no measurable difference in shift",
    quantity="the size of the shift in {title} against the untuned model",
)


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What a verdict rests on.

    Attributes:
        measure: Metric, or the name of what was measured.
        arm: The choice in question.
        against: Strategy of the random draws.
        value: The choice's value.
        random_mean: Mean over the draws.
        difference: Value minus random mean, turned so that above 0 is better.
        rank_p: Its place among the draws, one-sided, large values speaking for it.
        rank_p_below: The same, small values speaking against it.
        draws: Number of draws.
        max_draws: Random choices that exist at all, None where not known.
        images: Number of pictures.
        variances: Where the difference's variance comes from.
    """

    measure: str
    arm: str
    against: str
    value: float
    random_mean: float
    difference: Estimate
    rank_p: float
    rank_p_below: float
    draws: int
    max_draws: int | None
    images: int
    variances: Variances


@dataclasses.dataclass(frozen=True)
class Verdict:
    """An answer and what it rests on.

    Attributes:
        answer: One of the question's words, or "undecided".
        sentence: The same as a sentence with its figures.
        evidence: The figures.
        margin: Smallest difference that would matter.
        draws_needed: Draws in all that might decide it; None where decided or no number would.
        pictures_needed: Pictures in all that might decide it; None where decided or no number would.
    """

    answer: str
    sentence: str
    evidence: Evidence
    margin: float
    draws_needed: int | None = None
    pictures_needed: int | None = None


def judge(evidence: Evidence, *, margin: float, question: Question = VALUE) -> Verdict:
    """Decide between above, below, neither and undecided.

    Above (benefit): the interval lies above 0 and the rank p is at most 0.05. Below (worse): the same on the
    other side. Neither: the interval includes 0 and the smallest detectable difference is below the margin. Else
    undecided, with the number of draws or pictures that might decide it. One draw or one picture has no spread, so
    fewer than two are never enough for an answer; nor is a measure that is 0 throughout, as exact match is for free
    captions.

    Args:
        evidence: What the verdict rests on.
        margin: Smallest difference that would matter, above 0, in units of the metric.
        question: Words for the answers.

    Returns:
        The verdict.
    """
    answer = _answer(evidence, margin, question)
    draws_needed, pictures_needed = _needed(evidence, margin) if answer == UNDECIDED else (None, None)
    sentence = f"{answer[0].upper()}{answer[1:]}: {_figures(evidence, margin, question)}"
    if answer == UNDECIDED:
        sentence += " " + _request(evidence, draws_needed, pictures_needed)
    return Verdict(
        answer=answer,
        sentence=sentence,
        evidence=evidence,
        margin=margin,
        draws_needed=draws_needed,
        pictures_needed=pictures_needed,
    )


def describe_pictures(count: int) -> tuple[str, ...]:
    """Warn where the pictures are so few that intervals say little.

    Args:
        count: Pictures that were tested.

    Returns:
        A sentence, or none.
    """
    if count >= FEWEST_PICTURES:
        return ()
    tested = f"{count} pictures were" if count > 1 else "1 picture was"
    return (f"Only {tested} tested: intervals are rough and too narrow; test more pictures.",)


def _answer(evidence: Evidence, margin: float, question: Question) -> str:
    """Apply the rule."""
    difference = evidence.difference
    if evidence.draws < 2 or evidence.images < 2 or _is_zero(evidence):
        return UNDECIDED
    if difference.low > 0 and evidence.rank_p <= ALPHA:
        return question.above
    if difference.high < 0 and evidence.rank_p_below <= ALPHA:
        return question.below
    if _includes_zero(difference) and difference.smallest_detectable < margin:
        return question.neither
    return UNDECIDED


def _is_zero(evidence: Evidence) -> bool:
    """Say whether the measure is 0 for the choice and all draws in every resample, so that it tells nothing apart."""
    return evidence.value == evidence.random_mean == evidence.difference.standard_error == 0


def _includes_zero(difference: Estimate) -> bool:
    """Say whether an interval includes 0."""
    return difference.low <= 0 <= difference.high


def _needed(evidence: Evidence, margin: float) -> tuple[int | None, int | None]:
    """Estimate how many draws, or how many pictures, would decide it."""
    difference, variances, draws = evidence.difference, evidence.variances, evidence.draws
    if evidence.images < 2 or _is_zero(evidence):
        return None, None
    if draws < 2:
        return draws_for_rank(0, draws), None
    if not _includes_zero(difference):
        p = evidence.rank_p if difference.low > 0 else evidence.rank_p_below
        return draws_for_rank(round(p * (draws + 1)) - 1, draws), None
    target = margin / DETECTABLE
    by_draws = count_needed(variances.draws, variances.pictures + variances.rest, count=draws, target=target)
    by_pictures = count_needed(
        variances.pictures, variances.draws + variances.rest, count=evidence.images, target=target
    )
    smallest = draws_for_rank(0, draws)
    if by_draws is not None and smallest is not None:
        by_draws = max(by_draws, smallest)
    return by_draws, by_pictures


def _figures(evidence: Evidence, margin: float, question: Question) -> str:
    """Give the figures behind an answer."""
    difference = evidence.difference
    title = METRICS.load(evidence.measure).title if evidence.measure in METRICS else evidence.measure
    quantity = question.quantity.format(title=title)
    detectable = (
        f"smallest detectable difference {difference.smallest_detectable:.3f}"
        if evidence.draws > 1
        else "one draw shows no spread"
    )
    return (
        f"{quantity} is {evidence.value:.3f} for {evidence.arm} and {evidence.random_mean:.3f} on average for "
        f"{evidence.draws} {evidence.against} draw{'s' if evidence.draws > 1 else ''}, "
        f"a difference of {difference.value:+.3f} "
        f"[{difference.low:+.3f}, {difference.high:+.3f}] with rank p {evidence.rank_p:.3f} "
        f"({detectable}, margin {margin:g})."
    )


def _request(evidence: Evidence, draws_needed: int | None, pictures_needed: int | None) -> str:
    """Say what would decide it."""
    if evidence.images < 2:
        return "One picture shows no spread, so nothing can be said of others; more pictures are needed."
    if _is_zero(evidence) and evidence.draws > 1:
        return "It is 0 for all of them, so it cannot tell them apart; choose another measure."
    limit = evidence.max_draws
    if draws_needed is not None and limit is not None and draws_needed > limit:
        return f"It would take about {draws_needed} draws, and there are only {limit} other choices of layers."
    ways = []
    if draws_needed is not None and draws_needed > evidence.draws:
        ways.append(f"{draws_needed - evidence.draws} more draws")
    if pictures_needed is not None and pictures_needed > evidence.images:
        ways.append(f"{pictures_needed - evidence.images} more pictures")
    if ways:
        return f"To decide it, about {' or '.join(ways)} would be needed."
    if not _includes_zero(evidence.difference):
        beyond = round(
            (evidence.rank_p if evidence.difference.low > 0 else evidence.rank_p_below) * (evidence.draws + 1)
        )
        return (
            f"It differs from the average draw, but {beyond - 1} of {evidence.draws} draws do as much; if that share "
            "stays, more draws will not decide it."
        )
    return "Neither more draws nor more pictures alone would decide it; more of both and more seeds may."
