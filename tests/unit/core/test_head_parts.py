import itertools

import numpy as np
import pytest

from headimpact.core.errors import OptionError, UnknownNameError, UnsupportedModelError
from headimpact.core.head_parts import check_heads, count_head_lora_parameters, head_part
from tests.unit.tuning.makers import architecture

WIDE = {"q_proj": (32, 64), "k_proj": (32, 16), "v_proj": (32, 16), "o_proj": (64, 32)}
"""A layer whose heads are twice as wide: four query heads of 16, one group."""


def test_parts_worked_by_hand():
    of = architecture()  # four query heads of 8, two groups
    assert head_part(of, 0, "q_proj", [1]).indices == tuple(range(8, 16))
    assert head_part(of, 0, "k_proj", [1]).indices == tuple(range(8))
    assert head_part(of, 0, "v_proj", [0, 3]).indices == tuple(range(16))
    part = head_part(of, 0, "o_proj", [2])
    assert (part.in_rows, part.indices, part.size) == (False, tuple(range(16, 24)), 32)


def test_a_layer_with_wider_heads_has_its_own_groups():
    of = architecture(other_projections={2: WIDE})
    assert head_part(of, 2, "q_proj", [1]).indices == tuple(range(16, 32))
    assert head_part(of, 2, "k_proj", [3]).indices == tuple(range(16))
    assert head_part(of, 1, "k_proj", [3]).indices == tuple(range(8, 16))


@pytest.mark.parametrize("groups", [1, 2, 4, 8])
def test_parts_are_what_repeated_groups_read(groups):
    """Slow twin: number the rows, split them as the model does, repeat the groups, look at the chosen heads."""
    heads, width = 8, 3
    rows = np.arange(groups * width).reshape(groups, width)
    read = np.repeat(rows, heads // groups, axis=0)
    projections = {"v_proj": (5, groups * width), "o_proj": (heads * width, 5)}
    of = architecture(num_heads=heads, num_key_value_heads=groups, head_dim=width, projections=projections)
    for chosen in itertools.combinations(range(heads), 2):
        expected = sorted({int(row) for head in chosen for row in read[head]})
        assert list(head_part(of, 0, "v_proj", chosen).indices) == expected


def test_only_live_entries_count():
    heads = ((0, 0), (0, 1), (3, 2))
    counted = count_head_lora_parameters(architecture(), heads, r=2, target_modules=("q_proj", "v_proj", "o_proj"))
    first = (32 + 16) + (32 + 8) + (16 + 32)  # two query heads of one group
    second = (32 + 8) + (32 + 8) + (8 + 32)
    assert counted.trainable == 2 * (first + second)
    assert counted.total == 100_000


@pytest.mark.parametrize(
    ("heads", "helps"),
    [
        pytest.param((), "no head is given", id="none"),
        pytest.param(((1, 0), (0, 0)), "out of order", id="order"),
        pytest.param(((0, 0), (0, 0)), "twice", id="twice"),
        pytest.param(((0, 4),), "4 layers of 4 query heads", id="head-outside"),
        pytest.param(((4, 0),), "Head 0 of layer 4 is not in the model", id="layer-outside"),
    ],
)
def test_heads_that_are_refused(heads, helps):
    with pytest.raises(OptionError, match=helps):
        check_heads(architecture(), heads)


def test_projections_without_heads_are_refused():
    fused = architecture(projections={"qkv_proj": (32, 64), "o_proj": (32, 32)})
    with pytest.raises(OptionError, match="qkv_proj cannot be held to heads"):
        count_head_lora_parameters(fused, [(0, 0)], r=1, target_modules=["qkv_proj"])
    with pytest.raises(UnknownNameError, match="'q_proj'"):
        count_head_lora_parameters(architecture(), [(0, 0)], r=1, target_modules=["qproj"])
    odd = architecture(projections={"q_proj": (32, 30)})
    with pytest.raises(UnsupportedModelError, match=r"30 outputs, 4 query heads"):
        count_head_lora_parameters(odd, [(0, 0)], r=1, target_modules=["q_proj"])
