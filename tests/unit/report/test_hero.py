"""The front-page picture: one closed SVG from a scoring run."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from headimpact.core.errors import DataFormatError, OptionError, OutputInUseError
from headimpact.report.examples import write_examples
from headimpact.report.hero import build_hero
from tests.unit.report.builders import example_picture, head_scores


@pytest.fixture
def run(tmp_path):
    head_scores().write(tmp_path / "run")
    write_examples(tmp_path / "run" / "examples", [example_picture(response="<script>" * 9, key_object="ball & <b>")])
    return tmp_path / "run"


def test_picture_is_closed_and_well_formed(run, tmp_path):
    drawn = build_hero(run, tmp_path / "hero.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(drawn)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "ball & <b>" in root.attrib["aria-label"]
    assert "<script>" not in drawn
    assert all(target.startswith(("#", "data:image/png")) for target in re.findall(r'href="([^"]+)"', drawn))
    words = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "layer 1, head 0: 0.50" in words
    assert "layer 0, head 3: 0.04" in words


def test_same_run_same_bytes(run, tmp_path):
    pictures = [build_hero(run, tmp_path / f"{name}.svg").read_bytes() for name in "ab"]
    assert pictures[0] == pictures[1]


def test_refusals(run, tmp_path):
    out = build_hero(run, tmp_path / "hero.svg")
    with pytest.raises(OutputInUseError, match="--overwrite"):
        build_hero(run, out)
    with pytest.raises(OptionError, match="it has 1, counted from 0"):
        build_hero(run, out, example=1, overwrite=True)
    head_scores(own=np.array([[0.5, np.nan]])).write(run)
    with pytest.raises(DataFormatError, match="Fewer than two heads"):
        build_hero(run, out, overwrite=True)
