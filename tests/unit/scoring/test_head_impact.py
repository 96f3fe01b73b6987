import numpy as np
import pytest
import torch

from headimpact.core.errors import OptionError, UnknownNameError
from headimpact.scoring.head_impact import RULES, head_impact, skip_reasons
from tests.unit.scoring.makers import plain_head_impact

SQUARE = [1.0, 1.0, 1.0, 1.0]


def score(attention, coverage, areas=None, **options):
    """Score one map against one mask."""
    maps = torch.tensor(attention, dtype=torch.float32)[None, None]
    weights = torch.tensor(areas or [1.0] * len(attention))
    return head_impact(maps, torch.tensor([coverage]), weights, **options).item()


AREA = {
    "looks at the object only": ([0.1, 0.7, 0.1, 0.1], [0.0, 1.0, 0.0, 0.0], SQUARE, 1.0),
    "looks elsewhere": ([0.7, 0.1, 0.15, 0.05], [0.0, 1.0, 0.0, 0.0], SQUARE, 0.0),
    "half of two tokens": ([0.4, 0.3, 0.2, 0.1], [1.0, 0.0, 1.0, 0.0], SQUARE, 1 / 3),
    "uniform over four": ([0.25] * 4, [0.0, 1.0, 0.0, 0.0], SQUARE, 0.25),
    "two tied for one place": ([0.4, 0.4, 0.2, 0.0], [0.0, 1.0, 0.0, 0.0], SQUARE, 0.5),
    "no attention at all": ([0.0] * 4, [1.0, 1.0, 0.0, 0.0], SQUARE, (1 + 4 / 3 + 0) / 6),
    "padding draws all attention": ([9.0, 0.1, 0.2, 0.3], [0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 1.0], 1.0),
    "last token in part": ([0.1, 0.2, 0.7], [0.0, 1.0, 0.0], [1.0, 1.0, 2.0], 0.0),
    "large token first": ([0.2, 0.1, 0.7], [0.0, 0.0, 1.0], [1.0, 1.0, 2.0], 1.0),
    "half of a large one": ([0.1, 0.2, 0.7], [1.0, 0.0, 0.0], [1.0, 2.0, 0.5], 0.0),
    "a hit in part": ([0.7, 0.2, 0.1, 0.1], [0.0, 1.0, 0.0, 0.0], [0.5, 1.0, 1.0, 1.0], 0.5 / 1.5),
}


@pytest.mark.parametrize(("attention", "coverage", "areas", "iou"), AREA.values(), ids=AREA)
def test_area_worked_by_hand(attention, coverage, areas, iou):
    assert score(attention, coverage, areas) == pytest.approx(iou, abs=1e-6)
    assert plain_head_impact(np.float32(attention), coverage, areas) == pytest.approx(iou, abs=1e-6)


RULE_CASES = {
    "mean": ("mean", {}, [0.1, 0.6, 0.2, 0.1], [0.0, 1.0, 1.0, 0.0], 0.5),
    "mean, smaller factor": ("mean", {"k": 0.7}, [0.1, 0.6, 0.2, 0.1], [0.0, 1.0, 1.0, 0.0], 1.0),
    "mean of a uniform map": ("mean", {}, [0.1] * 4, [0.0, 1.0, 1.0, 0.0], 0.0),
    "quantile": ("quantile", {"quantile": 0.5}, [0.1, 0.6, 0.2, 0.15], [0.0, 1.0, 0.0, 0.0], 0.5),
    "quantile of a uniform map": ("quantile", {"quantile": 0.5}, [0.1] * 4, [0.0, 1.0, 0.0, 0.0], 0.0),
    "otsu": ("otsu", {}, [0.1, 0.6, 0.55, 0.1], [0.0, 1.0, 1.0, 0.0], 1.0),
    "otsu of a uniform map": ("otsu", {}, [0.1] * 4, [0.0, 1.0, 1.0, 0.0], 0.0),
    "soft": ("soft", {}, [0.1, 0.2, 0.0, 0.0], [0.5, 0.5, 0.0, 0.0], (0.5 + 0.5) / (0.5 + 1.0)),
    "soft, no attention": ("soft", {}, [0.0] * 4, [1.0, 0.0, 0.0, 0.0], 0.0),
}


@pytest.mark.parametrize(("rule", "options", "attention", "coverage", "iou"), RULE_CASES.values(), ids=RULE_CASES)
def test_other_rules_worked_by_hand(rule, options, attention, coverage, iou):
    assert score(attention, coverage, rule=rule, **options) == pytest.approx(iou, abs=1e-6)


@pytest.mark.parametrize("levels", [3, 1000], ids=["many ties", "no ties"])
@pytest.mark.parametrize("areas", [[1.0] * 7, [0.5, 1, 1, 1, 1, 1, 0.0]], ids=["equal", "clipped and padding"])
def test_area_agrees_with_every_order_of_ties(levels, areas):
    generator = np.random.default_rng(3)
    maps = generator.integers(0, levels, (2, 3, 7)).astype(np.float32)
    coverage = (generator.random((5, 7)) > 0.6).astype(np.float32)
    coverage[-1] = 0.0
    # The clipped token ties with nothing: among tied tokens of unequal area the expectation is approximate.
    maps[:, :, 0] += 0.5
    found = head_impact(torch.from_numpy(maps), torch.from_numpy(coverage), torch.tensor(areas)).numpy()
    for place in np.ndindex(found.shape):
        mask, layer, head = place
        expected = plain_head_impact(maps[layer, head], coverage[mask], areas)
        assert found[place] == pytest.approx(expected, abs=1e-6, nan_ok=True), place
    assert np.isnan(found[-1]).all()


def test_ties_of_unequal_area_are_near_the_average_over_orders():
    generator = np.random.default_rng(5)
    for _ in range(20):
        areas = generator.choice([0.5, 1.0], 7).tolist()
        coverage = np.zeros(7, dtype=np.float32)
        coverage[generator.choice(7, 2, replace=False)] = 1.0
        found = score([0.1] * 7, coverage.tolist(), areas)
        assert found == pytest.approx(plain_head_impact(np.full(7, 0.1), coverage, areas), abs=0.04)


@pytest.mark.parametrize("rule", RULES)
def test_range_and_equivariance(rule):
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(3, 4, 30, generator=generator).softmax(-1)
    coverage = torch.rand(6, 30, generator=generator)
    areas = torch.rand(30, generator=generator) + 0.1
    found = head_impact(maps, coverage, areas, rule=rule)
    assert found.shape == (6, 3, 4)
    assert found.dtype == torch.float32
    assert ((found >= 0) & (found <= 1)).all()
    assert torch.equal(head_impact(maps.flip(1), coverage, areas, rule=rule), found.flip(2))
    assert torch.equal(head_impact(maps, coverage.flip(0), areas, rule=rule), found.flip(0))
    tokens = torch.randperm(30, generator=generator)
    moved = head_impact(maps[:, :, tokens], coverage[:, tokens], areas[tokens], rule=rule)
    assert torch.allclose(moved, found, atol=1e-6)
    assert torch.allclose(head_impact(3 * maps, coverage, areas, rule=rule), found, atol=1e-6)


def test_blocks_of_heads_change_nothing(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    maps, coverage = torch.rand(3, 4, 30, generator=generator), torch.rand(6, 30, generator=generator)
    whole = head_impact(maps, coverage, torch.ones(30))
    monkeypatch.setattr("headimpact.scoring.views.BLOCK_CELLS", 60)
    assert torch.equal(head_impact(maps, coverage, torch.ones(30)), whole)


def test_views_are_scored_apart_and_averaged_by_area():
    # The whole picture in one row of two tokens, its left half again in two small ones.
    maps = torch.tensor([[[0.9, 0.1, 0.1, 0.9]]])
    coverage = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    areas = torch.tensor([0.5, 0.5, 0.25, 0.25])
    views = torch.tensor([0, 0, 1, 1])
    assert head_impact(maps, coverage, areas, views=views).item() == pytest.approx((1.0 * 1 + 0.5 * 0) / 1.5)


def test_a_view_that_says_nothing_is_left_out():
    maps = torch.tensor([[[0.9, 0.1, 0.1, 0.9]]])
    coverage = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    areas, views = torch.ones(4), torch.tensor([0, 0, 1, 1])
    found = head_impact(maps, coverage, areas, views=views)[:, 0, 0]
    assert found[0] == 1.0
    assert found[1].isnan()
    assert skip_reasons(coverage, areas, views=views) == (None, "cropped_away")
    assert skip_reasons(coverage, areas) == (None, "cropped_away")


def test_a_head_without_values_has_no_score():
    maps = torch.tensor([[[0.9, 0.1], [torch.nan, torch.nan]]])
    found = head_impact(maps, torch.tensor([[1.0, 0.0]]), torch.ones(2))
    assert found[0, 0, 0] == 1.0
    assert found[0, 0, 1].isnan()


def test_masks_that_say_nothing_have_no_score():
    coverage = torch.tensor([[0.0] * 5, [1.0] * 5, [1.0, 0, 0, 0, 0]])
    found = head_impact(torch.rand(1, 2, 5), coverage, torch.ones(5))
    assert found[:2].isnan().all()
    assert not found[2].isnan().any()
    assert head_impact(torch.rand(1, 2, 5), coverage, torch.zeros(5)).isnan().all()


BAD = {
    "rule": ({"rule": "aera"}, UnknownNameError, "Did you mean 'area'"),
    "factor": ({"rule": "mean", "k": 0.0}, OptionError, "Expected a number above 0"),
    "quantile": ({"rule": "quantile", "quantile": 1.0}, OptionError, r"Expected a number in \(0, 1\)"),
}


@pytest.mark.parametrize(("options", "error", "message"), BAD.values(), ids=BAD)
def test_refused(options, error, message):
    with pytest.raises(error, match=message):
        score([0.5, 0.3, 0.1, 0.1], [1.0, 0.0, 0.0, 0.0], **options)
