import math
import subprocess
import sys

import pytest

from headimpact.core.errors import OptionError, UnknownNameError
from headimpact.selection.strategies import STRATEGIES, select_layers
from tests.unit.selection.makers import VALUES, architecture, head_scores, qwen

NAN = math.nan
CHOICES = {
    "top": ({"strategy": "top-k", "k": 3}, (1, 3, 6)),
    "bottom": ({"strategy": "bottom-k", "k": 3}, (0, 5, 7)),
    "last": ({"strategy": "last-n", "k": 3}, (5, 6, 7)),
    "all": ({"strategy": "all"}, tuple(range(8))),
    "default number": ({}, (1,)),
    "budget": ({"budget": "1800"}, (1, 6)),
    "budget on other projections": ({"budget": "1800", "r": 4, "target_modules": ("v_proj",)}, tuple(range(8))),
}


@pytest.mark.parametrize(("options", "layers"), CHOICES.values(), ids=CHOICES)
def test_worked_by_hand(options, layers):
    selection = select_layers(head_scores(), **options)
    assert selection.layers == layers
    assert selection.k == len(layers)
    assert selection.layer_values == pytest.approx([VALUES[layer] for layer in layers])


def test_the_selection_says_how_and_from_what():
    selection = select_layers(head_scores(), strategy="random", k=2, seed=4, draw=1, r=2)
    assert (selection.strategy, selection.k, selection.seed, selection.draw, selection.r) == ("random", 2, 4, 1, 2)
    assert selection.score == "head_impact"
    assert selection.scores_hash == "feedfeedfeedfeed"
    assert selection.scored_image_hashes == ("0a", "1b")
    assert selection.notes == ()


def test_ties_go_to_the_lower_layer():
    scores = head_scores((0.5, 0.2, 0.5, 0.2, 0.5, 0.2))
    assert select_layers(scores, strategy="top-k", k=2).layers == (0, 2)
    assert select_layers(scores, strategy="bottom-k", k=2).layers == (3, 5)


def test_top_and_bottom_do_not_meet():
    for k in range(1, 5):
        top = select_layers(head_scores(), strategy="top-k", k=k).layers
        assert not set(top) & set(select_layers(head_scores(), strategy="bottom-k", k=k).layers)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_layers_without_a_score_are_never_chosen(strategy):
    scores = head_scores((0.1, NAN, 0.2, 0.3, 0.4, 0.2, 0.1, NAN))
    for draw in range(3 if strategy in {"random", "depth-matched"} else 1):
        selection = select_layers(scores, strategy=strategy, k=None if strategy == "all" else 2, draw=draw)
        assert not {1, 7} & set(selection.layers)
        assert selection.excluded_layers == (1, 7)
        assert len(selection.layers) == (6 if strategy == "all" else 2)


CROSS = (3, 8, 13, 18, 23, 28, 33, 38)
"""The layers of Llama 3.2 Vision's 40 that look at the picture; the others have no score."""


def cross_attention_scores():
    values = dict(zip(CROSS, VALUES, strict=True))
    return head_scores(tuple(values.get(layer, NAN) for layer in range(40)))


@pytest.mark.parametrize(
    ("strategy", "layers"),
    [
        ("top-k", {(8, 18, 33)}),
        ("bottom-k", {(3, 28, 38)}),
        ("last-n", {(28, 33, 38)}),
        ("random", None),
        ("depth-matched", None),
    ],
)
def test_only_cross_attention_layers_are_chosen_where_only_they_have_scores(strategy, layers):
    found = {
        select_layers(cross_attention_scores(), strategy=strategy, k=3, draw=draw).layers
        for draw in range(3 if layers is None else 1)
    }
    assert all(set(chosen) <= set(CROSS) for chosen in found)
    assert found == layers if layers is not None else len(found) == 3
    if strategy == "depth-matched":
        assert not any(set(chosen) & {8, 18, 33} for chosen in found)


@pytest.mark.parametrize(
    ("strategy", "options", "match"),
    [
        (
            "top-k",
            {"k": 9},
            "8 are left, 32 of 40 have no score, which leaves layers 3 8 13 18 23 28 33 38. Pass --k 8",
        ),
        ("last-n", {"k": 40}, "which leaves layers 3 8 13 18 23 28 33 38. Pass --k 8 or less"),
        ("random", {"k": 8}, r"out of 8 layers \(3 8 13 18 23 28 33 38\).*Choose a smaller k"),
        ("depth-matched", {"k": 6}, "for the layers 8 13 18 23 33 38, with 3 28 left to replace them.*smaller k"),
    ],
)
def test_errors_name_the_layers_that_are_left(strategy, options, match):
    with pytest.raises(OptionError, match=match):
        select_layers(cross_attention_scores(), strategy=strategy, **options)


def test_random_is_never_the_top_choice():
    scores = head_scores((0.3, 0.2, 0.1))
    drawn = {select_layers(scores, strategy="random", k=1, draw=draw).layers for draw in range(2)}
    assert drawn == {(1,), (2,)}
    with pytest.raises(OptionError, match="there are 2 different sets"):
        select_layers(scores, strategy="random", k=1, draw=2)


def test_depth_matched_draws_replace_the_top_layers():
    top = set(select_layers(head_scores(), k=2).layers)
    for draw in range(4):
        selection = select_layers(head_scores(), strategy="depth-matched", k=2, draw=draw)
        assert not top & set(selection.layers)
        assert all(min(abs(layer - one) for one in top) <= 1 for layer in selection.layers)


def test_a_widened_window_is_noted():
    selection = select_layers(head_scores((0.9, 0.8, *VALUES[2:])), strategy="depth-matched", k=2)
    assert "widened" in selection.notes[0]


@pytest.mark.parametrize(
    ("strategy", "options", "layers"),
    [("all", {}, tuple(range(8))), ("last-n", {"k": 2}, (6, 7)), ("last-n", {}, (7,))],
)
def test_an_architecture_does_where_no_score_is_needed(strategy, options, layers):
    selection = select_layers(architecture(), strategy=strategy, **options)
    assert selection.layers == layers
    assert (selection.score, selection.scores_hash, selection.layer_values) == (None, None, ())


def test_random_without_scores_says_what_it_cannot_exclude():
    selection = select_layers(architecture(), strategy="random", k=2)
    assert len(selection.layers) == 2
    assert "top layers themselves may have been drawn" in selection.notes[0]


def test_four_layers_of_a_true_size_model_are_a_two_hundredth_of_a_percent():
    selection = select_layers(qwen(), strategy="last-n", k=4)
    assert selection.trainable_parameters() == 204_800
    assert f"{100 * selection.trainable_share():.4f}" == "0.0055"


def test_a_large_budget_takes_every_layer_and_says_so():
    selection = select_layers(head_scores(), budget="100%")
    assert selection.layers == tuple(range(8))
    assert selection.notes == ("The budget 100% holds more than the 8 layers there are.",)


BAD = {
    "unknown strategy": ({"strategy": "topk"}, UnknownNameError, "Did you mean 'top-k'"),
    "unknown module": ({"target_modules": ("q",)}, UnknownNameError, "target module 'q'"),
    "too many": ({"k": 9}, OptionError, r"Cannot choose 9 layers: 8 are left\. Pass --k 8 or less"),
    "none": ({"k": 0}, OptionError, "expected at least 1"),
    "k and budget": ({"k": 2, "budget": "1%"}, OptionError, "Pass one of them"),
    "all and k": ({"strategy": "all", "k": 2}, OptionError, "neither k nor a budget"),
    "all and budget": ({"strategy": "all", "budget": "1%"}, OptionError, "neither k nor a budget"),
    "draw of top": ({"draw": 1}, OptionError, "'top-k' has only one outcome.*use random or depth-matched"),
    "negative draw": ({"strategy": "random", "draw": -1}, OptionError, "expected 0 or more"),
    "budget below one layer": ({"budget": "0.01%"}, OptionError, "smallest possible budget is 112"),
    "rank": ({"r": 0, "budget": "1%"}, OptionError, "at least 1"),
}


@pytest.mark.parametrize(("options", "error", "message"), BAD.values(), ids=BAD)
def test_refused(options, error, message):
    with pytest.raises(error, match=message):
        select_layers(head_scores(), **options)


@pytest.mark.parametrize("strategy", ["top-k", "bottom-k", "depth-matched"])
def test_scores_are_asked_for_where_they_are_needed(strategy):
    with pytest.raises(OptionError, match=rf"'{strategy}' needs head scores.*use random, last-n or all"):
        select_layers(architecture(), strategy=strategy)


def test_k_is_held_against_the_layers_left():
    with pytest.raises(OptionError, match=r"Cannot choose 2 layers: 1 are left, 2 of 3 have no score"):
        select_layers(head_scores((NAN, 0.1, NAN)), k=2)
    with pytest.raises(OptionError, match="none has a score"):
        select_layers(head_scores((NAN, NAN)), k=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": "2"}, "k is '2', of type str; expected the like of 4"),
        ({"budget": 204_800}, "budget is 204800, of type int; expected the like of '204800' or"),
    ],
)
def test_a_text_for_a_number_and_a_number_for_a_text_are_refused(options, message):
    """In a process of its own, since tests check types on the way in."""
    code = (
        f"import headimpact, tests.unit.selection.makers as m; headimpact.select_layers(m.head_scores(), **{options})"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert f"OptionError: {message}" in answer.stderr
