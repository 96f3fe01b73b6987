import dataclasses

import pytest

from headimpact.comparison.statistics import Estimate, Variances
from headimpact.comparison.verdict import SHIFT, Evidence, describe_pictures, judge


def evidence(value=0.1, low=0.05, high=0.15, *, p=0.04, p_below=1.0, draws=24, error=0.02, **changes):
    found = Evidence(
        measure="exact_match",
        arm="top-k",
        against="random",
        value=0.6,
        random_mean=0.6 - value,
        difference=Estimate(value, low, high, error),
        rank_p=p,
        rank_p_below=p_below,
        draws=draws,
        max_draws=None,
        images=200,
        variances=Variances(pictures=0.0001, draws=0.0002, rest=0.0001),
    )
    return dataclasses.replace(found, **changes)


NOTHING = {"value": 0.01, "low": -0.02, "high": 0.04, "p": 0.4, "p_below": 0.64}

ZERO = dataclasses.replace(evidence(0.0, 0.0, 0.0, p=1.0, error=0.0), value=0.0, random_mean=0.0)


@pytest.mark.parametrize(
    ("given", "margin", "answer", "shift_answer"),
    [
        pytest.param(evidence(), 0.02, "benefit", "larger shift", id="above and rank"),
        pytest.param(evidence(p=0.05, draws=19), 0.02, "benefit", "larger shift", id="rank exactly 0.05"),
        pytest.param(evidence(p=0.06), 0.02, "undecided", "undecided", id="above, rank too high"),
        pytest.param(evidence(low=0.0, p=0.01), 0.02, "undecided", "undecided", id="interval touches 0"),
        pytest.param(
            evidence(low=0.0, p=0.01),
            0.06,
            "no measurable benefit",
            "no measurable difference in shift",
            id="touches 0, precise",
        ),
        pytest.param(
            evidence(-0.1, -0.15, -0.05, p=1.0, p_below=0.04), 0.02, "worse", "smaller shift", id="below and rank"
        ),
        pytest.param(
            evidence(-0.1, -0.15, -0.05, p=1.0, p_below=0.2), 0.02, "undecided", "undecided", id="below, rank too high"
        ),
        pytest.param(
            evidence(**NOTHING), 0.06, "no measurable benefit", "no measurable difference in shift", id="nothing"
        ),
        pytest.param(evidence(**NOTHING), 0.0559, "undecided", "undecided", id="detectable just above margin"),
        pytest.param(evidence(**NOTHING), 0.02, "undecided", "undecided", id="not precise"),
        pytest.param(evidence(images=1), 0.02, "undecided", "undecided", id="one picture"),
        pytest.param(evidence(images=1, **NOTHING), 0.9, "undecided", "undecided", id="one picture, nothing"),
        pytest.param(ZERO, 0.02, "undecided", "undecided", id="0 throughout"),
        pytest.param(evidence(p=0.5, draws=1), 0.9, "undecided", "undecided", id="one draw"),
        pytest.param(
            dataclasses.replace(evidence(**NOTHING), draws=1), 0.9, "undecided", "undecided", id="one draw, nothing"
        ),
    ],
)
def test_the_rule(given, margin, answer, shift_answer):
    verdict = judge(given, margin=margin)
    assert verdict.answer == answer
    assert judge(given, margin=margin, question=SHIFT).answer == shift_answer
    assert verdict.sentence.lower().startswith(answer)
    if answer != "undecided":
        assert (verdict.draws_needed, verdict.pictures_needed) == (None, None)


def test_one_picture_is_said_to_show_no_spread():
    verdict = judge(evidence(images=1), margin=0.02)
    assert verdict.sentence.endswith(
        "One picture shows no spread, so nothing can be said of others; more pictures are needed."
    )


def test_a_measure_that_is_0_throughout_is_said_to_tell_nothing_apart():
    verdict = judge(ZERO, margin=0.02)
    assert verdict.sentence.endswith("so it cannot tell them apart; choose another measure.")
    assert (verdict.draws_needed, verdict.pictures_needed) == (None, None)


@pytest.mark.parametrize(
    ("count", "said"),
    [(1, "Only 1 picture was tested"), (7, "Only 7 pictures were tested: intervals are rough"), (8, "")],
)
def test_few_pictures_are_warned_of(count, said):
    assert "".join(describe_pictures(count)).startswith(said)
    assert bool(describe_pictures(count)) == bool(said)


def test_the_sentence_holds_every_figure():
    sentence = judge(evidence(), margin=0.02).sentence
    for figure in (
        "exact match",
        "0.600",
        "0.500",
        "24 random draws",
        "+0.100",
        "[+0.050, +0.150]",
        "0.040",
        "0.056",
        "0.02",
    ):
        assert figure in sentence


def test_three_draws_that_all_lie_below_ask_for_sixteen_more():
    verdict = judge(evidence(p=0.25, draws=3), margin=0.02)
    assert verdict.answer == "undecided"
    assert verdict.draws_needed == 19
    assert "about 16 more draws" in verdict.sentence


def test_an_imprecise_difference_asks_for_draws_or_pictures():
    # target variance (0.05 / 2.8) ** 2 = 0.000319; draws: 0.0002 * 24 / 0.000119 = 40.4 of 24;
    # pictures: 0.0001 * 200 / 0.0000189 = 1060 of 200
    verdict = judge(evidence(**NOTHING), margin=0.05)
    assert verdict.draws_needed == 41
    assert verdict.pictures_needed == 1060
    assert "about 17 more draws or 860 more pictures" in verdict.sentence


def test_at_least_nineteen_draws_are_asked_for():
    assert judge(dataclasses.replace(evidence(**NOTHING), draws=3), margin=0.05).draws_needed == 19
    assert judge(dataclasses.replace(evidence(**NOTHING), draws=1), margin=0.05).draws_needed == 19


def test_says_when_neither_alone_is_enough():
    rest = Variances(pictures=0.01, draws=0.01, rest=0.01)
    verdict = judge(evidence(**NOTHING, variances=rest), margin=0.05)
    assert (verdict.draws_needed, verdict.pictures_needed) == (None, None)
    assert "Neither more draws nor more pictures alone" in verdict.sentence


def test_says_when_random_choices_do_as_much():
    verdict = judge(evidence(p=5 / 25), margin=0.02)
    assert verdict.draws_needed is None
    assert "4 of 24 draws do as much" in verdict.sentence
    below = judge(evidence(-0.1, -0.15, -0.05, p=1.0, p_below=5 / 25), margin=0.02)
    assert "4 of 24 draws do as much" in below.sentence


def test_does_not_ask_for_more_draws_than_there_are():
    verdict = judge(evidence(p=0.25, draws=3, max_draws=5), margin=0.02)
    assert "would take about 19 draws, and there are only 5 other choices" in verdict.sentence
