"""Several scores of a run in words, matrices and tables; and what each is held against."""

import dataclasses
from xml.etree import ElementTree

import numpy as np
import pytest

from headimpact.report.figures.agreement_matrix import AgreementPanel, render_agreement_matrix
from headimpact.report.sections import several_scores as section
from headimpact.report.sections.baselines import baseline_rows
from headimpact.report.wording import MISSING
from headimpact.scoring.agreement import score_agreement
from tests.unit.report.builders import head_scores


def renamed(scores, name):
    """Give the same numbers under another score's name."""
    values = {name: scores.values["head_impact"], **scores.values}
    layers = {name: scores.layer_values["head_impact"], **scores.layer_values}
    baseline = None if scores.baseline is None else renamed(scores.baseline, name)
    return dataclasses.replace(scores, score=name, values=values, layer_values=layers, baseline=baseline)


def several(*, twin=True, blind=()):
    """Make a run of three scores; those of `blind` have no value."""
    main = head_scores(twin=twin)
    others = {
        name: renamed(head_scores(twin=twin, own=np.full((3, 4), np.nan) if name in blind else None), name)
        for name in ("auroc", "image_attention")
    }
    return dataclasses.replace(main, others=others)


def agreement(*, images=6):
    generator = np.random.default_rng(0)
    return score_agreement(
        {name: generator.random((images, 3, 4)) for name in ("head_impact", "auroc", "image_attention")},
        k=2,
        resamples=20,
    )


def test_a_run_of_one_score_has_no_such_section():
    assert section.several_scores(head_scores(), None) is None


def test_findings_name_the_nearest_and_the_farthest_score():
    found = agreement()
    said = " ".join(section.findings(found))
    first, second = ("AUROC", "image attention")
    if found.correlation[0, 1] < found.correlation[0, 2]:
        first, second = ("Image attention", "AUROC")
    assert f"{first} ranks the heads most like Head Impact (rank correlation " in said
    assert f", {second} the least (" in said
    assert "The layer number by itself has" in said


def test_a_single_best_layer_is_spoken_of_as_one():
    found = section.several_scores(several(), dataclasses.replace(agreement(), k=1))
    assert found is not None
    assert found.panels[1].title == "The best layer in common"


def test_findings_leave_out_what_is_not_known():
    found = agreement()
    unknown = dataclasses.replace(found, correlation=np.full_like(found.correlation, np.nan))
    assert section.findings(unknown) == ()


def test_matrices_show_every_pair_once():
    found = section.several_scores(several(), agreement())
    assert found is not None
    assert [panel.title for panel in found.panels] == ["Rank correlation over heads", "The 2 best layers in common"]
    for panel in found.panels:
        for drawing in (panel.drawings.broad, panel.drawings.narrow):
            root = ElementTree.fromstring(drawing)
            assert len([g for g in root if g.attrib.get("class") == "cell"]) == 6
            assert "Layer number" in drawing
        ElementTree.fromstring(panel.scale)
    assert "AUROC and Head Impact: rank correlation" in found.panels[0].drawings.broad


def test_matrix_writes_numbers_where_there_is_room():
    values = np.array([[1.0, np.nan, 0.0], [0.87, 1.0, 0.0], [np.nan, -0.31, 1.0]])
    texts = [["pair"] * 3] * 3
    panel = AgreementPanel(("one", "two", "three"), values, -1.0, 1.0, "signed", texts, "label")
    broad, narrow = (render_agreement_matrix(panel, width=width) for width in (460.0, 80.0))
    assert ".87<" in broad
    assert ".31<" in broad
    assert ".87<" not in narrow
    assert broad.count('class="empty"') == 1


def test_each_score_stands_beside_chance():
    table = section.score_table((several(), *several().others.values()), k=1)
    assert [row.name for row in table.rows] == ["Head Impact", "AUROC", "Image attention"]
    cells = table.rows[0].cells
    assert [cell.value for cell in cells] == ["0.50", "0.05", "+0.45", "7 of 12", "1"]
    assert cells[0].range == "head 1.0"
    assert all(len(row.cells) == len(table.head) - 1 for row in table.rows)


def test_each_score_stands_beside_its_baselines():
    table = section.baseline_table((several(), *several().others.values()))
    assert table.head == ("Score", "Best head", "Twin", "Even", "Centre", "Depth")
    assert (
        "held against: the untrained twin's best, looking everywhere alike, looking at the centre and depth alone"
        in table.caption
    )
    assert [cell.value for cell in table.rows[0].cells[:4]] == ["0.50", "0.07", "0.04", "0.06"]
    assert all(len(row.cells) == len(table.head) - 1 for row in table.rows)


def test_baselines_that_no_score_has_take_no_column():
    plain = several(twin=False)
    nowhere = dataclasses.replace(plain, baselines={**plain.baselines, "sinks": np.nan})
    assert section.baseline_table((nowhere,)).head == ("Score", "Best head", "Even", "Centre", "Depth")
    seen = dataclasses.replace(plain, baselines={**plain.baselines, "sinks": 0.1})
    assert section.baseline_table((nowhere, seen)).head[-2:] == ("Sinks", "Depth")


def test_a_score_that_ranks_no_head_says_why():
    none = renamed(head_scores(own=np.zeros((3, 4))), "sink_share")
    alike = renamed(head_scores(own=np.full((3, 4), 0.5)), "auroc")
    scores = dataclasses.replace(head_scores(), others={"sink_share": none, "auroc": alike})
    found = section.several_scores(scores, None)
    assert found is not None
    for table in found.tables:
        rows = {row.name: row.cells for row in table.rows}
        assert rows["Sink share"][0].range == "no sinks found"
        assert rows["AUROC"][0].range == "all heads alike"
        assert {len(cells) for cells in rows.values()} == {len(table.head) - 1}


def test_a_score_without_any_value_has_dashes():
    found = several(blind=("auroc",))
    every = (found, *found.others.values())
    for table in (section.score_table(every, k=1), section.baseline_table(every)):
        assert {cell.value for cell in table.rows[1].cells} == {MISSING}
        assert all(len(row.cells) == len(table.head) - 1 for row in table.rows)


@pytest.mark.parametrize("images", [1, 6])
def test_caption_says_whether_there_are_intervals(images):
    said = section.caption(agreement(images=images))
    assert ("95 % intervals" in said) == (images > 1)
    table = section.correlation_table(agreement(images=images))
    assert [row.name for row in table.rows] == ["AUROC", "Image attention", "Layer number"]
    assert bool(table.rows[0].cells[0].range) == (images > 1)


def test_baseline_rows_of_heads_and_layers():
    scores = head_scores(twin=True, baseline_statistics={"centre": {"null_mean": 0.03, "gap": 0.03}})
    heads, layers = baseline_rows(scores), baseline_rows(scores, by_layer=True)
    names = [row.name for row in heads]
    assert names[:3] == ["untrained twin, best (layer 0, head 0)", "looking everywhere alike", "looking at the centre"]
    assert names[3].startswith("depth alone (layer ")
    assert [cell.value for cell in heads[2].cells[:3]] == ["0.060", "0.030", "+0.030"]
    assert heads[1].cells[1].value == MISSING
    assert layers[0].name == "untrained twin, best (layer 0)"
    assert {len(row.cells) for row in (*heads, *layers)} == {5}


def test_baseline_rows_of_a_model_that_sees_nothing():
    nothing = head_scores(own=np.full((2, 2), np.nan))
    twin = dataclasses.replace(nothing, baseline=nothing)
    assert [row.name for row in baseline_rows(twin)] == ["looking everywhere alike", "looking at the centre"]
