import numpy as np
import pytest
import torch

from headimpact.scoring.binarization import above_mean, above_otsu, above_quantile


def plain_otsu(values, weights):
    """Try every cut between two different values."""
    best, cut = -1.0, None
    for level in sorted(set(values))[:-1]:
        low = [j for j, value in enumerate(values) if value <= level]
        high = [j for j, value in enumerate(values) if value > level]
        w0, w1 = sum(weights[j] for j in low), sum(weights[j] for j in high)
        mu0 = sum(weights[j] * values[j] for j in low) / w0
        mu1 = sum(weights[j] * values[j] for j in high) / w1
        if w0 * w1 * (mu0 - mu1) ** 2 > best + 1e-12:
            best, cut = w0 * w1 * (mu0 - mu1) ** 2, level
    return [cut is not None and value > cut for value in values]


def plain_quantile(values, weights, quantile):
    """Take the smallest value below which enough area lies."""
    for level in sorted(set(values)):
        if sum(w for value, w in zip(values, weights, strict=True) if value <= level) >= quantile * sum(weights):
            return [value > level for value in values]
    raise AssertionError


@pytest.fixture(name="maps")
def random_maps():
    return np.round(np.random.default_rng(0).random((40, 9)), 1).astype(np.float32)


WEIGHTS = torch.tensor([1.0, 1.0, 0.5, 1.0, 0.5, 1.0, 1.0, 0.25, 1.0], dtype=torch.float64)


def test_otsu_agrees_with_plain_loops(maps):
    found = above_otsu(torch.from_numpy(maps), WEIGHTS).tolist()
    assert found == [plain_otsu(row.astype(float).tolist(), WEIGHTS.tolist()) for row in maps]


def test_otsu_does_not_depend_on_scale():
    maps = torch.rand(20, 9, generator=torch.Generator().manual_seed(0))
    assert torch.equal(above_otsu(maps * 2.0**-30, WEIGHTS), above_otsu(maps, WEIGHTS))


def test_quantile_agrees_with_plain_loops(maps):
    for quantile in (0.2, 0.5, 0.8):
        found = above_quantile(torch.from_numpy(maps), WEIGHTS, quantile=quantile).tolist()
        assert found == [plain_quantile(row.tolist(), WEIGHTS.tolist(), quantile) for row in maps]


def test_mean_agrees_with_plain_loops(maps):
    found = above_mean(torch.from_numpy(maps), WEIGHTS, k=1.2).tolist()
    means = (maps.astype(float) * WEIGHTS.numpy()).sum(axis=1) / WEIGHTS.sum().item()
    assert found == (maps > 1.2 * means[:, None]).tolist()


@pytest.mark.parametrize("value", [0.1, 0.3, 1e-8, 0.0], ids=str)
def test_a_uniform_map_predicts_nothing(value):
    maps = torch.full((1, 9), value)
    for region in (above_mean(maps, WEIGHTS), above_quantile(maps, WEIGHTS), above_otsu(maps, WEIGHTS)):
        assert not region.any()
