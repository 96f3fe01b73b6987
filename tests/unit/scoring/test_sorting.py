"""Sorting attention on a CPU through NumPy gives what torch gives."""

import torch

from headimpact.scoring.sorting import ascending, ascending_order, descending, descending_order


def test_values_and_order_are_those_of_torch():
    rows = torch.rand(7, 300, generator=torch.Generator().manual_seed(0))
    rows[:, ::3] = 0.25  # ties
    expected = rows.sort(dim=1, descending=True).values
    assert torch.equal(descending(rows), expected)
    order = descending_order(rows)
    assert torch.equal(rows.gather(1, order), expected)
    assert torch.equal(ascending(rows), expected.flip(1))
    assert torch.equal(rows.gather(1, ascending_order(rows)), expected.flip(1))
    assert torch.equal(order.sort(dim=1).values, torch.arange(300).expand(7, -1))


def test_the_given_rows_are_left_alone():
    rows = torch.tensor([[0.1, 0.3, 0.2]])
    descending(rows)
    descending_order(rows)
    assert rows.tolist() == torch.tensor([[0.1, 0.3, 0.2]]).tolist()
