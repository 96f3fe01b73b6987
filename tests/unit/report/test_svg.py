"""SVG elements: escaping, short numbers, round ticks."""

from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from headimpact.report.figures.svg import drawing, element, nice_ticks, short, text


def test_element_escapes_text_and_attributes_and_keeps_markup():
    made = element("g", "<script>", Markup("<a></a>"), data_name='"><script>', left=None)
    assert made == '<g data-name="&#34;&gt;&lt;script&gt;">&lt;script&gt;<a></a></g>'
    assert isinstance(made, Markup)


def test_drawing_is_well_formed_and_labelled():
    root = ElementTree.fromstring(drawing((10, 20), 'a "label" & <more>', text(1, 2, "x<y")))
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == 'a "label" & <more>'
    assert root.attrib["viewBox"] == "0 0 10 20"
    assert root[0].text == "x<y"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0"), (-0.001, "0"), (1.005, "1"), (12.5, "12.5"), (-3.456, "-3.46"), (100.0, "100")],
)
def test_short(value, expected):
    assert short(value) == expected


@pytest.mark.parametrize(
    ("low", "high", "count", "expected"),
    [
        pytest.param(0.0, 1.0, 4, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0], id="unit"),
        pytest.param(-0.31, 0.31, 4, [-0.2, 0.0, 0.2], id="signed"),
        pytest.param(0.5, 0.5, 4, [0.5], id="no_span"),
        pytest.param(0.0, 250.0, 5, [0.0, 50.0, 100.0, 150.0, 200.0, 250.0], id="large"),
        pytest.param(0.001, 0.0034, 4, [0.001, 0.0015, 0.002, 0.0025, 0.003], id="small"),
    ],
)
def test_nice_ticks(low, high, count, expected):
    assert nice_ticks(low, high, count=count) == pytest.approx(expected)


def test_nice_ticks_stay_inside():
    for low, high in ((0.013, 0.97), (-7.0, 3.3), (1e-5, 2e-5)):
        ticks = nice_ticks(low, high)
        assert ticks
        assert all(low - 1e-12 <= tick <= high + 1e-12 for tick in ticks)
