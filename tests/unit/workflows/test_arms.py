"""The arms of an experiment: their choices, names and costs."""

import dataclasses

import numpy as np
import pytest

from headimpact.core.errors import OptionError
from headimpact.scoring.head_scores import STATISTICS, HeadScores
from headimpact.workflows.arms import ARMS, ArmRequest, choose_arms, choose_for_ranks, describe_fewer_draws
from tests.integration.makers import TINY

DRAWS: dict[str, int | None] = {"random": 2, "depth-matched": 1, "random-heads": 2}
WANTED = ArmRequest(names=ARMS, draws=DRAWS, k=1, budget=None, seed=0, target_modules=("q_proj", "v_proj"))


def scores(architecture=TINY):
    """Scores of the tiny LLaVA; layer 2 looks most, layer 0 has the highest gate gradients."""
    looks = np.linspace(0.1, 0.9, 12, dtype=np.float32).reshape(3, 4)
    gradients = one_score("gate_gradient", looks[::-1].copy(), architecture)
    return dataclasses.replace(one_score("head_impact", looks, architecture), others={"gate_gradient": gradients})


def one_score(name, values, architecture):
    """Make scores whose statistics are all alike."""
    return HeadScores(
        score=name,
        values=dict.fromkeys((name, *STATISTICS), values),
        layer_values=dict.fromkeys((name, *STATISTICS), values.mean(axis=1)),
        counts={"used": 2, "skipped": {}},
        architecture=architecture,
    )


def test_every_arm_is_chosen_as_its_name_says():
    arms = dict(choose_arms(scores(), WANTED, r=2))
    assert list(arms) == WANTED.labels()
    assert {name: arms[name].layers for name in ("top-k", "bottom-k", "last-n", "gate-gradient", "all")} == {
        "top-k": (2,), "bottom-k": (0,), "last-n": (2,), "gate-gradient": (0,), "all": (0, 1, 2),
    }  # fmt: skip
    assert {arms[f"random-{draw}"].layers for draw in range(2)} == {(0,), (1,)}
    assert arms["top-heads"].heads is not None
    assert (2, 3) in arms["top-heads"].heads
    assert arms["random-heads-0"].heads != arms["random-heads-1"].heads
    assert all(name.startswith(one.strategy) for name, one in arms.items())


@pytest.mark.parametrize("r", [1, 2, 8])
def test_arms_cost_the_same_but_for_the_one_that_tunes_all(r):
    live = {name: one.trainable_parameters() for name, one in choose_arms(scores(), WANTED, r=r)}
    assert live.pop("all") == 3 * live["top-k"]
    assert max(live.values()) <= 1.01 * min(live.values())


def test_a_budget_takes_the_place_of_k():
    wanted = dataclasses.replace(WANTED, k=None, budget="250", names=("top-k", "random"))
    arms = dict(choose_arms(scores(), wanted, r=2))
    assert all((one.r, one.trainable_parameters()) == (2, 224) for one in arms.values())


def test_arms_whose_layers_cost_differently_are_refused():
    wide = dataclasses.replace(TINY, other_projections={0: {**TINY.projections, "q_proj": (32, 48)}})
    with pytest.raises(OptionError, match=r"not cost the same: random-heads-1 has 104 live .*, bottom-k 128; expected"):
        choose_arms(scores(wide), WANTED, r=1)


def test_every_other_set_of_layers_counts_as_a_draw():
    arms = choose_arms(scores(), dataclasses.replace(WANTED, draws={**DRAWS, "random": None}), r=2)
    assert [name for name, one in arms if one.strategy == "random"] == ["random-0", "random-1"]
    assert (
        "random: every other set of k layers" in dataclasses.replace(WANTED, draws={**DRAWS, "random": None}).labels()
    )


def test_draws_beyond_the_sets_there_are_are_left_out_and_named():
    deep = dataclasses.replace(TINY, num_layers=12, attention_layers=())
    looks = np.linspace(0.1, 0.9, 48, dtype=np.float32).reshape(12, 4)
    names = ("top-k", "random", "depth-matched")
    wanted = dataclasses.replace(WANTED, names=names, draws={**DRAWS, "depth-matched": 7})
    arms = choose_arms(one_score("head_impact", looks, deep), wanted, r=2)
    near = {one.layers for name, one in arms if one.strategy == "depth-matched"}
    assert near == {(8,), (9,), (10,)}  # of the top layer 11, in the window that has three
    assert describe_fewer_draws(wanted, [name for name, _ in arms]) == [
        "Different draws of depth-matched: only 3 exist, 7 were asked for."
    ]
    assert not describe_fewer_draws(WANTED, WANTED.labels())


def test_a_draw_that_one_rank_lacks_is_left_out_at_all_ranks():
    names = ("top-k", "random")
    wanted = dataclasses.replace(WANTED, names=names, k=None, budget="450", draws={**DRAWS, "random": 3})
    chosen = choose_for_ranks(scores(), wanted, (2, 4))
    assert [len(arms[0][1].layers) for arms in chosen.values()] == [2, 1]
    assert [[name for name, _ in arms] for arms in chosen.values()] == [["top-k", "random-0", "random-1"]] * 2


def test_scores_that_leave_no_random_choice_are_refused():
    looks = np.full((3, 4), np.nan, dtype=np.float32)
    looks[1] = 0.5
    with pytest.raises(OptionError, match="Draw 0 does not exist"):
        choose_arms(one_score("head_impact", looks, TINY), dataclasses.replace(WANTED, names=("top-k", "random")), r=2)
