"""The GPU kernel of Head Impact against the plain computation; in Triton's interpreter where there is no GPU."""

import pytest
import torch

from headimpact.scoring import head_impact as module
from headimpact.scoring.head_impact import head_impact, settle_ties
from headimpact.scoring.views import average_views


@pytest.fixture(name="fused")
def fused_scores(kernel_device):
    """Score maps by the kernel; what it leaves open is settled, and counted."""
    from headimpact.scoring.fused_head_impact import fused_area_iou

    def score(maps, coverage, areas, views=None):
        there = maps.to(kernel_device)
        scores = average_views(
            there, coverage, areas, views, lambda rows, tokens: fused_area_iou(rows, tokens).T, at_once=True
        )
        is_open = int(scores.isinf().sum())
        return settle_ties(scores, there, coverage, areas, views=views).cpu(), is_open

    return score


def masks(count: int, tokens: int, *, seed: int = 0) -> torch.Tensor:
    """Masks from none of the tokens up to nearly all."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(count, tokens, generator=generator) < torch.linspace(0.0, 0.95, count)[:, None]).double()


def maps_of(tokens: int, *, levels: int | None = None, seed: int = 1) -> torch.Tensor:
    """Attention, in a few levels where tokens are to be tied; one head holds NaN."""
    maps = torch.rand(3, 5, tokens, generator=torch.Generator().manual_seed(seed))
    maps = maps if levels is None else (maps * levels).round() / levels
    maps[0, 1, 3] = torch.nan
    return maps


@pytest.mark.parametrize("levels", [None, 400, 5, 1], ids=["no ties", "pairs", "many ties", "two values"])
@pytest.mark.parametrize("are_equal", [True, False], ids=["equal tokens", "unequal tokens"])
@pytest.mark.parametrize("num_views", [1, 2], ids=["one view", "whole and tiles"])
def test_equals_the_plain_computation(fused, levels, are_equal, num_views):
    maps, coverage = maps_of(150, levels=levels), masks(20, 150)
    areas = torch.ones(150) if are_equal else torch.rand(150, generator=torch.Generator().manual_seed(2)) + 1e-3
    views = torch.arange(150) % 2 if num_views == 2 else None
    found, _ = fused(maps, coverage, areas, views)
    expected = head_impact(maps, coverage, areas, views=views)
    assert expected[1:-5].isnan().sum() < expected[1:-5].numel() / 4, "most masks say something"
    torch.testing.assert_close(found, expected, equal_nan=True, atol=1e-6, rtol=0)


def test_pairs_are_settled_in_the_kernel_and_larger_ties_after_it(fused):
    maps = torch.tensor([[[0.4, 0.4, 0.2, 0.1, 0.0], [0.4, 0.4, 0.4, 0.1, 0.0]]])
    coverage = torch.tensor([[0.0, 1.0, 0.0, 0.0, 0.0]])
    found, is_open = fused(maps, coverage, torch.ones(5))
    assert found.flatten().tolist() == pytest.approx([1 / 2, 1 / 3])
    assert is_open == 1


@pytest.mark.gpu
def test_a_gpu_scores_as_the_cpu_does():
    maps, coverage, areas = maps_of(1024, levels=3000), masks(65, 1024), torch.full((1024,), 1 / 1024)
    assert module.fused_kernels() is not None
    expected = head_impact(maps, coverage, areas)
    for there in (False, True):  # masks may be on the GPU too
        given = (coverage.cuda(), areas.cuda()) if there else (coverage, areas)
        found = head_impact(maps.cuda(), *given)
        torch.testing.assert_close(found.cpu(), expected, equal_nan=True, atol=1e-6, rtol=0)
