"""`sensitivity`: many options from one run of the model, each as a run of its own would give it."""

import json
from pathlib import Path

import numpy as np
import pytest

from headimpact.scoring.head_scores import HeadScores
from headimpact.scoring.sensitivity import Sensitivity
from tests.integration.conftest import Answer, done, run

COMMON = ("--split", "all", "--limit", 6, "--batch-size", 4, "--max-new-tokens", 4)
ALONE = ("--draws", 50, "--bootstrap", 10, "--donors", 2, "--examples", 0)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sensitivity") / "run"


@pytest.fixture(scope="module")
def answer(out: Path, tiny_llava: Path, scenes: Path) -> Answer:
    words = ("--wordings", "What is it?", "--k", 1)
    return done("sensitivity", "--model", tiny_llava, "--data", scenes, *COMMON, *words, "--out", out)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("default", ()),
        ("rows=at", ("--rows", "at")),
        ("row_reduction=max", ("--row-reduction", "max")),
        ("binarization=soft", ("--binarization", "soft")),
        ("layer_aggregation=top-2", ("--layer-aggregation", "top-2")),
        ("response=own", ("--response", "own", "--max-new-tokens", 4)),
        ("prompt=What is it?", ("--prompt", "What is it?")),
    ],
)
def test_a_variant_is_what_a_run_with_that_option_gives(name, words, answer, out, tiny_llava, scenes, tmp_path):
    found = Sensitivity.read(out)
    alone = ("score", "--model", tiny_llava, "--data", scenes, *COMMON[:6], *ALONE, *words, "--out", tmp_path / "run")
    done(*alone)
    expected = HeadScores.read(tmp_path / "run").layer_values["head_impact"]
    assert found.layer_values[found.names.index(name)] == pytest.approx(expected, abs=1e-6)


def test_every_option_that_the_method_leaves_open_is_tried(answer, out):
    found = Sensitivity.read(out)
    options = [name.partition("=")[0] for name in found.names]
    assert options == [
        "default",
        *["layer_aggregation"] * 2,
        *["binarization"] * 4,
        "rows",
        "row_reduction",
        "response",
        "prompt",
    ]
    assert np.diag(found.overlap).tolist() == [1.0] * len(options)
    assert found.images == 6
    assert "agreement with the default" in answer.out
    assert all(name in answer.out for name in found.names)


def test_the_report_shows_it_and_a_finished_run_says_so(answer, out, tiny_llava, scenes, tmp_path):
    words = ("sensitivity", "--model", tiny_llava, "--data", scenes, *COMMON, "--wordings", "What is it?", "--k", 1)
    assert "finished already" in done(*words, "--resume", "--out", out).out
    done("report", out, "--out", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "How far do options move the ranking?" in page
    assert "11 prompt=What is it?" in page


def test_the_plan_names_the_variants_and_too_many_layers_are_refused(tiny_llava, scenes, tmp_path):
    words = ("sensitivity", "--model", tiny_llava, "--data", scenes, *COMMON, "--out", tmp_path / "run")
    planned = json.loads(done(*words, "--dry-run", "--json").out)["variants"]
    assert planned[0] == "default"
    assert "prompt=Write a caption for this picture." in planned
    assert "--k is 0; expected 1 or more" in run(*words, "--k", 0).errors[0]
    assert "--k is 3 and the model has 3 layers" in run(*words, "--k", 3).errors[0]
    assert not (tmp_path / "run").exists()
