"""Choices against draws: the tail of Student's t, Holm's correction, effect sizes."""

import math

import numpy as np
import pytest

from headimpact.comparison.arm_tests import holm, one_more_draw_p, student_p, weigh_choices


def integrated_tail(t, degrees):
    """Integrate the density of Student's t, the slow way."""
    x = np.linspace(0.0, abs(t), 100_001)
    scale = math.gamma((degrees + 1) / 2) / (math.sqrt(degrees * math.pi) * math.gamma(degrees / 2))
    return 1 - 2 * np.trapezoid(scale * (1 + x**2 / degrees) ** (-(degrees + 1) / 2), x)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 9, 18, 64])
def test_the_tail_of_t_is_that_of_its_density(degrees):
    for t in (0.0, 0.4, -1.3, 2.8, 7.0):
        assert student_p(t, degrees) == pytest.approx(integrated_tail(t, degrees), abs=1e-8)


def test_the_tail_of_t_is_that_of_the_printed_tables():
    for t, degrees in ((12.7062, 1), (4.30265, 2), (2.22814, 10), (2.10092, 18)):
        assert student_p(t, degrees) == pytest.approx(0.05, abs=1e-5)


def test_one_more_draw_is_found_significant_as_often_as_promised():
    generator = np.random.default_rng(0)
    p = [
        one_more_draw_p(value, draws)
        for value, *rest in generator.normal(size=(4000, 11))
        for draws in [np.array(rest)]
    ]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.01)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_keeps_false_findings_of_a_family_below_five_percent():
    p = np.random.default_rng(1).random((4000, 5))
    assert np.mean([min(holm(row)) <= 0.05 for row in p]) == pytest.approx(0.05, abs=0.012)
    assert np.mean(p.min(axis=1) <= 0.05) > 0.2


def test_effect_size_and_share_by_hand():
    draws = np.array([0.2, 0.4, 0.6])
    found = weigh_choices({"top": (0.8, "random"), "low": (0.4, "random")}, {"random": draws})
    assert [found[name].effect_size for name in ("top", "low")] == pytest.approx([2.0, 0.0])
    assert [found[name].share_beaten for name in ("top", "low")] == [1.0, 0.5]
    assert found["top"].p == one_more_draw_p(0.8, draws)
    assert [found[name].p_holm for name in ("top", "low")] == holm([found["top"].p, found["low"].p])


@pytest.mark.parametrize(
    "draws",
    [
        pytest.param({}, id="none"),
        pytest.param({"random": np.array([0.1, 0.2])}, id="two"),
        pytest.param({"random": np.full(5, 0.3)}, id="alike"),
    ],
)
def test_draws_without_a_spread_give_no_test(draws):
    assert weigh_choices({"top": (0.8, "random")}, draws) == {}
