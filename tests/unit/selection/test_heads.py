import itertools
import math

import numpy as np
import pytest

from headimpact.core.errors import OptionError, UnknownNameError
from headimpact.core.head_parts import count_head_lora_parameters, heads_by_layer
from headimpact.selection.heads import HEAD_STRATEGIES, select_heads
from headimpact.selection.selection import Selection
from tests.unit.selection.makers import architecture, head_scores, qwen

Q = ("q_proj",)  # at rank 1 a layer's first head takes 32 + 8 parameters on the tiny model, each further one 8
DRAWN = ("random", "depth-matched")


def scored(values, of=None):
    """Scores of single heads, layer by layer."""
    values = np.array(values, dtype=np.float32)
    of = of or architecture(len(values))
    scores = head_scores((0.0,) * len(values), architecture=of)
    return type(scores)(**{**vars(scores), "values": dict.fromkeys(scores.values, values)})


SCORES = scored([[0.9, 0.1, 0.2, 0.8], [0.3, 0.7, 0.05, 0.6], [0.4, 0.5, 0.0, 0.15]])
"""From highest to lowest: 0.0 0.3 1.1 1.3 2.1 2.0 1.0 0.2 2.3 0.1 1.2 2.2."""


def heads_of(selection):
    assert selection.heads is not None
    return selection.heads


def big_scores():
    values = np.random.default_rng(0).normal(size=(36, 16)) + np.random.default_rng(1).normal(size=(36, 1))
    return scored(values, qwen())


@pytest.mark.parametrize(
    ("options", "heads"),
    [
        pytest.param({"k": 3}, ((0, 0), (0, 3), (1, 1)), id="top"),
        pytest.param({"k": 2, "strategy": "bottom-k"}, ((1, 2), (2, 2)), id="bottom"),
        pytest.param({"budget": "88"}, ((0, 0), (0, 3), (1, 1)), id="budget-filled-exactly"),
        # 48 for two heads of layer 0; another layer would take 40: passed over for the heads that are left in layer 0.
        pytest.param({"budget": "87"}, ((0, 0), (0, 1), (0, 2), (0, 3)), id="first-of-a-layer-passed-over"),
        pytest.param({"budget": "0.04%"}, ((0, 0),), id="share"),
        pytest.param({"budget": "176", "r": 2}, ((0, 0), (0, 3), (1, 1)), id="rank"),
        # In layers 2 and 1 the lowest heads cost 40 each; 8 are left for a head of either.
        pytest.param({"budget": "88", "strategy": "bottom-k"}, ((1, 2), (2, 2), (2, 3)), id="bottom-budget"),
    ],
)
def test_worked_by_hand(options, heads):
    selection = select_heads(SCORES, **{"r": 1, "target_modules": Q, **options})
    assert selection.heads == heads
    assert selection.layers == tuple(heads_by_layer(heads))
    assert selection.k == len(heads)


@pytest.mark.parametrize(("budget", "rank"), [("88", 1), ("175", 1), ("176", 2), ("1000", 11)])
def test_with_a_number_of_heads_the_rank_fills_the_budget(budget, rank):
    selection = select_heads(SCORES, k=3, budget=budget, target_modules=Q)
    assert (selection.heads, selection.r) == (((0, 0), (0, 3), (1, 1)), rank)
    assert selection.trainable_parameters() == 88 * rank


def test_a_budget_that_is_left_over_is_said():
    assert select_heads(SCORES, budget="88", r=1, target_modules=Q).notes == ()
    notes = select_heads(SCORES, budget="87", r=1, target_modules=Q).notes
    assert notes == ("64 of the 87 parameters of the budget 87 are used; nothing more fits.",)


@pytest.mark.parametrize(
    "targets", [("q_proj", "v_proj"), ("q_proj", "o_proj"), ("q_proj", "k_proj", "v_proj", "o_proj")]
)
def test_arms_of_a_true_size_model_cost_the_same_within_one_percent(targets):
    scores = big_scores()
    arms = [
        select_heads(scores, strategy=strategy, budget="0.01%", target_modules=targets, draw=draw)
        for strategy in HEAD_STRATEGIES
        for draw in range(5 if strategy in DRAWN else 1)
    ]
    costs = [arm.trainable_parameters() for arm in arms]
    assert max(costs) <= 375_462
    assert min(costs) >= 0.99 * max(costs)
    assert len({arm.heads for arm in arms}) == len(arms)
    for arm, cost in zip(arms, costs, strict=True):
        counted = count_head_lora_parameters(scores.architecture, heads_of(arm), r=8, target_modules=targets)
        assert cost == counted.trainable


def test_depth_matched_heads_lie_where_the_top_ones_do():
    scores = scored(np.random.default_rng(0).normal(size=(36, 16)), qwen())
    top = heads_of(select_heads(scores, k=40))
    layers = [layer_idx for layer_idx, _ in top]
    assert max(map(layers.count, layers)) <= 8, "every layer has as many others left"
    for draw in range(3):
        found = heads_of(select_heads(scores, strategy="depth-matched", k=40, draw=draw))
        assert not set(found) & set(top)
        assert [layer_idx for layer_idx, _ in found] == layers


def test_a_layer_without_heads_left_borrows_from_the_nearest():
    scores = scored([[0.9, 0.8, 0.7, 0.1], [0.3, 0.2, 0.25, 0.0], [0.05, 0.01, 0.02, 0.03]])
    found = {select_heads(scores, strategy="depth-matched", k=3, draw=draw).heads for draw in range(6)}
    assert found == {((0, 3), *pair) for pair in itertools.combinations(((1, 0), (1, 1), (1, 2), (1, 3)), 2)}
    with pytest.raises(OptionError, match="after 6 draws"):
        select_heads(scores, strategy="depth-matched", k=3, draw=6)


def test_too_few_heads_nearby_are_said():
    scores = scored([[0.9, 0.8, 0.7, 0.6], [0.5, 0.4, 0.3, 0.2], [0.05, 0.01, 0.02, 0.03]])
    with pytest.raises(OptionError, match="none is left within 1 layers of layer 0"):
        select_heads(scores, strategy="depth-matched", k=7)


def test_draws_are_all_different_and_never_the_top_ones():
    top = select_heads(SCORES, k=2).heads
    draws = [select_heads(SCORES, strategy="random", k=2, draw=draw).heads for draw in range(20)]
    assert len({*draws, top}) == 21
    assert draws == [select_heads(SCORES, strategy="random", k=2, draw=draw).heads for draw in range(20)]
    assert draws != [select_heads(SCORES, strategy="random", k=2, draw=draw, seed=1).heads for draw in range(20)]


@pytest.mark.parametrize("strategy", HEAD_STRATEGIES)
def test_heads_without_a_score_are_never_chosen(strategy):
    scores = scored([[0.9, math.nan, 0.2, 0.8], [math.nan] * 4, [0.4, 0.5, 0.0, 0.15]])
    chosen = heads_of(select_heads(scores, strategy=strategy, k=1))
    assert not set(chosen) & {(0, 1), *((1, head) for head in range(4))}


def test_a_selection_of_heads_is_read_back(tmp_path):
    selection = select_heads(SCORES, k=3, budget="2%", strategy="random", draw=2)
    selection.write(tmp_path / "selection.json")
    assert Selection.read(tmp_path / "selection.json") == selection
    assert (selection.score, selection.scores_hash) == ("head_impact", "feedfeedfeedfeed")


@pytest.mark.parametrize(
    ("options", "helps"),
    [
        pytest.param({"strategy": "last-n", "k": 1}, "Unknown strategy for heads 'last-n'", id="strategy"),
        pytest.param({}, "neither k nor a budget", id="nothing"),
        pytest.param({"k": 0}, "Cannot choose 0 heads: 12 have a score", id="none"),
        pytest.param({"k": 13}, "Pass --k 1 to 12", id="too-many"),
        pytest.param({"k": 1, "draw": 1}, "random or depth-matched", id="draw"),
        pytest.param({"budget": "39", "r": 1}, "one head at r = 1 takes 40", id="small-budget"),
        pytest.param({"budget": "39", "strategy": "random"}, "one head at r = 8 takes 320", id="small-budget-drawn"),
        pytest.param({"budget": "87", "k": 3}, "3 heads at r = 1 take 88", id="small-budget-for-heads"),
    ],
)
def test_refusals(options, helps):
    with pytest.raises(OptionError, match=helps):
        select_heads(SCORES, **{"target_modules": Q, **options})


def test_unknown_modules_are_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'q_proj'"):
        select_heads(SCORES, k=1, target_modules=("q_prj",))
