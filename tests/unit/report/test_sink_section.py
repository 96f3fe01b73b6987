"""Sinks in the report: what they draw, where they lie, and scores with and without them."""

import dataclasses
from xml.etree import ElementTree

import numpy as np
import pytest

from headimpact.report.sections.several_scores import several_scores
from headimpact.report.sections.sinks import sink_section
from tests.unit.report.builders import head_scores
from tests.unit.report.test_several_scores import renamed

OWN = np.array([[0.1, 0.2, 0.3, 0.04], [0.5, 0.4, 0.15, 0.05], [0.1, 0.05, 0.2, 0.05]])
ON_SINKS = {"head_impact": 0.2, "null_mean": 0.05, "gap": 0.15, "gap_low": 0.1, "gap_high": 0.2, "z": 3.0, "p": 0.01}


def run(*, share=0.4, without=OWN[::-1], on_sinks=ON_SINKS):
    """Make a run that was scored with sinks, which draw `share` in head 1 of layer 2, and without."""
    drawn = np.zeros_like(OWN)
    drawn[2, 1] = share
    others = {
        "sink_share": renamed(head_scores(own=drawn), "sink_share"),
        "head_impact_without_sinks": renamed(head_scores(own=without), "head_impact_without_sinks"),
    }
    return dataclasses.replace(head_scores(own=OWN, baseline_statistics={"sinks": on_sinks}), others=others)


def test_what_they_draw_and_where_they_lie():
    part = sink_section(run())
    assert part is not None
    assert (
        "take 3.3\u00a0% of a head's attention to the picture on average, and 40\u00a0% in head 1 of layer 2."
        in part.findings[0]
    )
    assert (
        "would have a Head Impact of 0.20, where chance gives 0.05: a gap of +0.15 (+0.10 to +0.20)."
        in part.findings[1]
    )
    ElementTree.fromstring(part.panels[0].drawing)


@pytest.mark.parametrize(("low", "said"), [(0.1, True), (-0.1, False)], ids=["on the objects", "anywhere"])
def test_a_warning_where_they_lie_on_the_objects(low, said):
    part = sink_section(run(on_sinks={**ON_SINKS, "gap_low": low}))
    assert part is not None
    assert ("part of what heads look for goes with them" in part.findings[1]) == said


def test_the_table_holds_both():
    part = sink_section(run())
    assert part is not None
    both, without = part.tables[0].rows
    assert (both.name, without.name) == ("Head Impact", "without sinks")
    for row in (both, without):
        assert (row.cells[0].range, row.cells[2].value) == ("head 1.0", "1")
        assert len(part.tables[0].head) == len(row.cells) + 1
    assert without.cells[-1].range == "100\u00a0% of layers in common"


def test_no_sinks_is_said_in_a_sentence():
    part = sink_section(run(share=0.0))
    assert part is not None
    assert part.findings[0].startswith("No picture has a sink")
    assert (part.tables, part.panels) == ((), ())


def test_a_score_without_any_value_is_told_with_dashes():
    part = sink_section(run(without=np.full_like(OWN, np.nan)))
    assert part is not None
    assert {cell.value for cell in part.tables[0].rows[1].cells} == {"\u2013"}


def test_a_run_without_them_has_no_such_section():
    assert sink_section(head_scores()) is None
    plain = several_scores(run(), None)
    assert plain is not None
    assert [row.name for row in plain.tables[0].rows] == ["Head Impact", "Sink share"]
