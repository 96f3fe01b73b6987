import numpy as np
import pytest

from headimpact.core.errors import OptionError
from headimpact.scoring.aggregation import (
    aggregate_layers,
    blind_heads,
    check_layer_rule,
    layer_shares,
    mean_over_pictures,
    nan_mean,
)

HEADS = np.array([[0.1, 0.5, 0.3], [0.2, np.nan, 0.4], [np.nan] * 3])
RULES = {
    "mean": ("mean", [0.3, 0.3, np.nan]),
    "max": ("max", [0.5, 0.4, np.nan]),
    "top-1": ("top-1", [0.5, 0.4, np.nan]),
    "top-2": ("top-2", [0.4, 0.3, np.nan]),
    "top-3": ("top-3", [0.3, 0.3, np.nan]),
}


@pytest.mark.parametrize(("rule", "expected"), RULES.values(), ids=RULES)
def test_heads_to_layer(rule, expected):
    assert aggregate_layers(HEADS, rule=rule) == pytest.approx(expected, nan_ok=True)
    many = aggregate_layers(np.stack([HEADS, HEADS + 1]), rule=rule)
    assert many[1] == pytest.approx(np.array(expected) + 1, nan_ok=True)


@pytest.mark.parametrize("rule", ["median", "top-0", "top-4", "top-", "topk"])
def test_unknown_rules_are_refused(rule):
    with pytest.raises(OptionError, match=rf"{rule!r}. Expected mean, max, or top-M with M from 1 to 3, such as top-2"):
        check_layer_rule(rule, heads=3)


def test_means_leave_nan_out():
    values = np.array([[1.0, np.nan, np.nan], [3.0, 4.0, np.nan]])
    assert nan_mean(values) == pytest.approx([2.0, 4.0, np.nan], nan_ok=True)
    assert np.isnan(nan_mean(np.zeros((0, 2)))).all()


def test_a_head_blind_in_more_than_a_tenth_has_no_score():
    sees = np.ones((10, 1, 3), dtype=np.float32)
    sees[0, 0, 1] = 0.0
    sees[:2, 0, 2] = 0.0
    assert blind_heads(sees).tolist() == [[False, False, True]]
    values = np.where(sees > 0, 0.5, np.nan)
    assert mean_over_pictures(values, sees) == pytest.approx(np.array([[0.5, 0.5, np.nan]]), nan_ok=True)


def test_half_a_picture_counts_half():
    sees = np.ones((10, 1, 1), dtype=np.float32)
    sees[:2] = 0.5
    assert not blind_heads(sees).any()
    sees[:3] = 0.5
    assert blind_heads(sees).all()


def test_shares_of_pictures_average_to_the_layers_scores():
    own = np.random.default_rng(0).random((12, 2, 3))
    assert layer_shares(own, np.ones_like(own)) == pytest.approx(own.mean(axis=2))
    own[3, 0, 1] = np.nan
    sees = np.where(np.isnan(own), 0.0, 1.0)
    shares = layer_shares(own, sees)
    assert shares.mean(axis=0) == pytest.approx(aggregate_layers(mean_over_pictures(own, sees)))
    # the head that saw nothing of picture 3 counts there with its mean over the other eleven
    assert shares[3, 0] == pytest.approx((own[3, 0, 0] + np.nanmean(own[:, 0, 1]) + own[3, 0, 2]) / 3)


def test_shares_of_a_layer_that_sees_no_picture_are_nan():
    own = np.full((4, 2, 2), 0.5)
    own[:, 1] = np.nan
    shares = layer_shares(own, np.where(np.isnan(own), 0.0, 1.0))
    assert shares[:, 0] == pytest.approx([0.5] * 4)
    assert np.isnan(shares[:, 1]).all()
