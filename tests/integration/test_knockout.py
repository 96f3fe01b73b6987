"""The knockout stage through the command line: files, resuming, plan, refusals, on a tiny model."""

import json
from pathlib import Path

import numpy as np
import pytest

from headimpact.comparison.knockout_table import KnockoutTable
from headimpact.core.provenance import hash_texts
from tests.integration.conftest import done, run
from tests.integration.makers import edit_json, written_scores

FAST = (
    "--split",
    "test",
    "--draws",
    2,
    "--k",
    1,
    "--head-k",
    3,
    "--bootstrap",
    100,
    "--batch-size",
    4,
    "--shard-size",
    2,
)


class Runs:
    """Scores that choose, and the words of a run."""

    def __init__(self, root: Path, model: Path, data: Path) -> None:
        self.root, self.scores = root, written_scores(root / "scores")
        self.words = ("knockout", "--model", model, "--data", data, "--scores", self.scores, *FAST)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_llava: Path, scenes: Path) -> Runs:
    return Runs(tmp_path_factory.mktemp("knockout"), tiny_llava, scenes)


@pytest.fixture(scope="module")
def whole(runs: Runs) -> Path:
    done(*runs.words, "--each", "head", "--out", runs.root / "whole")
    return runs.root / "whole"


def test_the_run_says_what_it_found(runs, whole):
    found = KnockoutTable.read(whole)
    assert found.pictures == 6
    assert {(row.unit, row.strategy) for row in found.rows} == {
        (unit, strategy)
        for unit in ("layers", "heads")
        for strategy in ("top-k", "bottom-k", "random", "depth-matched")
    }
    assert found.chosen == (2,)
    assert found.values["knockout"].shape == (3, 4)
    assert np.isfinite(found.values["gate_gradient"]).all()
    assert found.options["split"] == "test"
    assert json.loads((whole / "split.json").read_text())["split"] == "test"
    assert (whole / "provenance.json").is_file()
    assert "finished already" in done(*runs.words, "--each", "head", "--out", whole, "--resume").out


def test_a_lost_shard_is_made_again_with_the_same_bits(runs, whole):
    before = {path: path.read_bytes() for path in whole.rglob("*.safetensors")}
    table = (whole / "knockout.json").read_bytes()
    (whole / "samples" / "shard_00001.safetensors").unlink()
    (whole / "knockout.json").unlink()
    done(*runs.words, "--each", "head", "--out", whole, "--resume")
    assert {path: path.read_bytes() for path in before} == before
    assert (whole / "knockout.json").read_bytes() == table


def test_means_are_kept_and_answers_written(runs):
    out = runs.root / "mean"
    words = (*runs.words, "--each", "none", "--knockout", "mean", "--generate", "--max-new-tokens", 3, "--out", out)
    answer = done(*words)
    assert "key-object recall" in answer.out
    before = {path: path.read_bytes() for path in out.rglob("*.safetensors")}
    assert any(path.parent.name == "means" for path in before)
    for name in ("samples/shard_00002.safetensors", "means/shard_00000.safetensors", "knockout.json"):
        (out / name).unlink()
    done(*words, "--resume")
    assert {path: path.read_bytes() for path in before} == before


def test_another_knockout_is_another_measurement(runs, whole):
    out = runs.root / "uniform"
    words = ("--each", "head", "--knockout", "uniform", "--rows", "response", "--without-gates")
    answer = done(*runs.words, *words, "--json", "--out", out).json
    assert answer["blind_rise"] != pytest.approx(KnockoutTable.read(whole).blind.value)
    assert "gate_gradient" not in KnockoutTable.read(out).values


def test_the_models_own_answers_are_another_question(runs, whole):
    out = runs.root / "own"
    done(*runs.words, "--each", "none", "--response", "own", "--max-new-tokens", 4, "--out", out)
    assert KnockoutTable.read(out).plain.value < KnockoutTable.read(whole).plain.value


def test_the_plan_names_cost_and_split(runs):
    out = runs.root / "never"
    answer = done(*runs.words, "--dry-run", "--json", "--out", out).json
    assert answer["split"] == "test"
    assert answer["pictures"] == 6
    assert answer["passes"] == {"forward": 6 * (1 + answer["sets"]), "backward": 6, "answers": 0}
    assert not out.exists()
    text = done(*runs.words, "--dry-run", "--generate", "--out", out).out
    assert "backward passes" in text
    assert "answers" in text


def test_other_pictures_judge_than_chose(runs, scenes):
    words = [word for word in runs.words if word not in {"--split", "test"}]
    assert done(*words, "--dry-run", "--json", "--out", runs.root / "never").json["split"] == "validation"


def test_pictures_that_chose_are_named(runs, scenes, tmp_path):
    scores = written_scores(tmp_path / "scores")
    judged = json.loads((scenes / "instances.json").read_text())["images"]
    ids = [str(image["id"]) for image in judged if image["split"] == "test"][:4]
    edit_json(scores / "head_scores.json", image_hashes=[hash_texts([image_id]) for image_id in ids])
    words = [scores if word == runs.scores else word for word in runs.words]
    notes = done(*words, "--dry-run", "--json", "--out", tmp_path / "out").json["notes"]
    assert any(note.startswith("4 of the 6 pictures also chose the heads") for note in notes)


REFUSED = {
    "knockout": (("--knockout", "zeros"), ("Unknown --knockout 'zeros'", "'zero'")),
    "rows": (("--rows", "at"), ("Unknown --rows 'at'",)),
    "margin": (("--margin", 0), ("--margin is 0.0", "above 0")),
    "bootstrap": (("--bootstrap", 5), ("--bootstrap is 5", "at least 100")),
    "response": (("--response", "mine"), ("Unknown --response 'mine'",)),
    "generate": (("--rows", "response", "--generate"), ("--rows response does not go with --generate",)),
    "k": (("--k", 3), ("--k is 3; expected 1 to 2",)),
    "score": (("--score", "auroc"), ("Unknown score of this run 'auroc'", "--scores auroc")),
}


@pytest.mark.parametrize(("words", "parts"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_done_is_refused_in_one_line(runs, words, parts):
    out = runs.root / "refused"
    answer = run(*runs.words, *words, "--out", out)
    assert answer.code == 2, answer.err
    assert len(answer.errors) == 1
    for part in parts:
        assert part in answer.errors[0]
    assert not out.exists()


def test_scores_of_another_model_are_refused_and_nothing_stays(runs):
    out = runs.root / "other"
    words = ["embedded" if word == runs.words[2] else word for word in runs.words]
    answer = run(*words, "--out", out)
    assert answer.code == 2
    assert "Scores are of another model: embedded is" in answer.errors[0]
    assert answer.out == ""
    assert not out.exists()
