"""Layer bars: heights in proportion, marks where they belong."""

import dataclasses
from xml.etree import ElementTree

import numpy as np
import pytest

from headimpact.report.figures.layer_bars import LayerBars, render_layer_bars


def bars(**changes):
    made = LayerBars(
        values=np.array([0.2, 0.4, np.nan]),
        chance=np.array([0.1, 0.1, np.nan]),
        low=np.array([0.15, 0.35, np.nan]),
        high=np.array([0.25, 0.45, np.nan]),
        twin=None,
        baselines={},
        tooltips=["layer 0", "layer <1>", "layer 2"],
        label="bars",
    )
    return dataclasses.replace(made, **changes)


def find(root, name):
    return [node for node in root.iter() if name in node.attrib.get("class", "").split()]


def test_heights_are_in_proportion_and_nan_has_no_bar():
    root = ElementTree.fromstring(render_layer_bars(bars(), chosen_layers=(1,)))
    one, two = find(root, "bar")
    assert float(two.attrib["height"]) == pytest.approx(2 * float(one.attrib["height"]), abs=0.03)
    assert one.attrib["class"] == "bar plain"
    assert two.attrib["class"] == "bar chosen"
    assert len(find(root, "chance")) == len(find(root, "interval")) == 2


def test_interval_lies_around_the_end_of_the_bar():
    root = ElementTree.fromstring(render_layer_bars(bars()))
    for bar, line in zip(find(root, "bar"), find(root, "interval"), strict=True):
        assert float(line.attrib["y2"]) < float(bar.attrib["y"]) < float(line.attrib["y1"])


def test_twin_and_baselines_are_drawn_where_given():
    plain = ElementTree.fromstring(render_layer_bars(bars()))
    assert not find(plain, "twin")
    assert not find(plain, "baseline")
    more = bars(twin=np.array([0.1, np.nan, 0.05]), baselines={"uniform": 0.1, "centre": float("nan")})
    root = ElementTree.fromstring(render_layer_bars(more))
    assert len(find(root, "twin")) == 2
    assert [line.find("title").text for line in find(root, "baseline")] == ["uniform: 0.1"]


@pytest.mark.parametrize("width", [340.0, 680.0])
@pytest.mark.parametrize("layers", [1, 12, 36, 80])
def test_everything_stays_inside(width, layers):
    values = np.linspace(0.0, 1.0, layers)
    made = bars(values=values, chance=values / 2, low=values, high=values * 1.2, tooltips=["x"] * layers)
    root = ElementTree.fromstring(render_layer_bars(made, width=width, chosen_layers=(0,)))
    for bar in find(root, "bar"):
        x, y, w = (float(bar.attrib[name]) for name in ("x", "y", "width"))
        assert 0 <= x <= x + w <= width
        assert y >= 0


def test_layers_without_any_value_are_drawn():
    none = np.full(2, np.nan)
    made = bars(values=none, chance=none, low=none, high=none, tooltips=["a", "b"])
    assert not find(ElementTree.fromstring(render_layer_bars(made)), "bar")


def test_tooltips_are_escaped():
    assert "layer &lt;1&gt;" in render_layer_bars(bars())
