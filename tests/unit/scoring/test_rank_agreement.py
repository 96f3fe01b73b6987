import itertools
import math

import numpy as np
import pytest

from headimpact.scoring.rank_agreement import (
    correlate_ranks,
    midranks,
    partial_spearman,
    smallest_detectable,
    spearman,
    top_overlap,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def plain_ranks(values):
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2 for value in values
    ]


def plain_pearson(x, y):
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    products = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return products / math.sqrt(sum((a - mean_x) ** 2 for a in x) * sum((b - mean_y) ** 2 for b in y))


def residuals(values, given):
    """What a straight line through the ranks of `given` leaves of the ranks of `values`."""
    ranks, held = midranks(values), midranks(given)
    slope, intercept = np.polyfit(held, ranks, 1)
    return ranks - slope * held - intercept


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], 1.0, id="same order"),
        pytest.param([1, 2, 3, 4], [0.4, 0.3, 0.2, 0.1], -1.0, id="reversed"),
        pytest.param([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 1 - 6 * 4 / (5 * 24), id="1 - 6 sum d^2 / (n (n^2 - 1))"),
        pytest.param([1, 1, 2], [1, 2, 3], 1.5 / math.sqrt(1.5 * 2), id="a tie"),
        pytest.param([1, math.nan, 2, 3], [1, 9, 2, 3], 1.0, id="a unit without value"),
        pytest.param([1, 1, 1], [1, 2, 3], math.nan, id="constant"),
        pytest.param([math.nan], [1], math.nan, id="nothing left"),
    ],
)
def test_spearman_by_hand(first, second, expected):
    assert spearman(np.array(first, float), np.array(second, float)) == pytest.approx(expected, nan_ok=True)


def test_spearman_equals_a_plain_loop_with_ties():
    for _ in range(50):
        x, y = rng(_).integers(0, 6, size=(2, 15)).astype(float)
        assert spearman(x, y) == pytest.approx(plain_pearson(plain_ranks(x), plain_ranks(y)))
        assert spearman(np.exp(x), -y) == pytest.approx(-spearman(x, y))


def test_partial_is_the_correlation_of_what_a_line_through_the_ranks_leaves():
    for seed in range(50):
        x, y, z = rng(seed).normal(size=(3, 12))
        expected = plain_pearson(residuals(x, z), residuals(y, z))
        assert partial_spearman(x, y, z) == pytest.approx(expected)
        assert partial_spearman(x, y, -z) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("first", "second", "given"),
    [([1, 2, 3, 4], [4, 1, 3, 2], [1, 2, 3, 4]), ([1, 2, 3, 4], [4, 1, 3, 2], [1, 1, 1, 1])],
    ids=["nothing left of one", "given is constant"],
)
def test_partial_without_an_answer_is_nan(first, second, given):
    assert math.isnan(partial_spearman(np.array(first, float), np.array(second, float), np.array(given, float)))


def test_what_depth_alone_makes_is_gone_when_depth_is_given():
    depth = np.arange(400.0)
    x, y = depth + 60 * rng(1).normal(size=(2, 400))
    assert spearman(x, y) > 0.6
    assert abs(partial_spearman(x, y, depth)) < 0.12


@pytest.mark.parametrize(
    ("k", "expected"), [(1, 0.0), (2, 0.5), (3, 2 / 3), (4, 1.0)], ids=["top", "two", "three", "all"]
)
def test_top_overlap_by_hand(k, expected):
    assert top_overlap(np.array([4.0, 3, 2, math.nan]), np.array([3.0, 4, math.nan, 5]), k=k) == pytest.approx(expected)


def test_unrelated_rankings_share_k_of_n_on_average():
    orders = [np.array(order, float) for order in itertools.permutations(range(5))]
    assert np.mean([top_overlap(orders[0], other, k=2) for other in orders]) == pytest.approx(2 / 5)


@pytest.mark.parametrize(("units", "given", "share"), [(12, 0, 0.80), (24, 0, 0.80), (24, 1, 0.80)])
def test_the_smallest_detectable_correlation_is_found_four_times_in_five(units, given, share):
    generator, runs = rng(3), 2000
    # of normal pairs, Spearman's correlation is 6 / pi arcsin(rho / 2)
    rho = 2 * math.sin(math.pi / 6 * smallest_detectable(units, given=given))
    limit = math.tanh(1.96 * math.sqrt(1.06 / (units - 3 - given)))
    hits = 0
    for x, noise, z in generator.normal(size=(runs, 3, units)):
        y = rho * x + math.sqrt(1 - rho**2) * noise
        found = partial_spearman(x + z, y + z, z) if given else spearman(x, y)
        hits += found > limit
    assert hits / runs == pytest.approx(share, abs=0.06)


def test_too_few_units_detect_nothing():
    assert smallest_detectable(3) == smallest_detectable(4, given=1) == 1.0


def test_the_interval_holds_the_value_and_widens_with_units_drawn():
    x = rng(4).normal(size=(30, 1)) + rng(5).normal(scale=0.3, size=(30, 40))
    y = x.mean(axis=1, keepdims=True) + rng(6).normal(scale=0.3, size=(30, 3))
    drawn, held = (correlate_ranks(x, y, resample_units=units, resamples=400) for units in (True, False))
    for found in (drawn, held):
        assert found.low < found.value < found.high
        assert (found.answer, found.units) == ("positive", 30)
        assert found.value == pytest.approx(spearman(x.mean(axis=1), y.mean(axis=1)))
    assert drawn.high - drawn.low > held.high - held.low > 0.0


def test_pictures_that_move_both_sides_are_drawn_together():
    common = rng(7).normal(size=(20, 60))
    together, apart = (
        correlate_ranks(common, common, same_repeats=same, resample_units=False, resamples=200)
        for same in (True, False)
    )
    assert together.low == pytest.approx(1.0)
    assert apart.low < 0.6


def test_a_resample_draws_every_units_repeats_in_common():
    # Seeds shift all units alike: with common draws that never changes a ranking.
    shifts = np.array([0.0, 100.0, 10_000.0])
    units = np.arange(10.0)[:, None] + shifts
    found = correlate_ranks(units, units, resample_units=False, resamples=100)
    assert (found.low, found.high) == pytest.approx((1.0, 1.0))


def test_given_depth_the_interval_is_partial_and_a_unit_is_paid_for_it():
    depth = np.arange(40.0)
    x, y = (depth + 8 * rng(seed).normal(size=40) for seed in (8, 9))
    found = correlate_ranks(x[:, None], y[:, None], given=depth, resamples=300)
    assert found.value == pytest.approx(partial_spearman(x, y, depth))
    assert found.answer == "undecided"
    assert found.detectable == smallest_detectable(40, given=1)


def test_units_of_a_cluster_are_drawn_together():
    # Twins say everything twice: their interval is that of single units, not of twice as many.
    x, y = rng(11).normal(size=(2, 20, 1))
    y = y + x
    single = correlate_ranks(x, y, resamples=1000)
    twins = [np.repeat(side, 2, axis=0) for side in (x, y)]
    clustered = correlate_ranks(*twins, clusters=np.repeat(np.arange(20), 2), resamples=1000)
    loose = correlate_ranks(*twins, resamples=1000)
    assert clustered.high - clustered.low == pytest.approx(single.high - single.low, rel=0.15)
    assert loose.high - loose.low < 0.85 * (clustered.high - clustered.low)


def test_units_without_a_value_do_not_count():
    x = np.array([[1.0], [math.nan], [2.0], [3.0]])
    found = correlate_ranks(x, -x, resamples=50)
    assert (found.units, found.value, found.answer) == (3, -1.0, "negative")


def test_a_constant_side_says_nothing():
    found = correlate_ranks(np.ones((5, 1)), np.arange(5.0)[:, None], resamples=20)
    assert math.isnan(found.value)
    assert math.isnan(found.low)
    assert found.answer == "undecided"


@pytest.mark.slow
@pytest.mark.parametrize(("units", "most"), [(12, 0.1), (24, 0.09)])
def test_of_unrelated_rankings_about_one_in_twenty_is_said_to_agree(units, most):
    generator, runs = rng(10), 300
    answers = [
        correlate_ranks(*generator.normal(size=(2, units, 1)), resamples=200, seed=run).answer for run in range(runs)
    ]
    assert 0.015 <= np.mean([answer != "undecided" for answer in answers]) <= most
