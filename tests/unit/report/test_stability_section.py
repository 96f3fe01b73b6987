"""How many pictures are enough, in words, as a curve and as a table."""

import dataclasses
from xml.etree import ElementTree

import pytest

from headimpact.report.figures.stability_curve import SMALLEST, StabilityCurve, render_stability_curve
from headimpact.report.sections.stability import findings, stability_part
from headimpact.scoring.stability import Look, Stability


def look(pictures, bound, *, tied=(), layers=(1, 3), correlation=0.9, overlap=1.0):
    return Look(
        pictures=pictures,
        scored=pictures,
        layers=layers,
        tied=tied,
        regret_bound=bound,
        rank_correlation=correlation,
        overlap=overlap,
    )


def stability(*looks, until_stable=False, pictures=512, k=2):
    planned = (32, 64, 128, 256, 512)
    return Stability(
        score="head_impact", k=k, pictures=pictures, planned=planned, until_stable=until_stable, looks=looks
    )


def test_a_run_that_stopped_says_how_many_pictures_it_took():
    (said,) = findings(stability(look(32, 0.3, tied=(0, 3)), look(64, 0.0), until_stable=True))
    assert said.startswith("64 pictures are enough to choose 2 layers: layers 1 and 3 are at most 0\u00a0% below")
    assert "with 95\u00a0% confidence over all 5 looks planned" in said
    assert said.endswith("The run stopped there, of 512 at hand.")


def test_a_single_look_is_spoken_of_as_one():
    (said,) = findings(dataclasses.replace(stability(look(20, 0.3), pictures=20), planned=(20,)))
    assert "confidence over the one look planned" in said


def test_a_run_of_all_pictures_says_from_where_on_the_choice_was_stable():
    (said,) = findings(stability(look(32, 0.3), look(64, 0.01), look(512, 0.0)))
    assert said.endswith("The choice was stable first at 64.")


def test_a_single_layer_is_spoken_of_as_one():
    (said,) = findings(stability(look(512, 0.01, layers=(3,)), k=1))
    assert said.startswith("512 pictures are enough to choose 1 layer: layer 3 is at most 1.0\u00a0% below")
    assert "stopped" not in said


def test_a_choice_that_is_not_stable_names_its_ties():
    said, ties = findings(stability(look(512, 0.034, tied=(0, 3, 5))))
    assert "do not settle the choice of 2 layers: layers 1 and 3 are only known to be at most 3.4\u00a0% below" in said
    assert "2\u00a0% was asked for" in said
    assert ties.startswith("Layers 0, 3 and 5 are tied at the cut")


@pytest.mark.parametrize("given", [None, stability()], ids=["no file", "no look"])
def test_without_looks_there_is_no_section(given):
    assert stability_part(given) is None


def test_the_table_lists_every_look_and_sets_off_the_first_stable_one():
    part = stability_part(stability(look(32, 0.3, tied=(0, 3), correlation=None), look(64, 0.01), look(512, 0.0)))
    assert part is not None
    assert [row.name for row in part.table.rows] == ["32", "64", "512"]
    assert [row.is_top for row in part.table.rows] == [False, True, False]
    assert [cell.value for cell in part.table.rows[0].cells] == ["1 3", "30\u00a0%", "0 3", "\u2013", "100\u00a0%"]


def curve(**changes):
    made = StabilityCurve(
        pictures=(32, 64, 512),
        regrets=(0.3, 0.02, 0.0),
        promise=0.02,
        correlations=(None, 0.8, 1.0),
        overlaps=(0.5, 1.0, 1.0),
        tooltips=("a", "b", "c"),
        label="curve",
    )
    return dataclasses.replace(made, **changes)


@pytest.mark.parametrize("width", [680.0, 340.0], ids=["desk", "phone"])
def test_dots_lie_where_the_numbers_are(width):
    root = ElementTree.fromstring(render_stability_curve(curve(), width=width))
    regret, overlaps, correlations = (
        [dot for dot in group if dot.tag.endswith("circle")]
        for group in root.iter()
        if any(dot.tag.endswith("circle") for dot in group)
    )
    assert (len(regret), len(overlaps), len(correlations)) == (3, 3, 2)
    promise = next(line for line in root.iter() if line.attrib.get("class") == "reference")
    assert regret[1].attrib["cy"] == promise.attrib["y1"]
    x = [float(dot.attrib["cx"]) for dot in regret]
    assert (x[2] - x[0]) == pytest.approx(4 * (x[1] - x[0]), abs=0.05)
    foot = ElementTree.fromstring(render_stability_curve(curve(regrets=(0.3, 0.02, SMALLEST)), width=width))
    assert ElementTree.tostring(foot) == ElementTree.tostring(root)


def test_one_look_is_a_dot_in_the_middle():
    one = curve(pictures=(20,), regrets=(0.3,), correlations=(1.0,), overlaps=(1.0,), tooltips=("a",))
    root = ElementTree.fromstring(render_stability_curve(one))
    assert "nan" not in ElementTree.tostring(root, encoding="unicode")
