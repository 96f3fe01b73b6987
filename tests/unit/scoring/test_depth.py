"""Depth alone: a parabola in the layer number, its peak, and what it explains."""

import numpy as np
import pytest

from headimpact.scoring.depth import depth_alone


def depth(values):
    """Fit heads of which some have a score."""
    found = depth_alone(values)
    assert found is not None
    return found


BULGE = np.array([0.0, 3.0, 4.0, 3.0, 0.0])


def test_a_bulge_in_the_middle_is_all_depth():
    found = depth(np.stack([BULGE, BULGE], axis=1))
    assert (found.best, found.layer_idx) == (pytest.approx(4.0), 2)
    assert found.explained == pytest.approx(1.0)


def test_worked_by_hand():
    # Residuals of the parabola are +-1 within each layer: RSS 10 over 10 heads; TSS = 10 + 2 * 14 (layer means from 2).
    values = np.stack([BULGE + 1, BULGE - 1], axis=1)
    total = 10 + 2 * float(((BULGE - BULGE.mean()) ** 2).sum())
    assert depth(values).explained == pytest.approx(1 - (10 / 7) / (total / 9))


def test_it_is_the_best_guess_for_a_head_of_that_layer():
    generator = np.random.default_rng(0)
    values = generator.random((9, 7))
    x = np.repeat(np.arange(9.0), 7)
    fitted = np.polyval(np.polyfit(x, values.ravel(), 2), np.arange(9.0))
    found = depth(values)
    assert found.layer_idx == int(fitted.argmax())
    assert found.best == pytest.approx(fitted.max())
    assert found.explained <= 1


def test_heads_without_anything_to_do_with_depth_are_not_explained():
    generator = np.random.default_rng(1)
    explained = [depth(generator.random((12, 8))).explained for _ in range(300)]
    assert abs(np.mean(explained)) < 0.01


def test_heads_without_a_score_are_left_out():
    values = np.stack([BULGE, BULGE], axis=1)
    values[4], values[0, 1] = np.nan, np.nan
    found = depth(values)
    assert found.layer_idx == 2
    assert found.explained == pytest.approx(1.0)
    assert depth_alone(np.full((2, 2), np.nan)) is None


@pytest.mark.parametrize(
    ("values", "best"),
    [([[0.5, 0.7]], 0.6), ([[0.2], [0.4]], 0.4), ([[0.3, 0.3], [0.3, 0.3]], 0.3), ([[0.1], [0.5], [0.2]], 0.5)],
    ids=["one layer", "one head a layer", "all the same", "three layers"],
)
def test_too_little_to_explain_anything(values, best):
    found = depth(np.array(values))
    assert found.best == pytest.approx(best)
    assert np.isnan(found.explained) or found.explained == pytest.approx(0.0, abs=1e-9)
