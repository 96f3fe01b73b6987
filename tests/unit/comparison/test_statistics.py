import numpy as np
import pytest

from headimpact.comparison.statistics import (
    Estimate,
    choose_runs,
    chosen_means,
    count_needed,
    draw_means,
    draws_for_rank,
    estimate,
    picture_weights,
    rank_p,
    split_variance,
)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_every_resample_holds_as_many_pictures():
    weights = picture_weights(30, resamples=500, generator=rng())
    assert weights.shape == (500, 30)
    assert (weights.sum(axis=1) == 30).all()
    assert (weights == np.round(weights)).all()
    assert weights.mean() == pytest.approx(1.0)
    assert weights.var() == pytest.approx(1 - 1 / 30, rel=0.05)


@pytest.mark.parametrize(
    ("draws", "slots", "picks"),
    [([(0,)], 1, 1), ([(0, 1)], 1, 1), ([(0,), (1,), (2,)], 2, 1), ([(0, 1, 2), (3, 4, 5)], 1, 2)],
    ids=["one run", "two seeds", "three draws", "two draws of three seeds"],
)
def test_takes_one_draw_and_one_seed_less_than_there_are(draws, slots, picks):
    chosen = choose_runs(draws, resamples=50, generator=rng())
    assert chosen.shape == (slots, picks, 50)
    assert (chosen >= 0).all()
    groups = np.array(
        [[next(g for g, d in enumerate(draws) if r in d) for r in row] for row in chosen.reshape(slots * picks, -1)]
    )
    assert (groups.reshape(slots, picks, 50) == groups.reshape(slots, picks, 50)[:, :1]).all(), (
        "seeds stay in their draw"
    )
    assert set(chosen.ravel()) == {run for draw in draws for run in draw}


def test_unequal_seeds_are_averaged_over_those_there_are():
    draws = [(0, 1, 2), (3,)]
    values = np.array([[1.0], [2.0], [3.0], [10.0]]).repeat(400, axis=1)
    chosen = choose_runs(draws, resamples=400, generator=rng())
    means = chosen_means(values, chosen)
    is_single = chosen[0, 0] == 3
    assert (chosen[0, 1][is_single] == -1).all()
    assert (means[0][is_single] == 10.0).all()
    assert set(means[0][~is_single]) <= {1.0, 1.5, 2.0, 2.5, 3.0}
    assert draw_means(values[:, 0], draws).tolist() == [2.0, 10.0]


def test_chosen_means_equal_a_plain_loop():
    draws = [(0, 1, 2), (3, 4), (5,), (6, 7)]
    values = rng(1).normal(size=(8, 60))
    chosen = choose_runs(draws, resamples=60, generator=rng(2))
    found = chosen_means(values, chosen)
    for slot in range(chosen.shape[0]):
        for sample in range(60):
            runs = [r for r in chosen[slot, :, sample] if r >= 0]
            assert found[slot, sample] == pytest.approx(sum(values[r, sample] for r in runs) / len(runs))


@pytest.mark.parametrize("count", [2, 3, 5, 20])
def test_the_variance_of_the_mean_of_draws_is_unbiased(count):
    values = rng(3).normal(size=count)
    chosen = choose_runs([(n,) for n in range(count)], resamples=40_000, generator=rng(4))
    means = chosen_means(values[:, None].repeat(40_000, axis=1), chosen).mean(axis=0)
    assert means.var() == pytest.approx(values.var(ddof=1) / count, rel=0.05)
    assert means.mean() == pytest.approx(values.mean(), abs=0.02)


def test_estimate_by_hand():
    found = estimate(0.5, np.arange(101) / 100)
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.025, 0.975))
    assert found.standard_error == pytest.approx(np.std(np.arange(101) / 100, ddof=1))
    assert found.smallest_detectable == pytest.approx(2.8 * found.standard_error)


def test_estimate_leaves_out_resamples_that_say_nothing():
    assert estimate(0.5, np.array([np.nan, 0.4, 0.6])).low == pytest.approx(0.405)
    assert estimate(0.5, np.array([np.nan])) == Estimate(0.5, 0.5, 0.5, 0.0)


@pytest.mark.parametrize(
    ("value", "draws", "upper", "expected"),
    [
        pytest.param(1.0, [0.0] * 19, True, 0.05, id="best of nineteen"),
        pytest.param(1.0, [0.0] * 18, True, 1 / 19, id="best of eighteen"),
        pytest.param(0.5, [0.1, 0.5, 0.9], True, 0.75, id="a tie counts against"),
        pytest.param(0.1 + 0.2, [0.3], True, 1.0, id="a tie but for rounding"),
        pytest.param(0.0, [0.5, 0.6], False, 1 / 3, id="worst"),
        pytest.param(0.7, [0.5, 0.6], False, 1.0, id="best, asked from below"),
    ],
)
def test_rank_p(value, draws, upper, expected):
    assert rank_p(value, np.array(draws), upper=upper) == pytest.approx(expected)


def test_rank_p_rejects_at_its_level_under_exchangeability():
    generator = rng(5)
    p = np.array([rank_p(v[0], v[1:]) for v in generator.normal(size=(4000, 40))])
    for level in (0.05, 0.1, 0.5):
        assert (p <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / 4000)


def test_split_variance_adds_up():
    parts = split_variance(1.0, 0.25, np.array([0.0, 1.0, 2.0, 3.0]))
    assert parts.draws == pytest.approx(np.var([0, 1, 2, 3], ddof=1) / 4)
    assert parts.pictures + parts.draws + parts.rest == pytest.approx(1.0)
    assert split_variance(0.1, 0.25, np.array([0.0])).rest == 0.0


@pytest.mark.parametrize(
    ("lowered", "others", "count", "target", "expected"),
    [
        (0.04, 0.0, 10, 0.1, 40),
        (0.04, 0.005, 10, 0.1, 80),
        (0.04, 0.01, 10, 0.1, None),
        (0.001, 0.0, 10, 0.1, 10),
        (0.0, 0.0, 1, 0.1, 1),
    ],
    ids=["four times", "with others", "never", "enough already", "no variance"],
)
def test_count_needed(lowered, others, count, target, expected):
    assert count_needed(lowered, others, count=count, target=target) == expected


@pytest.mark.parametrize("extreme", range(3))
@pytest.mark.parametrize("draws", [1, 3, 19, 30, 65])
def test_draws_for_rank_is_the_smallest_that_is_enough(extreme, draws):
    needed = draws_for_rank(extreme, draws)
    share = extreme / draws
    if needed is None:
        assert share >= 0.05
        return
    assert (1 + share * needed) / (needed + 1) <= 0.05 + 1e-9
    assert needed == draws or (1 + share * (needed - 1)) / needed > 0.05
