"""One command from a model and pictures to layers, verdict, a trainer's config and a report."""

import json

import pytest
import yaml

from tests.integration.conftest import done, run

FEW = ("--split", "all", "--limit", 8, "--draws", 200, "--bootstrap", 50, "--donors", 3)


@pytest.fixture(scope="module")
def advised(tiny_llava, scenes, tmp_path_factory):
    out = tmp_path_factory.mktemp("advice") / "run"
    answer = done("advise", "--model", tiny_llava, "--data", scenes, *FEW, "--k", 1, "--to", "trl", "--out", out)
    return out, answer


def test_it_gives_what_the_single_commands_give(advised, tiny_llava, scenes, tmp_path):
    out, answer = advised
    scores, chosen = tmp_path / "scores", tmp_path / "chosen"
    done("score", "--model", tiny_llava, "--data", scenes, *FEW, "--k", 1, "--out", scores)
    done("select", "--scores", scores, "--k", 1, "--out", chosen)
    for name in ("head_scores.json", "head_scores.safetensors", "stability.json"):
        assert (out / "scores" / name).read_bytes() == (scores / name).read_bytes(), name
    assert json.loads((out / "selection.json").read_text()) == json.loads((chosen / "selection.json").read_text())
    assert (out / "trl.yaml").read_text() == done("export", "--selection", chosen, "--to", "trl").out
    (layer,) = json.loads((chosen / "selection.json").read_text())["layers"]
    assert f"tune layers {layer}: " in answer.out
    assert f"config for trl: {out / 'trl.yaml'}" in answer.out


def test_the_folder_is_a_selection_and_its_config_has_the_chosen_modules(advised, tmp_path):
    out, _ = advised
    record = json.loads((out / "advice.json").read_text())
    exported = yaml.safe_load((out / record["exported"]).read_text())
    (pattern,) = exported["lora_target_modules"]
    assert f"layers\\.(?:{record['layers'][0]})\\." in pattern
    done("export", "--selection", out, "--to", "axolotl", "--out", tmp_path / "axolotl.yaml")
    assert "<html" in (out / "report.html").read_text()[:200]


def test_the_verdict_is_that_of_the_chosen_layers_statistics(advised):
    out, answer = advised
    record = json.loads((out / "advice.json").read_text())
    from headimpact.scoring.head_scores import HeadScores

    q = HeadScores.read(out / "scores").layer_values["q"]
    assert record["above_chance"] == [layer for layer in record["layers"] if q[layer] <= 0.05]
    assert record["verdict"] in answer.out


def test_a_finished_one_answers_again_and_as_json(advised, tiny_llava, scenes):
    out, answer = advised
    words = ("advise", "--model", tiny_llava, "--data", scenes, *FEW, "--k", 1, "--to", "trl", "--out", out)
    again = done(*words, "--resume")
    assert again.out == f"finished already: {out}\n{answer.out}"
    assert done(*words, "--resume", "--json").json["layers"] == json.loads((out / "advice.json").read_text())["layers"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--to", "trk"), "Unknown trainer 'trk'. Did you mean 'trl'"),
        (("--k", 99), "Nothing to choose: --k is 99"),
        (("--target-modules", "qproj"), "Unknown target module 'qproj'. Did you mean 'q_proj'"),
        (("--r", 0), "r must be"),
    ],
)
def test_what_would_fail_behind_the_scores_fails_before_them(words, said, tiny_llava, scenes, tmp_path):
    answer = run("advise", "--model", tiny_llava, "--data", scenes, *FEW, *words, "--out", tmp_path / "out")
    assert answer.code == 2
    (line,) = answer.errors
    assert said in line
    assert not (tmp_path / "out").exists()


def test_one_picture_has_no_chance_level(tiny_llava, scenes, tmp_path):
    answer = done("advise", "--model", tiny_llava, "--data", scenes, "--limit", 1, "--k", 1, "--out", tmp_path / "out")
    assert "Chance not known: there is nothing that these layers could be held against." in answer.out
    assert "nan" not in answer.out


def test_a_dry_run_writes_nothing(tiny_llava, scenes, tmp_path):
    answer = done(
        "advise", "--model", tiny_llava, "--data", scenes, *FEW, "--k", 1, "--out", tmp_path / "out", "--dry-run"
    )
    assert "dry run, nothing was written" in answer.out
    assert not (tmp_path / "out").exists()
