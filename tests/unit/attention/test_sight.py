import gc

import pytest
import torch

from headimpact.attention.sight import Sight, Sights
from headimpact.attention.visibility import Visibility
from tests.unit.attention.calls import attention_call

ROWS = torch.tensor([[5, 6]])
KEYS = torch.arange(9)[None]
WHOLE = slice(0, 1)


def causal_mask():
    places = torch.arange(9)
    return (places[None] <= places[:, None])[None, None]


def look(sights, mask, *, name="all keys"):
    call = attention_call(implementation="sdpa", mask=mask, batch=1)
    return sights.look(call, Visibility.of(call), WHOLE, ROWS, lambda: KEYS, name=name)


def test_only_the_keys_that_some_row_does_not_see_are_kept():
    sight = look(Sights(), causal_mask())
    assert sight.span == slice(6, 9)
    assert sight.hidden.tolist() == [[[[True, True, True], [False, True, True]]]]
    assert sight.bias is None
    assert sight.sees.tolist() == [[True]]


def test_a_bias_is_kept_where_it_changes_anything():
    bias = torch.zeros(1, 1, 9, 9)
    bias[0, 0, 6, 3] = 0.5
    bias[0, 0, :, 7] = torch.finfo(torch.float32).min
    sight = Sight.of(None, bias[:, :, 5:7])
    assert sight.span == slice(3, 8)
    assert sight.bias is not None
    assert sight.bias.tolist() == bias[:, :, 5:7, 3:8].tolist()
    assert sight.hidden is None


@pytest.mark.parametrize("seen", [None, torch.ones(1, 1, 2, 9, dtype=torch.bool)])
def test_rows_that_see_all_hold_nothing(seen):
    sight = Sight.of(seen, None)
    assert sight.span == slice(0, 0)
    assert sight.hidden is None
    assert sight.bias is None


def test_layers_under_one_mask_share_a_sight_and_others_do_not():
    sights, mask = Sights(), causal_mask()
    first = look(sights, mask)
    assert look(sights, mask) is first
    assert look(sights, mask, name="image tokens") is not first
    assert look(sights, mask.clone()) is not first


def test_a_mask_that_is_gone_does_not_lend_its_sight_to_the_next():
    # Each mask is freed before the next is made, so that numbers of objects come back.
    sights = Sights()
    for hidden in range(7, 0, -1):
        mask = torch.ones(1, 1, 9, 9, dtype=torch.bool)
        mask[..., hidden:] = False
        assert look(sights, mask).span == slice(hidden, 9)
        del mask
        gc.collect()


def test_what_exceeds_the_budget_is_looked_up_anew():
    sights, mask = Sights(max_bytes=3), causal_mask()
    assert look(sights, mask) is not look(sights, mask)
