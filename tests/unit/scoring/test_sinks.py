"""Sinks: found by attention alone, in most heads, in each view; and what they draw."""

import pytest
import torch

from headimpact.scoring.sink_share import sink_share
from headimpact.scoring.sinks import find_sinks
from tests.unit.scoring.test_map_scores import grid

TOKENS = 64


def planted(shares, *, token=5, heads=4):
    """Make heads that spend these shares of their attention on one token, the rest evenly on the others."""
    maps = torch.empty(1, heads, TOKENS)
    for head, share in enumerate(shares):
        maps[0, head] = (1 - share) / (TOKENS - 1)
        maps[0, head, token] = share
    return maps


def sinks_of(maps, **options):
    return find_sinks(maps, torch.ones(maps.shape[-1]), **options).nonzero().flatten().tolist()


# A sink needs more than 10 / 64 = 0.156 of a head's attention.
CASES = {
    "all heads": ([0.2, 0.2, 0.2, 0.2], [5]),
    "half of the heads": ([0.2, 0.2, 0.0, 0.0], [5]),
    "fewer": ([0.9, 0.1, 0.1, 0.1], []),
    "just below": ([0.155] * 4, []),
    "just above": ([0.157] * 4, [5]),
}


@pytest.mark.parametrize(("shares", "expected"), CASES.values(), ids=CASES)
def test_most_heads_must_look(shares, expected):
    assert sinks_of(planted(shares)) == expected
    assert sinks_of(planted(shares) * torch.tensor([0.9, 0.01, 0.5, 0.2])[:, None]) == expected


def test_heads_that_see_nothing_are_not_asked():
    maps = torch.cat([planted([0.5, 0.5, 0.0, 0.0]), torch.full((1, 4, TOKENS), torch.nan), torch.zeros(1, 4, TOKENS)])
    assert sinks_of(maps) == [5]
    assert sinks_of(maps[1:]) == []


def test_a_large_token_must_draw_more():
    areas = torch.ones(TOKENS)
    areas[5] = 4.0
    assert not find_sinks(planted([0.4] * 4), areas).any()
    assert find_sinks(planted([0.7] * 4), areas)[5]
    areas[5] = 0.0
    assert not find_sinks(planted([0.7] * 4), areas).any()


def test_views_have_their_own():
    maps = torch.cat([planted([0.2] * 4), planted([0.1] * 4, token=9)], dim=2)
    views = torch.tensor([0] * TOKENS + [1] * TOKENS)
    assert sinks_of(maps, views=views) == [5]


def test_share_worked_by_hand():
    boxes = grid(8, 8)
    found = sink_share(planted([0.2, 0.5, 0.4, 0.0]), boxes)[0]
    assert found.tolist() == pytest.approx([0.2, 0.5, 0.4, 0.0])
    assert sink_share(planted([0.1] * 4), boxes).tolist() == [[0.0] * 4]
    blind = torch.cat([planted([0.4] * 4), torch.zeros(1, 1, TOKENS).expand(1, 4, -1)])
    assert sink_share(blind, boxes)[1].tolist() == pytest.approx([1 / 64] * 4)
    assert sink_share(torch.full((1, 2, TOKENS), torch.nan), boxes).isnan().all()


def test_order_of_heads_and_tokens_does_not_matter():
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(3, 4, TOKENS, generator=generator) ** 8
    maps[..., 20] += 3.0
    boxes, order = grid(8, 8), torch.randperm(TOKENS, generator=generator)
    found = sink_share(maps, boxes)
    assert (found > 0.1).all()
    assert torch.allclose(sink_share(maps[..., order], boxes[order]), found, atol=1e-6)
    assert torch.allclose(sink_share(maps.flip(1), boxes), found.flip(1), atol=1e-6)
