"""Head map: a square per head, hatching, dots, labels."""

import itertools
from xml.etree import ElementTree

import numpy as np
import pytest

from headimpact.report.figures.head_map import HeadMapPanel, render_head_map, render_scale
from headimpact.report.wording import MINUS


def draw(values, *, low=0.0, high=1.0, scale="sequential", **options):
    panel = HeadMapPanel(values=np.array(values, dtype=float), low=low, high=high, scale=scale, label="a map")
    tooltips = [[f"layer {i}, head {j}" for j in range(panel.values.shape[1])] for i in range(panel.values.shape[0])]
    return ElementTree.fromstring(render_head_map(panel, tooltips=tooltips, **options))


def cells(root):
    return [group for group in root if group.attrib.get("class") == "cell"]


def test_one_square_per_head_with_colour_and_tooltip():
    root = draw([[0.0, 0.5], [1.0, 2.0], [0.25, -1.0]])
    found = {cell.find("title").text: cell.find("rect").attrib["class"] for cell in cells(root)}
    assert found == {
        "layer 0, head 0": "q0",
        "layer 0, head 1": "q16",
        "layer 1, head 0": "q32",
        "layer 1, head 1": "q32",
        "layer 2, head 0": "q8",
        "layer 2, head 1": "q0",
    }


def test_layers_run_down_and_heads_run_right():
    first, right, below, _ = (cell.find("rect").attrib for cell in cells(draw([[0, 0], [0, 0]])))
    assert float(right["x"]) > float(first["x"])
    assert right["y"] == first["y"]
    assert float(below["y"]) > float(first["y"])


def test_head_without_score_is_hatched_and_never_dotted():
    root = draw([[np.nan, 0.5]], marked=np.array([[False, True]]))
    hatched, dotted = cells(root)
    assert hatched.find("path").attrib["class"] == "hatch"
    assert hatched.find("rect").attrib["class"] == "empty"
    assert hatched.find("circle") is None
    assert dotted.find("path") is None
    assert dotted.find("circle") is not None


def test_dot_takes_the_tone_that_shows():
    pale, strong = cells(draw([[0.1, 0.9]], marked=np.array([[True, True]])))
    assert pale.find("circle").attrib["class"] == "mark"
    assert strong.find("circle").attrib["class"] == "mark-on"


def test_chosen_layers_are_set_off():
    root = draw([[0.0]] * 5, chosen_layers=(1, 3))
    texts = [t.text for t in root.iter("text") if t.attrib["class"] == "tick chosen"]
    assert texts == ["1", "3"]


@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (12, 8), (28, 16), (36, 32), (80, 64)])
def test_labels_keep_apart_and_the_drawing_stays_narrow(layers, heads):
    root = draw(np.zeros((layers, heads)), chosen_layers=(0, layers - 1))
    assert float(root.attrib["viewBox"].split()[2]) < 480
    rows = sorted({float(t.attrib["y"]) for t in root.iter("text") if t.attrib["class"].startswith("tick")})[:-1]
    assert all(b - a >= 9 for a, b in itertools.pairwise(rows))


def test_signed_scale_has_its_middle_at_zero():
    root = draw([[-0.2, 0.0, 0.2]], low=-0.2, high=0.2, scale="signed")
    assert [cell.find("rect").attrib["class"] for cell in cells(root)] == ["d0", "d16", "d32"]


def test_signed_scale_writes_signs():
    panel = HeadMapPanel(values=np.zeros((1, 1)), low=-0.2, high=0.2, scale="signed", label="gap")
    texts = [t.text for t in ElementTree.fromstring(render_scale(panel)).iter("text")]
    assert texts == [f"{MINUS}0.2", f"{MINUS}0.1", "0", "+0.1", "+0.2"]


def test_scale_of_nothing_is_drawn():
    panel = HeadMapPanel(values=np.full((1, 1), np.nan), low=0.0, high=0.0, scale="sequential", label="none")
    ElementTree.fromstring(render_scale(panel))
