"""How numbers and names are written."""

import math

import pytest

from headimpact.report import wording


@pytest.mark.parametrize(
    ("function", "value", "expected"),
    [
        pytest.param(wording.number, 0.125, "0.12", id="number_half_even"),
        pytest.param(wording.number, -0.0, "0.00", id="number_minus_zero"),
        pytest.param(wording.number, -0.004, "0.00", id="number_rounds_to_zero"),
        pytest.param(wording.number, math.inf, wording.MISSING, id="number_infinite"),
        pytest.param(wording.signed, 0.004, "0.00", id="signed_rounds_to_zero"),
        pytest.param(wording.signed, 10.0, "+10.00", id="signed_ten"),
        pytest.param(wording.signed, None, wording.MISSING, id="signed_missing"),
        pytest.param(wording.probability, 0.05, "0.050", id="p_at_the_level"),
        pytest.param(wording.probability, 1.0, "1.00", id="p_one"),
        pytest.param(wording.probability, math.nan, wording.MISSING, id="p_missing"),
        pytest.param(wording.percent, 204800 / 3754622976, f"0.0055{wording.NBSP}%", id="percent_of_the_paper"),
        pytest.param(wording.percent, None, wording.MISSING, id="percent_missing"),
        pytest.param(wording.percent, 0.996, f"100{wording.NBSP}%", id="percent_rounds_up"),
        pytest.param(wording.whole, 999, "999", id="whole_small"),
        pytest.param(wording.reason, "covers_too_much", "the object covers more than 0.8 of the picture", id="reason"),
        pytest.param(wording.reason, "new_reason", "new reason", id="reason_unknown"),
        pytest.param(wording.metric_name, "cider_d", "CIDEr-D", id="metric"),
        pytest.param(wording.metric_name, "my_metric", "my metric", id="metric_unknown"),
        pytest.param(wording.heading, "exact_match", "Exact match", id="heading"),
        pytest.param(wording.fact, [], wording.MISSING, id="fact_empty"),
        pytest.param(wording.fact, False, "no", id="fact_false"),
        pytest.param(wording.fact, 0, "0", id="fact_zero"),
        pytest.param(wording.fact, {"a": {"b": [1, None]}}, f"a b 1, {wording.MISSING}", id="fact_nested"),
        pytest.param(wording.listed, (), wording.MISSING, id="listed_none"),
    ],
)
def test_wording(function, value, expected):
    assert function(value) == expected


def test_interval_needs_both_ends():
    assert wording.interval(0.1, math.nan) == ""
    assert wording.interval(0.1, 0.2, digits=1) == "0.1 to 0.2"
