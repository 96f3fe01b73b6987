"""Best and worst heads, heads beyond chance."""

import numpy as np
import pytest

from headimpact.report.ranking import beyond_chance, highest, rank_heads

NAN = np.nan


@pytest.mark.parametrize(
    ("values", "count", "best", "worst"),
    [
        pytest.param([[0.3, 0.1], [0.2, 0.4]], 1, ((1, 1),), ((0, 1),), id="by_hand"),
        pytest.param([[0.1, 0.1], [0.1, 0.1]], 2, ((0, 0), (0, 1)), ((1, 0), (1, 1)), id="ties_keep_their_order"),
        pytest.param([[0.1, NAN]], 3, ((0, 0),), (), id="one_head"),
        pytest.param([[NAN, NAN]], 3, (), (), id="no_head"),
        pytest.param([[0.1, 0.2, 0.3]], 2, ((0, 2), (0, 1)), ((0, 0),), id="no_head_twice"),
    ],
)
def test_rank_heads(values, count, best, worst):
    assert rank_heads(np.array(values), count=count) == (best, worst)


def test_rank_heads_permutes_with_the_heads():
    rng = np.random.default_rng(0)
    values, order = rng.random((4, 6)), rng.permutation(6)
    best, worst = rank_heads(values[:, order], count=3)
    expected_best, expected_worst = rank_heads(values, count=3)
    assert tuple((layer, int(order[head])) for layer, head in best) == expected_best
    assert tuple((layer, int(order[head])) for layer, head in worst) == expected_worst


def test_beyond_chance():
    assert beyond_chance(np.array([[0.05, 0.051], [NAN, 0.0]])).tolist() == [[True, False], [False, True]]


def test_highest():
    assert highest(np.array([0.1, NAN]), np.array([[0.4]])) == pytest.approx(0.4)
    assert highest(np.array([-0.5, 0.2]), size_only=True) == pytest.approx(0.5)
    assert highest(np.array([NAN])) == pytest.approx(0.0)
