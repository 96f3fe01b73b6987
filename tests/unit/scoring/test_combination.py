"""Scores combined by the mean of their ranks: by hand, with gaps and ties, and what is left of chance."""

import dataclasses

import numpy as np
import pytest

from headimpact.core.errors import OptionError, UnknownNameError
from headimpact.scoring.combination import combine_scores, find_score
from tests.unit.report.builders import head_scores
from tests.unit.report.test_several_scores import renamed


def pair(first, second, **options):
    own = head_scores(own=np.array(first, dtype=np.float64), options=options)
    return {"head_impact": own, "auroc": renamed(head_scores(own=np.array(second, dtype=np.float64)), "auroc")}


def test_worked_by_hand():
    found = combine_scores(pair([[0.1, 0.9], [0.5, 0.3]], [[7.0, 7.0], [1.0, 900.0]]))
    # Shares below, equal ones half: 1/8 7/8 / 5/8 3/8, and 4/8 4/8 / 1/8 7/8.
    assert found.values["head_impact+auroc"].tolist() == [[0.3125, 0.6875], [0.375, 0.625]]
    assert found.layer_values["head_impact+auroc"].tolist() == [0.5, 0.5]
    assert found.score == found.options["score"] == "head_impact+auroc"


def test_layers_follow_the_runs_rule():
    found = combine_scores(pair([[0.1, 0.9], [0.5, 0.3]], [[7.0, 7.0], [1.0, 900.0]], layer_aggregation="max"))
    assert found.layer_values["head_impact+auroc"].tolist() == [0.6875, 0.625]


def test_units_do_not_matter():
    generator = np.random.default_rng(0)
    first, second = generator.random((2, 3, 4))
    plain, warped = (combine_scores(pair(first, one)).values["head_impact+auroc"] for one in (second, 1e6 * second**9))
    assert np.array_equal(plain, warped)


def test_a_head_that_one_score_has_none_for_has_none():
    found = combine_scores(pair([[np.nan, 0.9], [0.5, 0.3]], [[7.0, 8.0], [1.0, 900.0]]))
    assert np.isnan(found.values["head_impact+auroc"][0, 0])
    assert found.values["head_impact+auroc"][0, 1] == pytest.approx((5 / 6 + 3 / 6) / 2)


def test_there_is_no_chance_level():
    found = combine_scores(pair([[0.1, 0.9]], [[7.0, 7.0]]))
    assert all(np.isnan(found.values[name]).all() for name in ("null_mean", "gap", "p", "q"))
    assert found.baselines == {}


def test_by_name():
    parts = pair([[0.1, 0.9], [0.5, 0.3]], [[7.0, 7.0], [1.0, 900.0]])
    run = dataclasses.replace(parts["head_impact"], others={"auroc": parts["auroc"]}, file_hash="abc")
    assert find_score(run, "auroc").score == "auroc"
    both = find_score(run, "head_impact + auroc")
    assert (both.score, both.file_hash, both.others) == ("head_impact+auroc", "abc", {})
    with pytest.raises(UnknownNameError, match="score again with --scores pointing_game"):
        find_score(run, "head_impact+pointing_game")
    with pytest.raises(OptionError, match="named twice"):
        find_score(run, "auroc+auroc")
