"""The whole job through the command line on a tiny model, every stage from the files of the one before."""

import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from peft import PeftModel

from headimpact.scoring.head_scores import HeadScores
from headimpact.selection.selection import Selection
from tests.integration.conftest import Answer, done, run

SCORE = ("--seed", 4, "--draws", 200, "--bootstrap", 50, "--shard-size", 4, "--donors", 5)
ARMS = {
    "top": ("--strategy", "top-k", "--k", 1),
    "bottom": ("--strategy", "bottom-k", "--k", 1),
    "random": ("--strategy", "random", "--k", 1, "--seed", 3),
    "depth": ("--strategy", "depth-matched", "--k", 1),
    "last": ("--strategy", "last-n", "--k", 1),
    "budget": ("--strategy", "top-k", "--budget", "2.6%"),
    "all": ("--strategy", "all"),
}


class Job:
    """The runs of one job, each made once, and what their commands answered."""

    def __init__(self, root: Path, model: Path, data: Path) -> None:
        self.root, self.model, self.data = root, model, data
        self.answers: dict[str, Answer] = {}

    def inputs(self) -> tuple[object, ...]:
        return ("--model", self.model, "--data", self.data)

    def do(self, name: str, *words: object) -> Path:
        """Run a command into the folder `name`, once."""
        out = self.root / name
        if name not in self.answers:
            self.answers[name] = done(*words, "--out", out)
        return out

    def scores(self) -> Path:
        return self.do("scores", "score", *self.inputs(), *SCORE, "--baseline", "untrained", "--examples", 2)

    def select(self, arm: str) -> Path:
        return self.do(f"select-{arm}", "select", "--scores", self.scores(), *ARMS[arm])

    def tune(self, arm: str) -> Path:
        options = ("--max-steps", 2, "--batch-size", 2, "--learning-rate", "1e-2")
        return self.do(f"tune-{arm}", "tune", *self.inputs(), "--selection", self.select(arm), *options)

    def evaluate(self, arm: str) -> Path:
        adapter = () if arm == "base" else ("--adapter", self.tune(arm))
        return self.do(f"eval-{arm}", "evaluate", *self.inputs(), *adapter, "--max-new-tokens", 3, "--batch-size", 4)

    def compare(self) -> Path:
        runs = [self.evaluate(arm) for arm in ("base", "top", "random")]
        return self.do("compare", "compare", *runs, "--bootstrap", 100)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, tiny_llava: Path, scenes: Path) -> Job:
    return Job(tmp_path_factory.mktemp("job"), tiny_llava, scenes)


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_scenes_are_built_and_sound(tmp_path):
    out = tmp_path / "data"
    words = ("dataset", "build", "scenes", "--count", 12, "--task", "where", "--out", out)
    assert "12 scenes of task 'where'" in done(*words).out
    answer = done("dataset", "validate", out, "--json").json
    assert (answer["faults"], answer["used"], sum(answer["splits"].values())) == ([], 12, 12)
    before = folder_bytes(out)
    assert "finished already" in done(*words, "--resume").out
    assert folder_bytes(out) == before
    assert run(*words).code == 2
    assert run(*words[:4], 13, *words[5:], "--resume").code == 2


def test_scores_hold_figures_beside_chance_and_the_untrained_twin(job):
    scores = HeadScores.read(job.scores())
    assert scores.values["head_impact"].shape == (3, 4)
    assert scores.values["head_impact"].dtype == np.float32
    assert set(scores.counts) >= {"used", "skipped"}
    assert scores.counts["used"] == 6
    assert scores.baseline is not None
    assert set(scores.baselines) == {"uniform", "centre"}
    assert not np.array_equal(scores.baseline.values["head_impact"], scores.values["head_impact"])
    content = json.loads((job.scores() / "head_scores.json").read_text())
    assert content["architecture"]["num_layers"] == 3
    assert {"model", "data_fingerprint", "dtype", "image_backend", "seed"} <= set(content["provenance"])
    provenance = json.loads((job.scores() / "provenance.json").read_text())
    assert provenance["capture_self_check"]["output_difference"] == 0.0
    assert json.loads((job.scores() / "split.json").read_text())["split"] == "calibration"
    out = job.answers["scores"].out
    assert "pictures: 6 used" in out
    assert out.splitlines()[-1] == f"scores: {job.scores()}"


def test_the_models_own_answers_are_scored_too(job, tmp_path):
    done(
        "score",
        *job.inputs(),
        *SCORE,
        "--response",
        "own",
        "--max-new-tokens",
        3,
        "--limit",
        3,
        "--out",
        tmp_path / "s",
    )
    scores = HeadScores.read(tmp_path / "s")
    assert scores.counts["used"] + sum(scores.counts["skipped"].values()) == 3
    assert scores.options["response"] == "own"


@pytest.mark.parametrize("arm", ARMS)
def test_every_strategy_chooses_from_files_alone(job, arm):
    selection = Selection.read(job.select(arm) / "selection.json")
    assert selection.scores_hash == HeadScores.read(job.scores()).file_hash
    assert len(selection.layers) == {"all": 3, "budget": 2}.get(arm, 1)
    out = job.answers[f"select-{arm}"].out
    assert f"layers: {' '.join(map(str, selection.layers))}\n" in out
    assert out.splitlines()[-1].strip() == selection.target_module_names()[-1]


def test_strategies_differ_as_their_names_say(job):
    layers = {arm: Selection.read(job.select(arm) / "selection.json").layers for arm in ARMS}
    values = HeadScores.read(job.scores()).layer_values["head_impact"]
    assert layers["top"] == (int(values.argmax()),)
    assert layers["bottom"] == (int(values.argmin()),)
    assert layers["last"] == (2,)
    assert layers["all"] == (0, 1, 2)
    assert layers["top"] not in (layers["random"], layers["depth"])


def test_tuning_gives_an_adapter_that_plain_peft_loads(job, tiny_model):
    out = job.tune("top")
    record = json.loads((out / "tuning.json").read_text())
    assert record["trainable_parameters"] == 896
    assert f"trainable: 896 of {record['total_parameters']:,} parameters" in job.answers["tune-top"].out
    adapted = PeftModel.from_pretrained(copy.deepcopy(tiny_model("llava-siglip").model), str(out / "adapter"))
    tuned = {name for name, _ in adapted.named_parameters() if "lora_" in name}
    layer = Selection.read(out / "selection.json").layers[0]
    assert len(tuned) == 4
    assert all(f"language_model.layers.{layer}.self_attn" in name for name in tuned)


def test_a_kept_prefix_changes_no_loss_and_serves_the_next_arm(job, tmp_path, caplog):
    words = ("tune", *job.inputs(), "--selection", job.select("last"), "--max-steps", 4, "--batch-size", 4)
    kept = (*words, "--prefix-cache", "on", "--prefix-cache-dir", tmp_path / "cache")
    done(*kept, "--out", tmp_path / "first")
    assert "Prefix cache: what enters layer 2 is kept for 6 examples" in caplog.text
    done(*kept, "--r", 2, "--out", tmp_path / "second")
    done(*words, "--prefix-cache", "off", "--out", tmp_path / "plain")
    records = {name: json.loads((tmp_path / name / "tuning.json").read_text()) for name in ("first", "second", "plain")}
    np.testing.assert_allclose(records["first"]["losses"], records["plain"]["losses"], rtol=0, atol=1e-5)
    found = {name: record["prefix_cache"] for name, record in records.items()}
    assert (found["first"]["examples"], found["first"]["found"]) == (6, 0)
    assert (found["second"]["examples"], found["second"]["found"]) == (0, 6)
    assert found["plain"] is None


def test_heads_fill_a_budget_through_the_command_line(job, tmp_path):
    words = ("select", "--scores", job.scores(), "--heads", "--budget", "900", "--r", 4)
    chosen = done(*words, "--out", tmp_path / "top")
    selection = Selection.read(tmp_path / "top" / "selection.json")
    assert selection.heads is not None
    assert 0.5 * 900 < selection.trainable_parameters() <= 900
    assert "heads (layer.head): " in chosen.out
    other = done(*words, "--strategy", "random", "--draw", 1, "--json", "--out", tmp_path / "random").json
    assert other["heads"] != [list(head) for head in selection.heads]
    ranked = done(*words, "--k", 2, "--json", "--out", tmp_path / "ranked").json
    assert (len(ranked["heads"]), ranked["r"] > 4) == (2, True)


def test_rank_and_projections_come_from_the_selection_unless_given(job, tmp_path):
    job.do("select-small", "select", "--scores", job.scores(), "--budget", "250")
    selection = Selection.read(job.root / "select-small" / "selection.json")
    assert selection.r == 2
    words = ("tune", *job.inputs(), "--selection", job.root / "select-small", "--dry-run", "--json")
    assert done(*words, "--out", tmp_path / "t").json["trainable_parameters"] == selection.trainable_parameters()
    more = done(*words, "--r", 4, "--target-modules", "q_proj", "k_proj", "--out", tmp_path / "t").json
    assert more["trainable_parameters"] == 4 * (32 + 32 + 32 + 16)


def test_evaluation_measures_every_picture(job):
    content = json.loads((job.evaluate("top") / "metrics.json").read_text())
    lines = (job.evaluate("top") / "predictions.jsonl").read_text().splitlines()
    assert content["n"] == len(lines) == 6
    assert job.answers["eval-top"].out.startswith("pictures: 6\n")
    assert {"exact_match", "key_object_recall", "bleu_4", "rouge_l", "cider_d"} <= set(content["metrics"])
    assert content["arm"]["strategy"] == "top-k"
    used = content["used_image_hashes"]
    assert [len(used[use]) for use in ("scored", "tuned", "tested")] == [6, 4, 6]
    assert not set(used["tested"]) & {*used["scored"], *used["tuned"]}


def test_the_comparison_names_what_is_missing_for_a_verdict(job):
    content = json.loads((job.compare() / "comparison.json").read_text())
    assert {row["arm"] for row in content["rows"]} == {"base", "top-k", "random"}
    assert (job.compare() / "comparison.md").is_file()
    assert "exact_match" in job.answers["compare"].out


def test_runs_with_other_data_are_refused_naming_the_field(job, tmp_path):
    other = tmp_path / "eval"
    done("evaluate", *job.inputs(), "--limit", 3, "--max-new-tokens", 3, "--batch-size", 4, "--out", other)
    answer = run("compare", job.evaluate("base"), other, "--out", tmp_path / "c")
    assert answer.code == 2
    assert "data_fingerprint" in answer.errors[0]
    assert not (tmp_path / "c").exists()


def test_the_report_is_one_page_with_everything(job):
    page = job.do("report.html", "report", job.scores(), job.tune("top"), job.evaluate("top"), job.compare())
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>") or text.startswith("<!doctype html>")
    assert "http://" not in text.replace("http://www.w3.org/", "")
    assert "untrained" in text
    assert page.name in job.answers["report.html"].out


JSON_WORDS: dict[str, Callable[[Job], tuple[object, ...]]] = {
    "score": lambda job: ("score", *job.inputs(), *SCORE, "--limit", 2, "--examples", 0),
    "select": lambda job: ("select", "--scores", job.scores(), "--k", 2),
    "tune": lambda job: ("tune", *job.inputs(), "--selection", job.select("top"), "--max-steps", 1),
    "evaluate": lambda job: ("evaluate", *job.inputs(), "--limit", 2, "--max-new-tokens", 2),
    "compare": lambda job: ("compare", job.evaluate("base"), job.evaluate("top"), "--bootstrap", 100),
    "report": lambda job: ("report", job.scores()),
}


@pytest.mark.parametrize("stage", JSON_WORDS)
def test_json_answers_parse_and_a_dry_run_writes_nothing(job, tmp_path, stage):
    out = tmp_path / ("out.html" if stage == "report" else "out")
    words = (*JSON_WORDS[stage](job), "--out", out, "--json")
    planned = done(*words, "--dry-run")
    assert isinstance(planned.json, dict)
    assert list(tmp_path.iterdir()) == []
    answer = done(*words)
    assert isinstance(answer.json, dict)
    assert out.exists()
    assert run(*words, "--dry-run").code == 2, "a dry run checks the output too"


def finished(job: Job) -> list[tuple[str, Path, tuple[object, ...]]]:
    return [
        ("score", job.scores(), (*job.inputs(), *SCORE, "--baseline", "untrained", "--examples", 2)),
        ("select", job.select("top"), ("--scores", job.scores(), *ARMS["top"])),
        ("evaluate", job.evaluate("base"), (*job.inputs(), "--max-new-tokens", 3, "--batch-size", 4)),
    ]


@pytest.mark.parametrize("place", range(3), ids=["score", "select", "evaluate"])
def test_a_finished_run_is_left_alone(job, place):
    stage, out, words = finished(job)[place]
    before = folder_bytes(out)
    assert "finished already" in done(stage, *words, "--out", out, "--resume").out
    refused = run(stage, *words, "--out", out)
    assert refused.code == 2
    assert f"Output already exists: {out}" in refused.errors[0]
    changed = run(stage, *words, "--seed", 5, "--out", out, "--resume")
    assert changed.code == 2
    assert "--seed is 5 now and was" in changed.errors[0]
    assert folder_bytes(out) == before


def test_resuming_a_finished_tuning_run_changes_nothing(job):
    out = job.tune("top")
    before = folder_bytes(out)
    options = ("--max-steps", 2, "--batch-size", 2, "--learning-rate", "1e-2")
    words = ("tune", *job.inputs(), "--selection", job.select("top"), *options, "--out", out)
    assert "finished already" in done(*words, "--resume").out
    assert folder_bytes(out) == before


def test_resume_starts_where_there_is_nothing(job, tmp_path):
    (tmp_path / "out").mkdir()
    words = ("evaluate", *job.inputs(), "--limit", 2, "--max-new-tokens", 2, "--resume")
    for out in (tmp_path / "out", tmp_path / "missing"):
        assert "finished already" not in done(*words, "--out", out).out
        assert (out / "metrics.json").is_file()


def test_overwrite_replaces_a_run_and_nothing_else(job, tmp_path):
    out = tmp_path / "out"
    words = ("select", "--scores", job.scores(), "--out", out)
    done(*words, "--k", 1)
    done(*words, "--k", 2, "--overwrite")
    assert len(Selection.read(out / "selection.json").layers) == 2
    foreign = tmp_path / "photos"
    foreign.mkdir()
    (foreign / "keep.txt").write_text("mine")
    answer = run("select", "--scores", job.scores(), "--out", foreign, "--overwrite")
    assert answer.code == 2
    assert "not written by headimpact" in answer.errors[0]
    assert (foreign / "keep.txt").read_text() == "mine"


def test_options_come_from_yaml_and_a_runs_own_config_makes_it_again(job, tmp_path):
    config = tmp_path / "run.yaml"
    values = {"scores": str(job.scores()), "strategy": "last-n", "k": 2, "out": str(tmp_path / "a")}
    config.write_text(yaml.safe_dump(values))
    done("select", "--config", config)
    assert Selection.read(tmp_path / "a" / "selection.json").layers == (1, 2)
    done("select", "--config", tmp_path / "a" / "config.yaml", "--k", 1, "--out", tmp_path / "b")
    assert Selection.read(tmp_path / "b" / "selection.json").layers == (2,)
    written = yaml.safe_load((tmp_path / "b" / "config.yaml").read_text())
    assert written["k"] == 1
    assert not {"config", "json", "overwrite", "resume", "dry_run"} & set(written)


EXPERIMENT = {
    "calibration": 5, "train": 4, "validation": 0, "test": 5, "k": 1, "random_draws": 1, "depth_matched_draws": 1,
    "max_steps": 1, "batch_size": 4,
}  # fmt: skip


def test_a_demo_runs_whole_and_is_not_done_again(tiny_llava, tmp_path):
    config, out = tmp_path / "demo.yaml", tmp_path / "demo"
    config.write_text(yaml.safe_dump({**EXPERIMENT, "model": str(tiny_llava)}))
    words = ("demo", "--config", config, "--out", out)
    assert done(*words, "--dry-run", "--json").json["arms"]
    assert not out.exists()
    first = done(*words, "--resume").out.splitlines()
    assert first[-1].startswith(f"report: {out / 'report.html'}")
    assert {path.name for path in (out / "evaluated-captioning").iterdir()} == {
        "base", "top-k-r8-seed0", "bottom-k-r8-seed0", "last-n-r8-seed0", "random-0-r8-seed0",
        "depth-matched-0-r8-seed0",
    }  # fmt: skip
    before = folder_bytes(out)
    again = done(*words, "--resume").out.splitlines()
    assert again[-1].startswith("finished already")
    assert again[:-1] == first[:-1]
    assert folder_bytes(out) == before
