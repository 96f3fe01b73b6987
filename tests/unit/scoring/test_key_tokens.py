import numpy as np
import pytest
import torch

from headimpact.scoring.key_tokens import key_tokens, token_weights
from tests.unit.scoring.makers import plain_key_tokens

CASES = {
    "half covered counts": ([0.5, 0.49, 1.0, 0.0, 0.0], [1, 1, 1, 1, 1], [0, 2], None),
    "half covered but for rounding": ([0.49999997, 0.0, 0.0, 0.0], [1, 1, 1, 1], [0], None),
    "none half covered": ([0.1, 0.3, 0.0, 0.2], [1, 1, 1, 1], [1], None),
    "none half covered, equal ones": ([0.3, 0.3, 0.0, 0.2], [1, 1, 1, 1], [0, 1], None),
    "nothing touched": ([0.0, 0.0, 0.0], [1, 1, 1], [], "cropped_away"),
    "only padding touched": ([0.0, 0.0, 1.0], [1, 1, 0], [], "cropped_away"),
    "exactly 0.8 is kept": ([1, 1, 1, 1, 0], [1, 1, 1, 1, 1], [0, 1, 2, 3], None),
    "more than 0.8": ([1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [0, 1, 2, 3, 4], "covers_too_much"),
    "more than 0.8 by area": ([1, 0], [9, 1], [0], "covers_too_much"),
    "little by area": ([1, 0], [1, 9], [0], None),
    "no token has a place": ([0.4, 0.6], [0, 0], [], "cropped_away"),
}


@pytest.mark.parametrize(("coverage", "areas", "inside", "skipped"), CASES.values(), ids=CASES)
def test_key_tokens(coverage, areas, inside, skipped):
    found = key_tokens(torch.tensor([coverage], dtype=torch.float32), torch.tensor(areas, dtype=torch.float32))
    assert found.skipped == (skipped,)
    assert found.inside[0].nonzero()[:, 0].tolist() == inside


def test_masks_are_judged_one_by_one():
    coverage = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.2, 0.1, 0.0]])
    found = key_tokens(coverage, torch.ones(3))
    assert found.skipped == (None, "cropped_away", "covers_too_much", None)
    assert found.inside.tolist() == [[True, False, False], [False] * 3, [True] * 3, [True, False, False]]


def test_agrees_with_plain_loops():
    generator = np.random.default_rng(1)
    for _ in range(200):
        coverage = np.round(generator.random(7) * generator.integers(0, 2, 7), 2)
        areas = generator.choice([0.0, 0.5, 1.0], 7)
        found = key_tokens(torch.from_numpy(coverage)[None], torch.from_numpy(areas))
        expected = plain_key_tokens(coverage, areas)
        assert (found.skipped[0] is not None) == (expected is None)
        if expected is not None:
            assert found.inside[0].nonzero()[:, 0].tolist() == expected


def test_areas_that_differ_by_rounding_are_equal():
    edges = torch.linspace(0, 1, 25, dtype=torch.float32)
    areas = (edges[1:] - edges[:-1]) * (edges[1:] - edges[:-1])
    assert len(set(areas.tolist())) > 1
    assert set(token_weights(areas).tolist()) == {1.0}


def test_no_areas_at_all():
    assert token_weights(torch.zeros(0)).shape == (0,)
    assert key_tokens(torch.zeros(2, 0), torch.zeros(0)).skipped == ("cropped_away", "cropped_away")
