import itertools

import pytest

from headimpact.core.errors import OptionError, UnknownNameError
from headimpact.core.lora_arithmetic import TrainableCount, count_lora_parameters
from tests.unit.tuning.makers import architecture

QWEN2_5_VL_3B = architecture(
    model_type="qwen2_5_vl",
    num_layers=36,
    num_heads=16,
    num_key_value_heads=2,
    head_dim=128,
    hidden_size=2048,
    projections={"q_proj": (2048, 2048), "k_proj": (2048, 256), "v_proj": (2048, 256), "o_proj": (2048, 2048)},
    total_parameters=3_754_622_976,
)


def test_four_layers_of_qwen_2_5_vl_3b_by_hand():
    # q: 8 x (2048 + 2048) = 32,768; v: 8 x (2048 + 256) = 18,432; together 51,200 a layer.
    count = count_lora_parameters(QWEN2_5_VL_3B, [12, 14, 15, 17], r=8, target_modules=["q_proj", "v_proj"])
    assert count.trainable == 4 * 51_200 == 204_800
    assert str(count) == "204,800 of 3,754,622,976 parameters (0.0055 %)"


@pytest.mark.parametrize(
    ("layers", "r", "target_modules", "expected"),
    [
        pytest.param([0], 1, ["q_proj"], 64, id="one-projection-rank-one"),
        pytest.param([0], 1, ["v_proj"], 48, id="grouped-values-are-narrower"),
        pytest.param([0, 3], 4, ["q_proj", "v_proj"], 2 * 4 * 112, id="two-layers"),
        pytest.param([1], 2, ["q_proj", "k_proj", "v_proj", "o_proj"], 2 * 224, id="all-four"),
    ],
)
def test_counts(layers, r, target_modules, expected):
    assert count_lora_parameters(architecture(), layers, r=r, target_modules=target_modules).trainable == expected


def test_equals_entries_of_all_matrices_written_out():
    shapes = architecture().projections
    for r, names in itertools.product((1, 3, 8), (["q_proj"], ["k_proj", "o_proj"])):
        entries = 0
        for _, name in itertools.product([0, 2], names):
            inputs, outputs = shapes[name]
            entries += sum(1 for _ in itertools.product(range(r), range(inputs)))
            entries += sum(1 for _ in itertools.product(range(outputs), range(r)))
        assert count_lora_parameters(architecture(), [0, 2], r=r, target_modules=names).trainable == entries


def test_disjoint_layers_add_up_and_rank_scales():
    def count(layers, r=2):
        return count_lora_parameters(architecture(), layers, r=r, target_modules=["q_proj"]).trainable

    assert count([0, 1, 3]) == count([0]) + count([1, 3])
    assert count([0], r=6) == 3 * count([0], r=2)


@pytest.mark.parametrize(
    ("layers", "r", "target_modules", "error", "helps"),
    [
        pytest.param([0], 0, ["q_proj"], OptionError, "at least 1: got 0", id="rank-zero"),
        pytest.param([0], -4, ["q_proj"], OptionError, "at least 1: got -4", id="rank-negative"),
        pytest.param([0], True, ["q_proj"], OptionError, "got True", id="rank-bool"),
        pytest.param([], 8, ["q_proj"], OptionError, "the selection holds no layer", id="no-layer"),
        pytest.param([0], 8, [], OptionError, "expected some of q_proj, k_proj", id="no-projection"),
        pytest.param([4], 8, ["q_proj"], OptionError, "Layer 4 .* has 4 layers, 0 to 3", id="layer-outside"),
        pytest.param([1, 1], 8, ["q_proj"], OptionError, "layer is named twice: 1", id="layer-twice"),
        pytest.param([1], 8, ["q_proj", "q_proj"], OptionError, "named twice: q_proj", id="projection-twice"),
        pytest.param([1], 8, ["q_prj"], UnknownNameError, "Did you mean 'q_proj'", id="near-name"),
    ],
)
def test_refusals(layers, r, target_modules, error, helps):
    with pytest.raises(error, match=helps):
        count_lora_parameters(architecture(), layers, r=r, target_modules=target_modules)


def test_share_is_of_the_base_model():
    assert TrainableCount(trainable=5, total=1000).share == 0.005


def test_layers_that_differ_are_counted_one_by_one():
    uneven = architecture(other_projections={1: {"q_proj": (32, 64), "o_proj": (64, 32)}})
    # q in layer 0: 32 + 32, in layer 1: 32 + 64.
    assert count_lora_parameters(uneven, [0, 1], r=2, target_modules=["q_proj"]).trainable == 2 * (64 + 96)
    with pytest.raises(OptionError, match=r"Layer 1 has no v_proj.*expected some of q_proj, o_proj"):
        count_lora_parameters(uneven, [0, 1], r=2, target_modules=["q_proj", "v_proj"])
