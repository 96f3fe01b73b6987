"""`score --until-stable`: stops early and says so, goes on with the same bits, takes the pictures of --limit."""

import json
import shutil
from pathlib import Path

import pytest

from headimpact.embedded.scenes import build_scenes
from headimpact.scoring.head_scores import HeadScores
from tests.integration.conftest import done, run

COUNT = 70
COMMON = ("--split", "all", "--draws", 100, "--bootstrap", 20, "--donors", 2, "--examples", 1, "--batch-size", 16)
STEADY = ("--score", "image_attention", "--k", 2, *COMMON)
"""How much a random model looks at the picture hardly depends on the picture, so that 32 are enough."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_scenes(tmp_path_factory.mktemp("scenes") / "data", task="where", counts={"train": COUNT}, seed=0)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, tiny_llava: Path, data: Path) -> Path:
    out = tmp_path_factory.mktemp("stopped") / "run"
    words = ("score", "--model", tiny_llava, "--data", data, *STEADY, "--until-stable", "--baseline", "untrained")
    answer = done(*words, "--out", out)
    assert f"stable at 32 of {COUNT} pictures: best 2 " in answer.out
    return out


def test_it_stops_when_stable_on_the_pictures_that_limit_draws(stopped, tiny_llava, data, tmp_path):
    content = json.loads((stopped / "stability.json").read_text())
    assert (content["planned"], content["stable_at"], len(content["looks"])) == ([32, 64, COUNT], 32, 1)
    assert len(list((stopped / "samples").glob("*.safetensors"))) == 2
    assert len(list((stopped / "untrained_samples").glob("*.safetensors"))) == 2
    assert HeadScores.read(stopped).counts["used"] == 32
    limited = tmp_path / "limited"
    done("score", "--model", tiny_llava, "--data", data, *STEADY, "--limit", 32, "--out", limited)
    ids = [json.loads((out / "split.json").read_text())["image_ids"] for out in (stopped, limited)]
    assert ids[0] == ids[1]
    alike = [HeadScores.read(out).layer_values["image_attention"] for out in (stopped, limited)]
    assert alike[0] == pytest.approx(alike[1])


def test_a_stopped_run_goes_on_with_the_same_bits(stopped, tiny_llava, data, tmp_path):
    out = tmp_path / "run"
    (out / "samples").mkdir(parents=True)
    shutil.copy(stopped / "config.yaml", out / "config.yaml")
    kept = shutil.copy(stopped / "samples/shard_00000.safetensors", out / "samples/shard_00000.safetensors")
    before = kept.stat().st_mtime_ns
    words = ("score", "--model", tiny_llava, "--data", data, *STEADY, "--until-stable", "--baseline", "untrained")
    done(*words, "--resume", "--out", out)
    assert kept.stat().st_mtime_ns == before
    for name in ("head_scores.safetensors", "head_scores.json", "stability.json", "split.json"):
        assert (out / name).read_bytes() == (stopped / name).read_bytes(), name
    assert "finished already" in done(*words, "--resume", "--out", out).out


def test_what_is_not_settled_takes_every_picture_and_says_what_would_help(tiny_llava, data, tmp_path):
    words = ("score", "--model", tiny_llava, "--data", data, "--k", 1, *COMMON, "--limit", 40, "--until-stable")
    answer = done(*words, "--json", "--out", tmp_path / "run").json
    assert answer["stable_at"] is None
    assert answer["counts"]["used"] == 40
    again = done(*words, "--resume", "--out", tmp_path / "run").out
    assert "not stable at 40 of 40 pictures" in again
    assert "expected below 2%: score more pictures, or choose another --k" in again


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(("--until-stable", "--layer-aggregation", "max"), "expected mean, whose error", id="rule"),
        pytest.param(("--k", 0), "--k is 0; expected 1 or more", id="none"),
        pytest.param(("--k", 3), "--k is 3 and the model has 3 layers", id="all"),
    ],
)
def test_choices_that_cannot_be_told_are_refused(words, said, tiny_llava, data, tmp_path):
    answer = run("score", "--model", tiny_llava, "--data", data, *COMMON, *words, "--out", tmp_path / "run")
    assert answer.code == 2
    assert said in answer.errors[0]
    assert not (tmp_path / "run").exists()


def test_the_plan_names_the_looks(tiny_llava, data, tmp_path):
    words = ("score", "--model", tiny_llava, "--data", data, *COMMON, "--until-stable", "--dry-run")
    assert f"looks at: 32 64 {COUNT} pictures" in done(*words, "--out", tmp_path / "run").out
