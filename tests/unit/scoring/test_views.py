"""Work that several scores share gives what each score finds by itself."""

import torch

from headimpact.scoring import SCORES, WITHOUT_MASK
from headimpact.scoring.shared_work import shared_work


def test_shared_work_changes_nothing_and_other_tensors_are_worked_on_anew():
    generator = torch.Generator().manual_seed(0)
    maps = [torch.rand(2, 3, 16, generator=generator) for _ in range(2)]
    maps[1][0, 0, :4] = maps[1][0, 0, 4]
    masks = [(torch.rand(4, 16, generator=generator) < 0.3).double() for _ in range(2)]
    areas = [torch.ones(16), torch.cat([torch.ones(8), torch.full((4,), 0.5), torch.zeros(4)])]
    views = torch.arange(16) // 8
    cases = [
        (SCORES.load(name), looked, coverage, area, view)
        for looked in maps
        for coverage in masks
        for area in areas
        for view in (None, views)
        for name in SCORES
        if name not in WITHOUT_MASK
    ]
    alone = [score(looked, coverage, area, views=view) for score, looked, coverage, area, view in cases]
    with shared_work():
        shared = [score(looked, coverage, area, views=view) for score, looked, coverage, area, view in cases]
    for first, second in zip(alone, shared, strict=True):
        assert torch.equal(first.nan_to_num(-1), second.nan_to_num(-1))
    assert len({tuple(found.nan_to_num(-1).flatten().tolist()) for found in alone}) > len(alone) / 2
