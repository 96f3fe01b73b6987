import itertools

import numpy as np
import pytest

from headimpact.scoring.regret import MeanErrors, bound_regret, mean_errors
from headimpact.scoring.stability import REGRET, plan_looks


def errors(means, *, difference, own=0.05):
    means = np.array(means)
    return MeanErrors(means, np.full(len(means), own), np.full((len(means), len(means)), difference))


def test_one_swap_worked_by_hand():
    found = bound_regret(errors([0.48, 0.6, 0.5, 0.3], difference=0.05), k=2)
    assert found.chosen == (1, 2)
    assert found.tied == (0, 2)
    # layer 2 for layer 0 gains at most .48 - .5 + .05; the mean is at least .55 - .05
    assert found.bound == pytest.approx((0.03 / 2) / (0.5 + 0.03 / 2))


def test_a_layer_is_swapped_once_though_it_is_tied_with_two():
    found = bound_regret(errors([0.5, 0.49, 0.48], difference=0.06), k=2)
    assert found.tied == (0, 1, 2)
    # layer 2 may gain .04 for layer 0 or .05 for layer 1, not both
    assert found.bound == pytest.approx((0.05 / 2) / (0.445 + 0.05 / 2))


def test_a_clear_cut_costs_nothing_and_equal_means_choose_the_earlier_layer():
    assert bound_regret(errors([0.6, 0.5, 0.3, 0.3], difference=0.1), k=2).bound == 0.0
    tied = bound_regret(errors([0.3, 0.3, 0.1], difference=0.1), k=1)
    assert (tied.chosen, tied.tied) == ((0,), (0, 1))


def test_where_the_mean_may_be_nothing_all_may_be_lost():
    assert bound_regret(errors([0.04, 0.03], difference=0.1), k=1).bound == 1.0


@pytest.mark.parametrize("seed", range(20))
def test_no_set_gains_more_than_the_bound_says(seed):
    generator = np.random.default_rng(seed)
    means, half = generator.random(6), generator.random((6, 6)) * 0.3
    made = MeanErrors(means, np.zeros(6), half + half.T)
    found = bound_regret(made, k=3)
    mean = means[list(found.chosen)].mean()
    for better in itertools.combinations(range(6), 3):
        out = [layer for layer in found.chosen if layer not in better]
        into = [layer for layer in better if layer not in found.chosen]
        gains = [
            sum(means[j] - means[i] + made.difference_widths[i, j] for i, j in zip(out, order, strict=True))
            for order in itertools.permutations(into)
        ]
        cost = min(gains) / 3
        assert cost / (mean + max(cost, 0.0)) <= found.bound + 1e-12


def test_the_reach_of_one_mean_is_students():
    values = np.array([[0.1], [0.4], [0.3], [0.8], [0.6]])
    found = mean_errors(values, error_rate=0.05, draws=40_000)
    assert found.means == pytest.approx([0.44])
    # t of 4 degrees of freedom leaves 2.5 % above 2.776
    assert found.widths[0] == pytest.approx(2.776 * values.std(ddof=1) / np.sqrt(5), rel=0.03)


def test_widths_agree_with_plain_loops():
    values = np.random.default_rng(0).random((7, 3))
    found = mean_errors(values, error_rate=0.2, draws=50, seed=3)
    spread = np.array([[(a - b).std(ddof=1) / np.sqrt(7) for b in [*values.T, np.zeros(7)]] for a in values.T])
    generator = np.random.Generator(np.random.Philox(key=[3, 3]))
    normal, student = generator.standard_normal((50, 3)), generator.chisquare(6, size=(50, 1))
    _, sizes, axes = np.linalg.svd(values - values.mean(axis=0), full_matrices=False)
    largest = []
    for row, chi in zip(normal, student[:, 0], strict=True):
        drawn = [sum(row[i] * sizes[i] * axes[i, layer] for i in range(3)) / np.sqrt(42) for layer in range(3)]
        drawn = [error * np.sqrt(6 / chi) for error in drawn] + [0.0]
        pairs = itertools.combinations(range(4), 2)
        largest.append(max(abs(drawn[a] - drawn[b]) / spread[a, b] for a, b in pairs))
    reach = np.quantile(largest, 0.8, method="higher")
    assert found.widths == pytest.approx(reach * spread[:, 3])
    assert found.difference_widths == pytest.approx(reach * spread[:, :3], abs=1e-9)


def test_what_layers_have_in_common_is_no_error_of_their_difference():
    common = np.random.default_rng(0).normal(size=(40, 1))
    found = mean_errors(common + np.array([[0.5, 0.4]]), error_rate=0.05, draws=200)
    assert found.difference_widths == pytest.approx(np.zeros((2, 2)), abs=1e-9)
    assert found.widths.min() > 0.1


def broken_promises(*, error_rate, runs=120):
    """Share of runs that stop at a layer 2.5 % below the best one, of six, five of which are that bad."""
    means, broken = np.array([0.3, *[0.3 * 0.975] * 5]), 0
    for seed in range(runs):
        pictures = means + np.random.default_rng(seed).normal(0, 0.05, (512, 6))
        planned = plan_looks(len(pictures))
        for look in planned:
            widths = mean_errors(pictures[:look], error_rate=error_rate / len(planned), draws=1000, seed=seed)
            found = bound_regret(widths, k=1)
            if found.bound < REGRET:
                broken += found.chosen != (0,)
                break
    return broken / runs


def test_the_promise_is_kept_and_a_bound_that_is_too_small_is_found_out():
    assert broken_promises(error_rate=0.05) <= 0.05
    assert broken_promises(error_rate=4.5) > 0.05
