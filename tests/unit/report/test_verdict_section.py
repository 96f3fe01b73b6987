"""The answer in one plain sentence."""

import dataclasses

import pytest

from headimpact.report.sections.verdict import comparison_verdict, other_verdict, score_verdict
from tests.unit.report.builders import comparison_table

MANY = tuple(0.5 + 0.01 * i for i in range(19))


@pytest.mark.parametrize(
    ("table", "start", "parts"),
    [
        pytest.param(
            comparison_table(draws=MANY, answer_at=0.16, half=0.05),
            "Yes: ",
            [
                "the layer that looks most at the key objects (1)",
                "exact match 0.75",
                "0.59 on average for 19 draws",
                "+0.16",
            ],
            id="benefit",
        ),
        pytest.param(
            comparison_table(draws=MANY, answer_at=-0.16, half=0.05),
            "No, worse than random layers: ",
            ["0.59", "0.16"],
            id="worse",
        ),
        pytest.param(
            comparison_table(draws=MANY, answer_at=0.001, half=0.03),
            "No measurable benefit: ",
            ["A difference of 0.05 would most likely have shown"],
            id="neither",
        ),
        pytest.param(
            comparison_table(), "Undecided: ", ["3 draws of random layers", "cannot tell from luck"], id="undecided"
        ),
    ],
)
def test_sentence(table, start, parts):
    verdict = comparison_verdict(table)
    assert verdict.sentence.startswith(start)
    assert verdict.sentence.count(". ") + verdict.sentence.endswith(".") <= 2
    for part in parts:
        assert part in verdict.sentence


def test_undecided_says_what_would_decide():
    table = comparison_table()
    needed = dataclasses.replace(table.verdict, draws_needed=19, pictures_needed=900)
    said = comparison_verdict(dataclasses.replace(table, verdict=needed)).limits
    assert said[0] == "About 19 random draws in all or 900 test pictures in all might decide it."
    hopeless = dataclasses.replace(table.verdict, draws_needed=None, pictures_needed=None)
    assert "Neither" in comparison_verdict(dataclasses.replace(table, verdict=hopeless)).limits[0]


def test_limits_hold_the_notes_of_the_comparison():
    table = dataclasses.replace(comparison_table(), notes=("So few draws.",))
    assert "So few draws." in comparison_verdict(table).limits


def test_comparison_without_the_arms_says_so():
    verdict = comparison_verdict(comparison_table(arms=("base", "all")))
    assert "no answer about tuning" in verdict.sentence
    assert verdict.limits == ("No run of top-k was given.",)


def test_scores_alone_do_not_speak_about_tuning():
    verdict = score_verdict("5 of 8 heads look.", has_twin=True)
    assert verdict.sentence == "5 of 8 heads look."
    assert "untrained twin" in verdict.limits[0]
    assert "not known" in verdict.limits[1]


def test_neither_scores_nor_comparison():
    assert "selections, tuned runs" in other_verdict(["selections", "tuned runs"]).sentence
