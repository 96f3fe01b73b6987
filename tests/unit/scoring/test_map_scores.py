"""Scores that need no mask: image attention and spatial entropy, and the pieces that the latter is made of."""

import math

import numpy as np
import pytest
import torch

from headimpact.scoring.image_attention import image_attention
from headimpact.scoring.spatial_entropy import CHOSEN_HEADS, elbow, lowest_shares, map_entropy, spatial_entropy
from headimpact.scoring.token_components import component_areas, touching_tokens
from tests.builders import mask
from tests.unit.scoring import plain_scores


def grid(rows, columns, *, x=(0.0, 1.0), y=(0.0, 1.0)):
    """Give the boxes of a grid of tokens over a part of the picture."""
    across, down = np.linspace(x[0], x[1], columns + 1), np.linspace(y[0], y[1], rows + 1)
    boxes = [(across[c], down[r], across[c + 1], down[r + 1]) for r in range(rows) for c in range(columns)]
    return torch.tensor(boxes, dtype=torch.float64)


def drawn(*rows):
    """Make one map that is 1 where something is drawn, 0 elsewhere."""
    return torch.from_numpy(mask(*rows).astype(np.float32)).flatten()[None, None]


DRAWINGS = {
    "one piece": (("##..", "##..", "....", "...."), 0.0),
    "two equal pieces": (("##..", "....", "..##", "...."), math.log(2)),
    "corners touch": (("#...", ".#..", "..#.", "...#"), 0.0),
    "one and three": (("###.", "....", "....", "...#"), -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))),
    "a ring around a dot": (("#####", "#...#", "#.#.#", "#...#", "#####"), None),
    "a spiral": (("#####", "....#", "###.#", "#...#", "#####"), 0.0),
}


@pytest.mark.parametrize(("rows", "entropy"), DRAWINGS.values(), ids=DRAWINGS)
def test_entropy_worked_by_hand(rows, entropy):
    entropy = -(16 / 17 * math.log(16 / 17) + 1 / 17 * math.log(1 / 17)) if entropy is None else entropy
    found = map_entropy(drawn(*rows), grid(len(rows), len(rows[0])))
    assert found.item() == pytest.approx(entropy, abs=1e-6)
    assert plain_scores.map_entropy(mask(*rows).astype(float)) == pytest.approx(entropy, abs=1e-9)


def test_the_map_is_cut_at_its_mean():
    # Mean 0.194: of the two pieces that stand out, one falls below it.
    maps = torch.tensor([[[0.5, 0.1, 0.1, 0.5, 0.1, 0.1, 0.1, 0.1, 0.15]]])
    assert map_entropy(maps, grid(3, 3)).item() == 0.0


@pytest.mark.parametrize("level", [0.0, 0.1])
def test_a_map_without_a_region_has_no_entropy(level):
    assert map_entropy(torch.full((1, 1, 9), level), grid(3, 3)).isnan().all()


def test_entropy_agrees_with_plain_loops():
    generator = np.random.default_rng(0)
    maps = generator.random((4, 5, 7, 7)).astype(np.float32) ** generator.integers(1, 5, (4, 5, 1, 1))
    found = map_entropy(torch.from_numpy(maps).flatten(2).float(), grid(7, 7)).numpy()
    for place in np.ndindex(found.shape):
        assert found[place] == pytest.approx(plain_scores.map_entropy(maps[place].astype(np.float32)), abs=1e-6)
    assert len(np.unique(found.round(4))) > 10


def test_tokens_touch_across_the_border_of_tiles():
    boxes = torch.cat([grid(2, 2, x=(0.0, 0.5)), grid(2, 2, x=(0.5, 1.0))])
    touching = [set(row.tolist()) for row in touching_tokens(boxes)]
    assert touching[0] == {0, 1, 2, 3}
    assert touching[1] == {0, 1, 2, 3, 4, 6}
    joined = torch.tensor([[[0, 1.0, 0, 0, 1.0, 0, 0, 0]]])
    assert map_entropy(joined, boxes).item() == 0.0
    assert map_entropy(joined, boxes, views=torch.tensor([0] * 4 + [1] * 4)).item() == 0.0
    apart = torch.tensor([[[1.0, 0, 0, 0, 0, 1.0, 0, 0]]])
    assert map_entropy(apart, boxes).item() == pytest.approx(math.log(2))


def test_touching_tokens_do_not_depend_on_blocks(monkeypatch):
    whole = touching_tokens(grid(5, 6))
    monkeypatch.setattr("headimpact.scoring.token_components.PAIRS_AT_ONCE", 70)
    assert torch.equal(touching_tokens(grid(5, 6) / 2), whole)  # other boxes, so not what is remembered
    assert whole.shape == (30, 9)


def test_pieces_are_measured_in_area():
    weights = torch.tensor([1.0, 0.5, 1.0, 0.25]).double()
    regions = torch.tensor([[True, True, False, True], [False] * 4])
    found = component_areas(regions, touching_tokens(grid(1, 4)), weights)
    assert found.tolist() == [[0.0, 1.5, 0.0, 0.25], [0.0] * 4]


def test_image_attention_worked_by_hand():
    boxes = torch.cat([grid(2, 2), torch.zeros(1, 4)])
    maps = torch.tensor([[[0.1, 0.2, 0.0, 0.3, 0.4], [0.0] * 5, [torch.nan] * 5]])
    found = image_attention(maps, boxes)[0]
    assert found[:2].tolist() == pytest.approx([0.6, 0.0])
    assert found[2].isnan()
    # The whole picture and its left half: 0.3 by area 1 and 0.3 by area 0.5.
    views = torch.tensor([0, 0, 1, 1])
    tiled = torch.cat([grid(1, 2), grid(1, 2, x=(0.0, 0.5))])
    found = image_attention(torch.tensor([[[0.1, 0.2, 0.0, 0.6]]]), tiled, views=views)
    assert found.item() == pytest.approx((0.3 * 1 + 0.6 * 0.5) / 1.5)


ELBOWS = {
    "knee": ([0.9, 0.1, 0.1, 0.1, 0.2], 0.2),
    "all the same": ([0.3, 0.3, 0.3], 0.3),
    "on a line": ([0.25, 0.5, 0.75], 0.25),
    "one": ([0.7], 0.7),
    "two": ([0.7, 0.2], 0.2),
}


@pytest.mark.parametrize(("values", "value"), ELBOWS.values(), ids=ELBOWS)
def test_elbow_worked_by_hand(values, value):
    assert elbow(torch.tensor(values)) == pytest.approx(value, abs=1e-6)


def test_elbow_agrees_with_perpendicular_distance():
    generator = np.random.default_rng(2)
    for count in range(3, 40):
        values = generator.random(count) ** 4
        assert elbow(torch.from_numpy(values)) == pytest.approx(plain_scores.elbow(values.tolist()))


def test_the_lowest_share_their_places():
    assert lowest_shares(torch.tensor([0.0, 0.0, 0.0, 1.0]), count=2).tolist() == pytest.approx([2 / 3] * 3 + [0.0])
    assert lowest_shares(torch.tensor([3.0, 1.0]), count=10).tolist() == [1.0, 1.0]


def test_a_picture_chooses_heads_that_look_at_it_in_one_piece():
    blob, scattered = drawn("##..", "##..", "....", "...."), drawn("#..#", "....", "....", "#..#")
    # Eight heads hardly look, the last of them is the elbow; of the others one is scattered, one the same everywhere.
    looks = [0.001 * number * blob for number in range(8)] + [0.1 * blob, 0.2 * blob, 0.2 * scattered]
    found = spatial_entropy(torch.cat([*looks, torch.full((1, 1, 16), 0.05)], dim=1), grid(4, 4))[0]
    assert found.tolist() == [0.0] * 7 + [1.0] * 4 + [0.0]


def test_places_are_shared_among_heads_of_the_same_entropy():
    generator = torch.Generator().manual_seed(0)
    blob, scattered = drawn("##..", "##..", "....", "...."), drawn("#..#", "....", "....", "#..#")
    maps = torch.cat([blob] * 3 + [scattered] * 21, dim=1)[:, torch.randperm(24, generator=generator)]
    found = spatial_entropy(maps.reshape(4, 6, 16), grid(4, 4))
    assert found.sum().item() == pytest.approx(CHOSEN_HEADS, abs=1e-5)
    assert sorted(found.flatten().tolist()) == pytest.approx([(CHOSEN_HEADS - 3) / 21] * 21 + [1.0] * 3)


def test_heads_without_values_take_no_part():
    blob = drawn("##..", "##..", "....", "....")
    found = spatial_entropy(torch.cat([blob, torch.nan * blob, 0 * blob], dim=1), grid(4, 4))[0]
    assert found[0] == 1.0
    assert found[1].isnan()
    assert found[2] == 0.0
    assert spatial_entropy(torch.nan * blob, grid(4, 4)).isnan().all()


@pytest.mark.parametrize("score", [image_attention, map_entropy, spatial_entropy])
def test_equivariance_and_range(score):
    generator = torch.Generator().manual_seed(0)
    maps = (4 * torch.rand(3, 8, 36, generator=generator)).softmax(-1) * torch.rand(3, 8, 1, generator=generator)
    boxes = grid(6, 6)
    found = score(maps, boxes)
    assert found.shape == (3, 8)
    assert found.dtype == torch.float32
    assert found.min() >= 0
    assert found.max() <= (math.log(18) if score is map_entropy else 1)
    heads = torch.randperm(24, generator=generator)
    moved = score(maps.flatten(0, 1)[heads].reshape(3, 8, 36), boxes)
    assert torch.allclose(moved.flatten(), found.flatten()[heads], atol=1e-6)
    tokens = torch.randperm(36, generator=generator)
    assert torch.allclose(score(maps[..., tokens], boxes[tokens]), found, atol=1e-6)
