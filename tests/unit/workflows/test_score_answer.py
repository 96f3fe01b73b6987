"""What a scoring run says on the terminal."""

import dataclasses

import numpy as np

from headimpact.scoring.head_scores import STATISTICS, HeadScores
from headimpact.workflows.score_answer import describe_scores
from tests.integration.makers import TINY


def scores(*, used: int = 8, has_chance: bool = True) -> HeadScores:
    """Scores whose best head is 3 of layer 2; without a chance level where there is nothing to hold them against."""
    values = np.linspace(0.1, 0.9, 12, dtype=np.float32).reshape(3, 4)
    beside = values - 0.05 if has_chance else np.full_like(values, np.nan)
    return HeadScores(
        score="head_impact",
        values={**dict.fromkeys(STATISTICS, beside), "head_impact": values, "q": np.ones_like(values)},
        layer_values={
            **dict.fromkeys(STATISTICS, beside.mean(axis=1)),
            "head_impact": values.mean(axis=1),
            "q": np.ones(3),
        },
        counts={"used": used, "skipped": {}},
        architecture=TINY,
        baselines={"uniform": 0.064, "centre": 0.222, "sinks": np.nan},
    )


def test_maps_without_a_head_are_named_in_words():
    lines = describe_scores(scores())
    assert lines[3:6] == [
        "for comparison, looking everywhere alike: 0.064",
        "for comparison, looking at the centre: 0.222",
        "for comparison, looking at the sinks: none found",
    ]


def test_one_picture_has_no_chance_level_and_says_why():
    lines = describe_scores(scores(used=1, has_chance=False))
    assert lines[1:3] == [
        "best head: layer 2, head 3: 0.900, no other picture to hold it against, so chance and gap are not known",
        "heads above chance (q <= 0.05): not known of 12",
    ]
    assert "    2  0.791       -       -       -" in lines
    assert "nan" not in "\n".join(lines)
    assert "0.900, chance and gap are not known" in describe_scores(scores(has_chance=False))[1]


def test_the_best_head_is_given_on_pictures_that_did_not_choose_it():
    half = {
        "layer_idx": 2, "head_idx": 1, "chosen_on": 4, "reported_on": 5, "head_impact_chosen": 0.8,
        "head_impact": 0.7, "gap": 0.5, "gap_low": 0.4, "gap_high": 0.6,
    }  # fmt: skip
    lines = describe_scores(dataclasses.replace(scores(), held_out=(half, {**half, "gap": np.nan})))
    said = "best head, chosen on 4 pictures and measured on 5 others: layer 2, head 1: 0.700, gap"
    assert lines[2:4] == [f"{said} +0.500 [+0.400, +0.600]", f"{said} - [+0.400, +0.600]"]


def test_every_scores_best_head_is_named_by_layer_and_head():
    other = dataclasses.replace(
        scores(),
        score="auroc",
        values={**scores().values, "auroc": scores().values["gap"]},
        layer_values={**scores().layer_values, "auroc": scores().layer_values["gap"]},
    )
    lines = describe_scores(dataclasses.replace(scores(), others={"auroc": other}))
    head, *rows = lines[-3:]
    assert [row.index("layer 2, head 3") + len("layer 2, head 3") for row in rows] == [
        head.index("best head") + len("best head")
    ] * 2
