"""The null is proven: pictures and masks are re-paired at random, and then nothing may be found too often."""

import numpy as np
import pytest
import torch

from headimpact.scoring import SCORES, chance
from headimpact.scoring.aggregation import aggregate_layers
from headimpact.scoring.swap_tables import build_swap_tables
from tests.unit.scoring.makers import samples_from_table
from tests.unit.scoring.scenes import binomial_interval, population, score_all

REPAIRINGS, DRAWS = 200, 199
LEVELS = (0.01, 0.05, 0.1)


@pytest.fixture(scope="module", name="pairs")
def every_map_against_every_mask():
    maps, masks = population(48)
    return maps, masks, score_all(maps, masks)


def with_layer(means):
    """Append the mean over heads, as a layer."""
    return np.concatenate([means, aggregate_layers(means[:, None])], axis=1)


def rejections(table, *, donors=64, repairings=REPAIRINGS, seed=0):
    """Re-pair, draw a fresh null, and give p `[re-pairings, heads + layer]`."""
    generator = np.random.default_rng(seed)
    found = []
    for repairing in range(repairings):
        masks = generator.permutation(len(table))
        samples = samples_from_table(table[:, masks], donors=donors, seed=repairing)
        tally = chance.tally_null(build_swap_tables(samples), draws=DRAWS, seed=repairing, statistic=with_layer)
        found.append(tally.p_values())
    return np.array(found)


def share_with_any_discovery(p_values):
    """Give the share of re-pairings in which a head is found at a false discovery rate of 5 %."""
    return np.mean([(chance.false_discovery_rates(p[:-1]) <= 0.05).any() for p in p_values])


def test_scoring_after_re_pairing_is_looking_up_the_pair(pairs):
    maps, masks, table = pairs
    order = np.random.default_rng(0).permutation(len(table))
    assert np.array_equal(score_all(maps[:5], masks[torch.from_numpy(order)]), table[:5][:, order])


@pytest.mark.parametrize("donors", [64, 15], ids=["one group", "three groups"])
def test_rejects_at_its_nominal_rate(pairs, donors):
    p_values = rejections(pairs[2], donors=donors)
    for level in LEVELS:
        low, high = binomial_interval(REPAIRINGS, level, level=0.999)
        hits = (p_values <= level).sum(axis=0)
        assert ((low <= hits) & (hits <= high)).all(), (level, hits)
        low, high = binomial_interval(REPAIRINGS, level, level=0.95)
        assert low <= hits[:-1].mean() <= high, (level, hits)
    assert share_with_any_discovery(p_values) <= binomial_interval(REPAIRINGS, 0.05, level=0.95)[1] / REPAIRINGS


def test_a_fixed_bank_is_found_out(pairs, monkeypatch):
    # One bank of few masks for all pictures, as a broken null: its sizes differ from the pictures'.
    def from_bank(image_ids, *, block, seed=0):
        generator = np.random.default_rng([seed, block])
        bank = generator.choice(len(image_ids), 6, replace=False)
        return generator.choice(bank, size=(chance.DRAW_BLOCK, len(image_ids)))

    monkeypatch.setattr(chance, "mask_orders", from_bank)
    p_values = rejections(pairs[2], repairings=60)
    assert (p_values <= 0.05).mean() > 0.15
    assert share_with_any_discovery(p_values) > 0.15


def test_a_null_without_confounders_is_found_out(pairs, monkeypatch):
    # A null that leaves the mask in place, as another broken one: nothing is ever beyond chance.
    def identity(image_ids, *, block, seed=0):
        return np.tile(np.arange(len(image_ids)), (chance.DRAW_BLOCK, 1))

    monkeypatch.setattr(chance, "mask_orders", identity)
    assert (rejections(pairs[2], repairings=20) == 1.0).all()


def test_a_planted_head_is_found_and_the_gap_grows():
    maps, masks = population(48, seed=1)
    found = []
    for share in (0.0, 0.5, 1.0):
        planted = maps.clone()
        planted[:, 0, 2] += 4 * share * masks
        tables = build_swap_tables(samples_from_table(score_all(planted, masks)))
        tally = chance.tally_null(tables, draws=999)
        found.append((tally.p_values()[2], (tally.observed - tally.mean())[2]))
        others = np.delete(tally.p_values(), 2)
        assert (chance.false_discovery_rates(others) > 0.05).all()
    assert found[0][0] > 0.05
    assert found[1][0] == found[2][0] == 1 / 1000
    assert found[0][1] < found[1][1] < found[2][1]


CONTINUOUS = ("attention_mass", "energy_pointing", "area_enrichment", "auroc", "average_precision")
"""Scores that take so many values that pictures' means hardly ever tie."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name not in {"auroc", "pointing_game"} else [])
        for name in (*CONTINUOUS, "pointing_game", "visual_score")
    ],
)
def test_other_scores_reject_at_their_nominal_rate(name):
    maps, masks = population(48, seed=4)
    maps = maps.softmax(dim=-1)
    if name == "visual_score":
        maps = (maps == maps.amax(dim=-1, keepdim=True)).float()
    p_values = rejections(score_all(maps, masks, SCORES.load(name)))
    for level in LEVELS:
        low, high = binomial_interval(REPAIRINGS, level, level=0.999)
        hits = (p_values <= level).sum(axis=0)
        assert (hits <= high).all(), (level, hits)
        if name in CONTINUOUS:  # means of hits and misses tie, and ties count against a discovery
            assert (low <= hits).all(), (level, hits)
    assert share_with_any_discovery(p_values) <= binomial_interval(REPAIRINGS, 0.05, level=0.95)[1] / REPAIRINGS


@pytest.mark.slow
def test_rejects_at_its_nominal_rate_at_full_size():
    maps, masks = population(128, seed=2)
    p_values = rejections(score_all(maps, masks), repairings=1000)
    for level in LEVELS:
        low, high = binomial_interval(1000, level, level=0.999)
        hits = (p_values <= level).sum(axis=0)
        assert ((low <= hits) & (hits <= high)).all(), (level, hits)
