import math

import numpy as np
import pytest

from headimpact.core.errors import OptionError
from headimpact.selection.knockout_sets import choose_knockout_sets
from headimpact.selection.strategies import select_layers
from tests.unit.selection.makers import architecture, head_scores

DEFAULTS = {"k": 2, "head_k": 3, "draws": 5, "each": "none", "seed": 0}


def scored(num_layers=8, num_heads=4, *, seed=0):
    """Scores whose heads all differ."""
    values = np.random.default_rng(seed).random((num_layers, num_heads)).astype(np.float32)
    found = head_scores(tuple(values.mean(axis=1)), architecture=architecture(num_layers, num_heads=num_heads))
    return head_scores(
        tuple(values.mean(axis=1)),
        architecture=found.architecture,
        values=dict.fromkeys(found.values, values),
    )


def sets(scores=None, **options):
    return choose_knockout_sets(scored() if scores is None else scores, **{**DEFAULTS, **options})


def layers_of(found, arm):
    return [tuple(sorted({layer for layer, _ in found.sets[column]})) for column in arm.columns]


@pytest.mark.parametrize("strategy", ["top-k", "bottom-k", "random", "depth-matched"])
def test_layers_are_those_that_would_be_tuned(strategy):
    found, scores = sets(seed=3, draws=4), scored()
    arm = found.arm("layers", strategy)
    wanted = [
        select_layers(scores, strategy=strategy, k=2, seed=3, draw=draw).layers for draw in range(len(arm.columns))
    ]
    assert layers_of(found, arm) == wanted
    assert all(len(found.sets[column]) == 8 for column in arm.columns)  # 2 layers of 4 heads
    assert len(arm.columns) == (4 if strategy in {"random", "depth-matched"} else 1)


def test_heads_are_the_highest_and_the_lowest():
    scores = scored()
    values, found = scores.values["head_impact"], sets(scores)
    order = sorted(np.ndindex(8, 4), key=lambda head: -values[head])
    assert set(found.sets[found.arm("heads", "top-k").columns[0]]) == set(order[:3])
    assert set(found.sets[found.arm("heads", "bottom-k").columns[0]]) == set(order[-3:])


def test_depth_matched_heads_are_near_and_not_chosen():
    scores = scored(num_layers=16)
    found = sets(scores, draws=12)
    top = found.sets[found.arm("heads", "top-k").columns[0]]
    drawn = [found.sets[column] for column in found.arm("heads", "depth-matched").columns]
    assert len(set(drawn)) == 12
    for heads in drawn:
        assert len(set(heads)) == 3
        assert not set(heads) & set(top)
        # a window of 2 of 16 layers: sorted by layer, each is as near to its counterpart as any assignment allows
        for (layer, _), (wanted, _) in zip(heads, top, strict=True):
            assert abs(layer - wanted) <= 2


def test_random_heads_are_uniform_and_never_the_top_ones():
    scores = scored(num_layers=2, num_heads=3)
    found = sets(scores, k=1, head_k=2, draws=50)
    drawn = [found.sets[column] for column in found.arm("heads", "random").columns]
    assert len(set(drawn)) == len(drawn) == math.comb(6, 2) - 1
    assert found.sets[found.arm("heads", "top-k").columns[0]] not in drawn
    assert "Only 14 different random sets of 2 heads were found, 50 were asked for." in found.notes
    assert any(note.startswith("Only 1 different random sets of 1 layers") for note in found.notes)


def test_a_set_is_silenced_once_whatever_it_stands_for():
    found = sets(k=1, draws=20, each="layer")
    assert len(set(found.sets)) == len(found.sets)
    assert found.arm("layers", "top-k").columns[0] in found.each_columns
    assert len(found.each_columns) == 8
    assert len(found.sets[0]) == 32
    assert found.arm_columns()[0] == 0


def test_each_head_alone():
    found = sets(each="head")
    assert [found.sets[column] for column in found.each_columns] == [
        ((layer, head),) for layer, head in np.ndindex(8, 4)
    ]


def test_heads_without_a_score_are_never_silenced():
    scores = scored()
    values = scores.values["head_impact"].copy()
    values[2], values[5, 1] = np.nan, np.nan
    layers = np.where(np.arange(8) == 2, np.nan, scores.layer_values["head_impact"]).astype(np.float32)
    scores = head_scores(tuple(layers), architecture=scores.architecture, values=dict.fromkeys(scores.values, values))
    found = sets(scores, each="layer")
    silenced = {head for heads in found.sets for head in heads}
    assert len(silenced) == len(found.sets[0]) == 27
    assert not {(2, 0), (5, 1)} & silenced
    assert len(found.each_columns) == 7


def test_defaults_follow_the_model():
    found = sets(k=None, head_k=None)
    assert (found.k, found.head_k) == (1, 4)


REFUSED = {
    "each": ({"each": "heads"}, r"Unknown --each 'heads'\. Did you mean 'head'"),
    "draws": ({"draws": 0}, "--draws is 0; expected 1 or more"),
    "no layers": ({"k": 0}, "--k is 0; expected 1 to 7"),
    "all layers": ({"k": 8}, "--k is 8; expected 1 to 7: 8 layers have a score"),
    "all heads": ({"head_k": 32}, "--head-k is 32; expected 1 to 31: 32 heads have a score"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED)
def test_what_leaves_nothing_to_compare_with_is_refused(options, message):
    with pytest.raises(OptionError, match=message):
        sets(**options)


def test_scores_without_a_single_value_are_refused():
    with pytest.raises(OptionError, match="No layer has a score"):
        sets(head_scores((np.nan,) * 8))
