"""Every score against a mask: cases worked by hand, edges, plain twins, and what holds for all of them."""

import numpy as np
import pytest
import torch

from headimpact.scoring import SCORES, WITHOUT_MASK
from headimpact.scoring.area_enrichment import area_enrichment
from headimpact.scoring.attention_mass import attention_mass
from headimpact.scoring.auroc import auroc
from headimpact.scoring.average_precision import average_precision
from headimpact.scoring.energy_pointing import energy_pointing
from headimpact.scoring.pointing_game import pointing_game
from headimpact.scoring.visual_score import visual_score
from tests.unit.scoring.plain_scores import PLAIN

SCORED = {name: SCORES.load(name) for name in SCORES if name not in WITHOUT_MASK}
SHARES = [name for name in SCORED if name != "area_enrichment"]
SCALE_FREE = [name for name in SCORED if name not in {"attention_mass", "visual_score"}]
BY_RANK = ["auroc", "average_precision", "pointing_game", "head_impact"]

SQUARE = [1.0, 1.0, 1.0, 1.0]
LOOKS, PAST = [0.1, 0.4, 0.2, 0.0], [0.2, 0.0, 0.4, 0.1]
ONE, TWO = [0.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 1.0]
UNEQUAL = [1.0, 1.0, 2.0, 0.0]

WORKED = {
    # On the 2 x 2 grid  a b / c d : attention, coverage, areas, value.
    "mass on one": (attention_mass, LOOKS, ONE, SQUARE, 0.4),
    "mass on two": (attention_mass, LOOKS, TWO, SQUARE, 0.4),
    "mass of padding does not count": (attention_mass, [0.1, 0.4, 0.2, 0.3], [0, 1, 0, 1], UNEQUAL, 0.4),
    "energy": (energy_pointing, LOOKS, ONE, SQUARE, 0.4 / 0.7),
    "energy past it": (energy_pointing, PAST, ONE, SQUARE, 0.0),
    "energy without padding": (energy_pointing, [0.1, 0.4, 0.2, 0.3], ONE, UNEQUAL, 0.4 / 0.7),
    "enrichment of one": (area_enrichment, LOOKS, ONE, SQUARE, 0.4 / 0.7 / 0.25),
    "enrichment of two": (area_enrichment, LOOKS, TWO, SQUARE, 0.4 / 0.7 / 0.5),
    "enrichment, unequal": (area_enrichment, [0.1, 0.4, 0.2, 0.3], [0, 0, 1, 0], UNEQUAL, 0.2 / 0.7 / 0.5),
    "pointing hits": (pointing_game, LOOKS, ONE, SQUARE, 1.0),
    "pointing misses": (pointing_game, PAST, ONE, SQUARE, 0.0),
    "pointing, two tied": (pointing_game, [0.4, 0.4, 0.2, 0.0], ONE, SQUARE, 0.5),
    "pointing, tied by area": (pointing_game, [0.4, 0.1, 0.4, 0.0], [1, 0, 0, 0], UNEQUAL, 1 / 3),
    "pointing, padding is highest": (pointing_game, [0.1, 0.4, 0.2, 0.9], ONE, UNEQUAL, 1.0),
    # Of the rows 2 in 5 peak at b, 1 in 5 at c; the others at text.
    "visual score of one": (visual_score, [0, 0.4, 0.2, 0], ONE, SQUARE, 0.4),
    "visual score of two": (visual_score, [0, 0.4, 0.2, 0], TWO, SQUARE, 0.4 / 2),
    "visual score, unequal": (visual_score, [0, 0.4, 0.2, 0], [0, 0, 1, 0], UNEQUAL, 0.2),
    # Key tokens b, d (0.4, 0.0) against a, c (0.1, 0.2): b wins both pairs, d none.
    "auroc of two": (auroc, LOOKS, TWO, SQUARE, 2 / 4),
    "auroc, a tie": (auroc, [0.1, 0.1, 0.2, 0.0], ONE, SQUARE, 1.5 / 3),
    "auroc, by area": (auroc, [0.1, 0.15, 0.2, 0.9], ONE, UNEQUAL, 1 / 3),
    # b first (1 of 1), d last (2 of 4).
    "precision of two": (average_precision, LOOKS, TWO, SQUARE, (1 / 1 + 2 / 4) / 2),
    "precision, a tie": (average_precision, [0.1, 0.2, 0.2, 0.0], ONE, SQUARE, 1 / 2),
    "precision, a tie of key tokens": (average_precision, [0.1, 0.4, 0.4, 0.4], TWO, SQUARE, 2 / 3),
    "precision, by area": (average_precision, [0.1, 0.15, 0.2, 0.9], ONE, UNEQUAL, 1 / 3),
}


def one(score, attention, coverage, areas):
    """Score one map against one mask."""
    maps = torch.tensor(attention, dtype=torch.float32)[None, None]
    return score(maps, torch.tensor([coverage], dtype=torch.float32), torch.tensor(areas)).item()


@pytest.mark.parametrize(("score", "attention", "coverage", "areas", "value"), WORKED.values(), ids=WORKED)
def test_worked_by_hand(score, attention, coverage, areas, value):
    assert one(score, attention, coverage, areas) == pytest.approx(value, abs=1e-6)
    assert PLAIN[score.__name__](attention, coverage, areas) == pytest.approx(value, abs=1e-6)


EVERYWHERE_ALIKE = {
    "head_impact": (1 + 4 / 3) / 6,
    "energy_pointing": 0.5,
    "area_enrichment": 1.0,
    "pointing_game": 0.5,
    "auroc": 0.5,
    "average_precision": 0.5,
}


@pytest.mark.parametrize("level", [0.25, 0.0], ids=["uniform", "no attention"])
@pytest.mark.parametrize("name", EVERYWHERE_ALIKE)
def test_attention_that_is_the_same_everywhere(name, level):
    assert one(SCORED[name], [level] * 4, TWO, SQUARE) == pytest.approx(EVERYWHERE_ALIKE[name], abs=1e-6)


@pytest.mark.parametrize("level", [0.25, 0.0], ids=["uniform", "no attention"])
def test_the_mass_of_such_a_head_is_what_it_spends(level):
    assert one(attention_mass, [level] * 4, TWO, SQUARE) == pytest.approx(2 * level)


@pytest.mark.parametrize("name", SCORED)
def test_masks_that_say_nothing_have_no_score(name):
    coverage = torch.tensor([[0.0] * 5, [1.0] * 5, [1.0, 0, 0, 0, 0]])
    found = SCORED[name](torch.rand(1, 2, 5), coverage, torch.ones(5))
    assert found[:2].isnan().all()
    assert not found[2].isnan().any()
    assert SCORED[name](torch.rand(1, 2, 5), coverage, torch.zeros(5)).isnan().all()


@pytest.mark.parametrize("name", SCORED)
def test_a_head_without_values_has_no_score(name):
    found = SCORED[name](torch.tensor([[[0.9, 0.1], [torch.nan] * 2]]), torch.tensor([[1.0, 0.0]]), torch.ones(2))
    assert not found[0, 0, 0].isnan()
    assert found[0, 0, 1].isnan()


@pytest.mark.parametrize("name", SCORED)
def test_views_are_scored_apart_and_averaged_by_area(name):
    generator = torch.Generator().manual_seed(1)
    maps, areas = torch.rand(2, 3, 9, generator=generator), torch.tensor([0.25] * 4 + [0.1] * 5)
    coverage = torch.tensor([[1.0, 0, 0, 0, 0, 1, 0, 1, 0], [0, 0, 1.0, 0, 0, 0, 0, 0, 0]])
    views = torch.tensor([0] * 4 + [1] * 5)
    score = SCORED[name]
    whole, tiles = (score(maps[..., cut], coverage[:, cut], areas[cut]) for cut in (slice(4), slice(4, 9)))
    found = score(maps, coverage, areas, views=views)
    assert torch.allclose(found[0], (1.0 * whole[0] + 0.5 * tiles[0]) / 1.5, atol=1e-6)
    assert tiles[1].isnan().all()
    assert torch.allclose(found[1], whole[1], atol=1e-6)


@pytest.mark.parametrize("levels", [3, 1000], ids=["many ties", "no ties"])
@pytest.mark.parametrize("areas", [[1.0] * 9, [0.5, 1, 1, 0.25, 1, 1, 1, 0.5, 0.0]], ids=["equal", "unequal"])
@pytest.mark.parametrize("name", [name for name in SCORED if name != "head_impact"])
def test_agrees_with_plain_loops(name, areas, levels):
    generator = np.random.default_rng(3)
    maps = (generator.integers(0, levels, (2, 3, 9)) / 1024).astype(np.float32)
    coverage = (generator.random((12, 9)) > generator.random((12, 1))).astype(np.float32)
    found = SCORED[name](torch.from_numpy(maps), torch.from_numpy(coverage), torch.tensor(areas)).numpy()
    assert 0 < np.isnan(found[:, 0, 0]).sum() < 12
    for mask, layer, head in np.ndindex(found.shape):
        expected = PLAIN[name](maps[layer, head].tolist(), coverage[mask], areas)
        assert found[mask, layer, head] == pytest.approx(expected, abs=1e-6, nan_ok=True), (mask, layer, head)


@pytest.fixture(scope="module", name="scene")
def make_scene():
    generator = torch.Generator().manual_seed(0)
    maps = 0.9 * torch.rand(3, 4, 30, generator=generator).softmax(-1)
    return maps, torch.rand(9, 30, generator=generator), torch.rand(30, generator=generator) + 0.1


@pytest.mark.parametrize("name", SCORED)
def test_equivariance(name, scene):
    maps, coverage, areas = scene
    score = SCORED[name]
    found = score(maps, coverage, areas)
    assert found.shape == (9, 3, 4)
    assert found.dtype == torch.float32
    assert torch.allclose(score(maps.flip(1), coverage, areas), found.flip(2), atol=1e-6)
    assert torch.allclose(score(maps, coverage.flip(0), areas), found.flip(0), atol=1e-6)
    tokens = torch.randperm(30, generator=torch.Generator().manual_seed(4))
    assert torch.allclose(score(maps[:, :, tokens], coverage[:, tokens], areas[tokens]), found, atol=1e-6)


@pytest.mark.parametrize("name", SHARES)
def test_shares_lie_between_0_and_1(name, scene):
    found = SCORED[name](*scene)
    assert ((found >= 0) & (found <= 1)).all()
    assert found.std() > (0.0005 if name == "visual_score" else 0.005)


@pytest.mark.parametrize("name", SCALE_FREE)
def test_how_much_a_head_looks_at_the_picture_does_not_matter(name, scene):
    maps, coverage, areas = scene
    assert torch.allclose(SCORED[name](maps / 4, coverage, areas), SCORED[name](maps, coverage, areas), atol=1e-6)


@pytest.mark.parametrize("name", BY_RANK)
def test_only_the_order_of_attention_matters(name, scene):
    maps, coverage, areas = scene
    assert torch.equal(SCORED[name](maps.exp(), coverage, areas), SCORED[name](maps, coverage, areas))


@pytest.mark.parametrize("name", SCORED)
def test_a_head_that_sees_only_the_object_has_the_highest_score(name, scene):
    maps, coverage, areas = scene
    inside = coverage[0] >= 0.5
    enriched = areas.sum() / areas[inside].sum()
    best = {"area_enrichment": enriched, "visual_score": 1 / inside.sum()}.get(name, 1.0)
    only = (inside / inside.sum()).expand(1, 1, -1)
    found = SCORED[name](only, coverage[:1], areas)
    assert found.item() == pytest.approx(float(best), rel=1e-3)
    assert (SCORED[name](maps, coverage[:1], areas) < found).all() or name == "pointing_game"


def test_masses_and_shares_of_disjoint_masks_add_up(scene):
    maps, _, areas = scene
    first, second = torch.zeros(30), torch.zeros(30)
    first[:5], second[10:20] = 1.0, 1.0
    for score in (attention_mass, energy_pointing, pointing_game):
        parts = score(maps, torch.stack([first, second, first + second]), areas)
        assert torch.allclose(parts[0] + parts[1], parts[2], atol=1e-6)


def test_turning_attention_over_turns_auroc_over(scene):
    maps, coverage, areas = scene
    assert torch.allclose(auroc(1 - maps, coverage, areas), 1 - auroc(maps, coverage, areas), atol=1e-6)


@pytest.mark.parametrize("name", SCORED)
def test_blocks_of_heads_change_nothing(name, scene, monkeypatch):
    whole = SCORED[name](*scene)
    monkeypatch.setattr("headimpact.scoring.views.BLOCK_CELLS", 600)
    assert torch.allclose(SCORED[name](*scene), whole, atol=1e-7)
