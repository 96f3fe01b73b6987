"""Masks laid once for several scores give what each score finds by itself."""

import torch

from headimpact.scoring.auroc import auroc
from headimpact.scoring.energy_pointing import energy_pointing
from headimpact.scoring.views import masks_laid_once


def test_shared_masks_change_nothing_and_other_tensors_are_laid_anew():
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(2, 3, 16, generator=generator)
    masks = [(torch.rand(4, 16, generator=generator) < 0.3).double() for _ in range(2)]
    areas = [torch.ones(16), torch.cat([torch.ones(12), torch.zeros(4)])]
    views = torch.arange(16) // 8
    cases = [
        (score, coverage, area, view)
        for score in (auroc, energy_pointing)
        for coverage in masks
        for area in areas
        for view in (None, views)
    ]
    alone = [score(maps, coverage, area, views=view) for score, coverage, area, view in cases]
    with masks_laid_once():
        shared = [score(maps, coverage, area, views=view) for score, coverage, area, view in cases]
    for first, second in zip(alone, shared, strict=True):
        assert torch.equal(first.nan_to_num(-1), second.nan_to_num(-1))
    assert not torch.equal(alone[0], alone[2])
