import os
import stat
import sys

import pytest

from headimpact.core.errors import DataFormatError, RunFailedError
from headimpact.evaluation.evaluate import evaluate_predictions
from headimpact.evaluation.metrics import spice
from tests.unit.evaluation.makers import prediction

JAVA = """#!{python}
import json, sys
words = sys.argv[1:]
source, target = words[words.index("spice-1.0.jar") + 1], words[words.index("-out") + 1]
rows = json.load(open(source))
found = {{row["image_id"]: float(row["test"] in row["refs"]) for row in rows}}
scores = [{{"image_id": one, "scores": {{"All": {{"f": found[one]}}}}}} for one in found]
json.dump(scores[::-1][{drop}:], open(target, "w"))
"""


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """Give a maker of a `java` that scores as SPICE's program answers, and of the parser's files."""

    def make(drop=0):
        program = tmp_path / "bin" / "java"
        program.parent.mkdir()
        program.write_text(JAVA.format(python=sys.executable, drop=drop))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        (tmp_path / "lib").mkdir()
        for name in spice.PARSER_FILES:
            (tmp_path / "lib" / name).touch()
        monkeypatch.setattr(spice, "_folder", lambda: tmp_path)

    return make


PAIR = [prediction("1", "A dog.", ["a cat", "a dog"]), prediction("2", "A cat.", ["a dog"])]


def test_gives_each_response_its_score(stand_in):
    stand_in()
    found = evaluate_predictions(PAIR, metrics=["spice"])
    assert found.parts["spice"].tolist() == [[1, 1], [0, 1]]
    assert found.values["spice"] == 0.5


def test_a_response_without_a_score_is_refused(stand_in):
    stand_in(drop=1)
    with pytest.raises(RunFailedError, match=r"no score for some of 2 responses: KeyError\(1\)"):
        evaluate_predictions(PAIR, metrics=["spice"])


def test_without_the_parsers_files_says_where_they_belong_and_fetches_nothing(stand_in, tmp_path):
    stand_in()
    (tmp_path / "lib" / spice.PARSER_FILES[1]).unlink()
    with pytest.raises(DataFormatError, match=rf"expected {spice.PARSER_FILES[1]} of .*zip in {tmp_path}/lib; put"):
        evaluate_predictions(PAIR, metrics=["spice"])


def test_without_java_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "no program 'java' was found" in (spice.METRIC.missing(PAIR) or "")
