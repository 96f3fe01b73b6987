"""Scores in words, maps, bars and tables."""

import dataclasses
from xml.etree import ElementTree

import numpy as np
import pytest

from headimpact.report.sections import scores as section
from tests.unit.report.builders import head_scores


def test_heads_beyond_chance_are_counted():
    said = section.looking_heads(head_scores())
    assert said.startswith("7 of 12 heads look at the key objects more than chance")


def test_summary_names_the_strongest_head_and_the_twins():
    said = section.summary(head_scores(twin=True))
    assert "head 0 of layer 1" in said
    assert "0.50 (mean IoU), where chance gives 0.05." in said
    assert said.endswith("With random weights the best head has 0.07.")


def test_summary_of_a_model_that_sees_nothing():
    nothing = head_scores(own=np.full((2, 2), np.nan))
    assert section.looking_heads(nothing).startswith("None of the 4 heads looks")
    assert section.summary(nothing).startswith("No head has a score")


def test_summary_of_another_score_does_not_speak_of_overlap():
    scores = head_scores()
    renamed = {"attention_mass": scores.values["head_impact"], **scores.values}
    layers = {"attention_mass": scores.layer_values["head_impact"], **scores.layer_values}
    other = dataclasses.replace(scores, score="attention_mass", values=renamed, layer_values=layers)
    assert "its attention mass is 0.50" in section.strongest_head(other)
    assert section.head_panels(other, chosen_layers=())[0].title == "Attention mass"


def test_held_out_heads_are_told():
    half = {"layer_idx": 1, "head_idx": 0, "head_impact": 0.44, "gap": 0.39, "gap_low": 0.3, "gap_high": 0.45}
    said = section.held_out(head_scores(held_out=(half, {**half, "head_impact": 0.43})))
    assert "head 0 of layer 1 has 0.44, a gap of +0.39 (+0.30 to +0.45); the other way round, head" in said
    assert section.held_out(head_scores()) == ""


@pytest.mark.parametrize(("twin", "titles"), [(False, 3), (True, 4)], ids=["alone", "with_twin"])
def test_panels(twin, titles):
    panels = section.head_panels(head_scores(twin=twin), chosen_layers=(1,))
    assert [panel.title for panel in panels] == ["Head Impact", "Chance", "Gap", "Untrained twin"][:titles]
    for panel in panels:
        root = ElementTree.fromstring(panel.drawing)
        assert len([g for g in root if g.attrib.get("class") == "cell"]) == 12
        ElementTree.fromstring(panel.scale)
    assert panels[0].scale == panels[1].scale
    assert "circle" in panels[0].drawing
    assert "circle" not in panels[1].drawing


def test_chance_and_score_share_their_colours():
    even = head_scores(own=np.full((2, 2), 0.05))
    own, chance, _ = section.head_panels(even, chosen_layers=())
    classes = [[r.attrib["class"] for r in ElementTree.fromstring(p.drawing).iter("rect")] for p in (own, chance)]
    assert classes[0] == classes[1]


def test_tooltips_hold_the_numbers():
    texts = section.head_texts(head_scores())
    assert texts[1][0] == "layer 1, head 0: HI 0.50, chance 0.05, gap +0.45 (+0.43 to +0.47), q 0.001"
    assert texts[1][2] == "layer 1, head 2: no score"


def test_tables_have_every_head_and_layer():
    scores = head_scores()
    heads = section.head_table(scores).rows[3:]
    assert len(heads) == 12
    assert heads[4].name == "layer 1, head 0"
    assert [cell.value for cell in heads[4].cells] == ["0.500", "0.050", "+0.450", "22.5", "0.001"]
    layers = section.layer_table(scores, chosen_layers=(1,))
    assert [row.is_top for row in layers.rows[3:]] == [False, True, False]


def test_legend_names_only_what_is_drawn():
    def names(scores, chosen):
        return [key.name for key in section.bar_legend(scores, chosen_layers=chosen)]

    assert "untrained twin" not in names(head_scores(), ())
    assert "chosen layer" not in names(head_scores(), ())
    assert "looking at the sinks" in names(head_scores(baselines={"sinks": 0.1}), ())
    assert "looking at the sinks" not in names(head_scores(baselines={"sinks": np.nan}), ())
    full = names(head_scores(twin=True), (1,))
    assert {"untrained twin", "chosen layer", "looking everywhere alike", "looking at the centre"} <= set(full)


@pytest.mark.parametrize(
    ("rule", "words"), [("mean", "The mean over"), ("max", "The best of"), ("top-2", "put together by top-2")]
)
def test_bar_caption_says_how_heads_became_layers(rule, words):
    assert words in section.bar_caption(head_scores(options={"layer_aggregation": rule}))
