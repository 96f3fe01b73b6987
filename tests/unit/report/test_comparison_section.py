"""Comparison in findings, dots and tables."""

from xml.etree import ElementTree

import pytest

from headimpact.report import wording
from headimpact.report.sections.comparison import comparison_part, layers_of
from tests.unit.report.builders import comparison_row, comparison_table


def test_every_run_is_a_dot():
    part = comparison_part(comparison_table(draws=(0.5, 0.6, 0.7)), run="")
    for drawn in (part.dots.broad, part.dots.narrow):
        dots = [c for c in ElementTree.fromstring(drawn).iter("circle") if c.attrib["class"].startswith("dot")]
        assert len(dots) == 6
    assert "random, layers 0, 2, draw 1, seed 0: exact match 0.600" in part.dots.broad


def test_primary_table_has_intervals_differences_and_cost():
    table, others = comparison_part(comparison_table(), run="").tables
    assert table.head == ("Arm", "Exact match", "Against base", "Against random", "Layers", "Trained")
    base, top, random, everything = table.rows
    assert [row.is_top for row in table.rows] == [False, True, False, False]
    assert [cell.value for cell in base.cells] == ["0.300", wording.MISSING, wording.MISSING, "none", "none"]
    assert [cell.value for cell in top.cells] == ["0.750", "+0.450", "+0.150", "1", f"8{chr(0x202F)}192"]
    assert top.cells[0].range == "0.710 to 0.790"
    assert top.cells[1].range == "+0.410 to +0.490"
    assert top.cells[4].range == f"0.26{wording.NBSP}%"
    assert random.cells[3].value == "3 draws"
    assert everything.cells[3].value == "all"
    assert others.head == ("Arm", "BLEU-4")


def test_findings_are_the_comparisons_own_sentences():
    table = comparison_table()
    assert comparison_part(table, run="").findings == table.sentences()
    bare = comparison_table(arms=("base", "all"))
    assert comparison_part(bare, run="").findings == bare.notes


def test_reference_line_only_with_a_base():
    with_base = comparison_part(comparison_table(), run="")
    without = comparison_part(comparison_table(arms=("top-k", "random")), run="")
    assert 'class="reference"' in with_base.dots.broad
    assert 'class="reference"' not in without.dots.broad
    assert "before tuning" not in without.dot_caption


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        pytest.param(comparison_row("base", [0.3], layers=()), "none", id="base"),
        pytest.param(comparison_row("last-n", [0.3], layers=(10, 11)), "10, 11", id="one_choice"),
        pytest.param(comparison_row("random", [0.3, 0.4]), "2 draws", id="draws"),
        pytest.param(comparison_row("all", [0.3], layers=(0, 1)), "all", id="all"),
    ],
)
def test_layers_of(row, expected):
    assert layers_of(row) == expected
