"""Dot plot of arms: every draw seen, none covering another."""

from xml.etree import ElementTree

import numpy as np
import pytest

from headimpact.report.figures.arm_dots import ArmPlot, ArmRow, render_arm_dots


def row(label="random", values=(0.4, 0.5), *, is_top=False):
    mean = float(np.mean(values)) if len(values) else None
    return ArmRow(label, [(v, f"draw {i}") for i, v in enumerate(values)], mean, 0.3, 0.7, is_top)


def draw(*rows, width=680.0, reference=0.35):
    return ElementTree.fromstring(render_arm_dots(ArmPlot(rows, "exact match", reference, "arms"), width=width))


def dots(root):
    return [c for c in root.iter("circle") if c.attrib["class"].startswith("dot")]


@pytest.mark.parametrize("width", [340.0, 680.0])
@pytest.mark.parametrize("count", [1, 3, 66])
def test_dots_do_not_cover_each_other(width, count):
    values = np.round(np.random.default_rng(0).normal(0.6, 0.05, count) * 64) / 64
    root = draw(row(values=tuple(values.tolist())), width=width)
    found = dots(root)
    assert len(found) == count
    places = np.array([[float(c.attrib["cx"]), float(c.attrib["cy"])] for c in found])
    apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
    apart[np.diag_indices(count)] = np.inf
    assert count == 1 or apart.min() >= 2 * float(found[0].attrib["r"])
    height = float(root.attrib["viewBox"].split()[3])
    assert 0 < places[:, 1].min() <= places[:, 1].max() < height - 30


def test_equal_values_lie_above_one_another():
    one, two = dots(draw(row(values=(0.5, 0.5))))
    assert one.attrib["cx"] == two.attrib["cx"]
    assert one.attrib["cy"] != two.attrib["cy"]


def test_order_along_the_axis_is_kept():
    found = dots(draw(row(values=(0.1, 0.9, 0.5))))
    xs = [float(c.attrib["cx"]) for c in found]
    assert xs[0] < xs[2] < xs[1]


def test_top_arm_is_set_off_and_reference_drawn():
    root = draw(row("top-2", (0.8,), is_top=True), row())
    assert [t.text for t in root.iter("text") if t.attrib["class"] == "arm chosen"] == ["top-2"]
    assert [c.attrib["class"] for c in dots(root)] == ["dot top", "dot other", "dot other"]
    assert sum(line.attrib.get("class") == "reference" for line in root.iter("line")) == 1


def test_mean_is_marked_only_among_several():
    assert not [n for n in draw(row(values=(0.5,))).iter("line") if n.attrib["class"].startswith("arm-mean")]
    assert [n for n in draw(row()).iter("line") if n.attrib["class"].startswith("arm-mean")]


@pytest.mark.parametrize(
    "rows", [(), (row(values=()),), (row(values=(0.0,)),)], ids=["no_arm", "arm_without_runs", "one_zero"]
)
def test_little_to_show_is_drawn(rows):
    draw(*rows, reference=None)


def test_names_are_escaped():
    drawn = render_arm_dots(ArmPlot([row("<script>")], "<b>", None, '"x"'))
    assert "<script>" not in drawn
    assert "<b>" not in drawn
