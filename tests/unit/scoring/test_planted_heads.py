"""Attention written onto the mask by hand: exactly the planted heads are found above the untrained twin."""

import numpy as np
import pytest
import torch

from headimpact.scoring import SCORES, WITHOUT_MASK, chance
from headimpact.scoring.head_statistics import build_head_scores
from tests.unit.scoring.makers import architecture, samples_from_table
from tests.unit.scoring.scenes import population

PLANTED = {(0, 1), (1, 0)}
PICTURES, SHAPE, CONTRAST = 40, (2, 3), 0.05
SHARES = (0.1, 0.3, 0.6)
SCORED = [name for name in SCORES if name not in WITHOUT_MASK]


@pytest.fixture(scope="module", name="models")
def two_models_on_the_same_pictures():
    """Give softmax maps `[pictures, 2, 3, tokens]` of a model and of a twin, which see some contrast, and the masks."""
    maps, masks = population(PICTURES, seed=3)
    plain = (1.5 * maps).softmax(dim=-1).reshape(PICTURES, *SHAPE, -1)
    return onto(plain, masks, CONTRAST), onto(plain.roll(1, dims=0), masks, CONTRAST), masks


def onto(maps, masks, share):
    """Spend a share of every head's attention on the mask."""
    inside = (masks / masks.sum(dim=1, keepdim=True))[:, None, None]
    return (1 - share) * maps + share * inside


def scored(name, maps, masks):
    """Score every map against every mask; the visual score of where each map is highest."""
    if name == "visual_score":
        maps = (maps == maps.amax(dim=-1, keepdim=True)).float()
    kernel, areas = SCORES.load(name), torch.ones(masks.shape[1])
    table = np.stack([kernel(one, masks, areas).flatten(1).numpy() for one in maps])
    samples = samples_from_table(table, shape=SHAPE)
    return build_head_scores(samples, architecture(), draws=999, bootstrap=300, options={"score": name})


def found(scores, twin):
    """Give the heads beyond chance whose gap lies above the twin's, intervals apart."""
    beyond = (scores.values["q"] <= 0.05) & (scores.values["gap_low"] > twin.values["gap_high"])
    return {(int(layer), int(head)) for layer, head in np.argwhere(beyond)}


@pytest.mark.parametrize("name", SCORED)
def test_exactly_the_planted_heads_are_found_and_their_gap_grows(name, models):
    maps, others, masks = models
    twin = scored(name, others, masks)
    assert found(scored(name, maps, masks), twin) == set()
    gaps = []
    for share in SHARES:
        planted = maps.clone()
        for layer, head in PLANTED:
            planted[:, layer, head] = onto(maps, masks, share)[:, layer, head]
        scores = scored(name, planted, masks)
        gaps.append([scores.values["gap"][place] for place in sorted(PLANTED)])
    assert found(scores, twin) == PLANTED
    assert (np.diff(gaps, axis=0) > 0).all()


@pytest.mark.parametrize("name", ["head_impact", "auroc"])
def test_a_broken_null_finds_none(name, models, monkeypatch):
    # The mask stays in place, so chance is the observed value itself.
    def identity(image_ids, *, block, seed=0):
        return np.tile(np.arange(len(image_ids)), (chance.DRAW_BLOCK, 1))

    monkeypatch.setattr(chance, "mask_orders", identity)
    maps, others, masks = models
    assert found(scored(name, onto(maps, masks, 0.6), masks), scored(name, others, masks)) == set()
