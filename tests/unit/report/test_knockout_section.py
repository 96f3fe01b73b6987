import pytest

from headimpact.report.builder import build_report
from headimpact.report.figures.score_scatter import ScatterPlot, ScatterPoint, render_scatter
from headimpact.report.sections.knockout import knockout_part, knockout_verdict
from tests.unit.comparison.test_knockouts import effects, table


@pytest.fixture(scope="module")
def found():
    return table(effects(follow=1.0), naming=True)


def test_the_page_says_whether_the_chosen_layers_matter(found, tmp_path):
    found.write(tmp_path / "ko")
    page = build_report([tmp_path / "ko"], tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Yes: for the loss, the layers of highest Head Impact" in page
    assert "Does the answer need what they see?" in page
    assert "Spearman" in page
    assert page.count('class="figure arm-dots"') == 4  # layers and heads, each for a desk and for a phone
    assert page.count('class="figure score-scatter"') == 2


def test_tables_have_every_arm_and_every_pair(found):
    part = knockout_part(found, run="")
    arms, pairs = part.tables
    assert [row.name for row in arms.rows][:2] == ["top-k layers", "bottom-k layers"]
    assert len(arms.rows) == 8
    assert arms.head[-1] == "Fall of key-object recall"
    assert len(pairs.rows) == len(found.agreements) == 4
    assert "100\N{NO-BREAK SPACE}% of the model's own answers" in part.findings[0]


def test_the_limits_stand_under_the_verdict(found):
    said = knockout_verdict(found)
    assert any("not yet what tuning can improve" in text for text in said.limits)
    assert any("Spearman" in text for text in said.limits)


def test_without_single_knockouts_there_is_no_scatter():
    part = knockout_part(table(effects(follow=0.5), each="none"), run="a")
    assert part.scatter is None
    assert part.run == "a"


@pytest.mark.parametrize("width", [680.0, 340.0])
def test_dots_lie_where_their_values_are(width):
    points = [ScatterPoint(0.1, 0.0, "low"), ScatterPoint(0.5, 2.0, "high", is_top=True)]
    drawn = str(render_scatter(ScatterPlot(points, "score", "rise", "a label"), width=width))
    low, high = (drawn[drawn.index(f'{kind}"') :] for kind in ("dot other", "dot top"))
    x, y = (float(low.split(f'{axis}="')[1].split('"')[0]) for axis in ("cx", "cy"))
    right, above = (float(high.split(f'{axis}="')[1].split('"')[0]) for axis in ("cx", "cy"))
    assert 0 < x < right < width
    assert 0 < above < y
    assert "<title>high</title>" in drawn


def test_equal_values_and_none_are_drawn_too():
    same = [ScatterPoint(0.2, 0.0, "a"), ScatterPoint(0.2, 0.0, "b")]
    assert str(render_scatter(ScatterPlot(same, "x", "y", "l"))).count("<circle") == 2
    assert "<circle" not in str(render_scatter(ScatterPlot([], "x", "y", "l")))
