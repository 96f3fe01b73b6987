"""The experiment through the command line on a tiny model: whole, in steps, arm by arm, with one that diverges."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml

from headimpact.selection.selection import Selection
from headimpact.workflows.experiment_configs import ExperimentConfig
from headimpact.workflows.experiment_plan import planned_runs
from headimpact.workflows.experiment_results import compare_task
from tests.integration.conftest import done, run
from tests.integration.test_kill_resume import start_and_kill
from tests.meta.test_import_hygiene import run as without_model_libraries

OPTIONS = {
    "arms": ["top-k", "random", "top-heads"], "k": 1, "random_draws": 1, "seeds": 2, "r": [2],
    "max_steps": 1, "learning_rate": [1e-2, 1e-3], "batch_size": 4, "max_new_tokens": 2, "bootstrap": 100,
    "baseline": None, "primary": "bleu_1",
}  # fmt: skip
ARMS = ["top-k", "random-0", "top-heads"]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, tiny_llava: Path, scenes: Path) -> Path:
    """Give an experiment's YAML file."""
    path = tmp_path_factory.mktemp("config") / "experiment.yaml"
    path.write_text(yaml.safe_dump({**OPTIONS, "model": str(tiny_llava), "data": str(scenes)}))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, config: Path) -> Path:
    """Give the folder of an experiment that was never stopped."""
    out = tmp_path_factory.mktemp("whole") / "out"
    done("experiment", "--config", config, "--out", out)
    return out


def tables(out: Path) -> dict[str, bytes]:
    """Give the comparisons' files and what they were made of."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for pattern in ("comparison-*/comparison.*", "results.md", "grid/*/grid.json", "arms.json")
        for path in sorted(out.glob(pattern))
    }


def test_every_arm_is_tuned_with_every_seed_at_the_same_cost(whole):
    assert json.loads((whole / "arms.json").read_text())["arms"] == ARMS
    names = {f"{arm}-r2-seed{seed}" for arm in ARMS for seed in range(2)}
    assert {path.name for path in (whole / "tuned").iterdir()} == names
    assert {path.name for path in (whole / "evaluated-captioning").iterdir()} == {"base", *names}
    live = {path.stem: Selection.read(path).trainable_parameters() for path in (whole / "selections").iterdir()}
    assert max(live.values()) <= 1.01 * min(live.values())
    heads = Selection.read(whole / "selections" / "top-heads-r2.json")
    assert (heads.strategy, heads.heads is None) == ("top-heads", False)


def test_every_arm_is_offered_the_same_settings_and_takes_its_best(whole):
    for arm in ARMS:
        grid = json.loads((whole / "grid" / f"{arm}-r2" / "grid.json").read_text())
        assert set(grid["values"]) == {"lr0.01-steps1", "lr0.001-steps1"}
        assert grid["values"][grid["chosen"]] == max(grid["values"].values())
        for seed in range(2):
            options = json.loads((whole / "tuned" / f"{arm}-r2-seed{seed}" / "tuning.json").read_text())["options"]
            assert f"lr{options['learning_rate']:g}-steps{options['max_steps']}" == grid["chosen"]
            assert (options["seed"], options["r"]) == (seed, 2)


def test_the_table_has_shifts_intervals_and_one_correction_for_all_choices(whole):
    content = json.loads((whole / "comparison-captioning-r2" / "comparison.json").read_text())
    rows = {row["arm"]: row for row in content["rows"]}
    assert set(rows) == {"base", "top-k", "random", "top-heads"}
    assert all(rows[arm]["shifts"] and rows[arm]["seeds"] == 2 for arm in rows if arm != "base")
    assert content["primary"] == "bleu_1"
    text = (whole / "results.md").read_text()
    assert text.startswith("## captioning, r = 2\n")
    assert "| effect size | p (Holm) |" in text
    report = (whole / "report.html").read_text()
    assert "How did the loss fall?" in report
    assert report.count('class="curve') >= 2 * 3


def test_a_finished_experiment_is_not_done_again(whole, config):
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    answer = done("experiment", "--config", config, "--out", whole, "--resume")
    assert answer.out.splitlines()[-1] == f"finished already: {whole / 'report.html'}"
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


def half_written(out: Path, *names: str) -> list[Path]:
    """Write what a process leaves that is writing, or was killed while it did."""
    found = [out / name for name in names]
    for path in found:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half")
    return found


def test_choosing_again_leaves_alone_what_other_jobs_are_writing(config, tmp_path):
    words = ("experiment", "--config", config, "--out", tmp_path / "out", "--arms", "top-k", "random")
    done(*words, "--step", "arms")
    theirs = half_written(
        tmp_path / "out",
        "tuned/.random-0-r2-seed0.xyz.tmp",
        "tuned/random-0-r2-seed1/.adapter.xyz.tmp",
        "grid/random-0-r2/.grid.json.xyz.tmp",
        "evaluated-captioning/base/predictions/.part-00000.jsonl.xyz.tmp",
    )
    own = half_written(tmp_path / "out", ".arms.json.xyz.tmp", "selections/.top-k-r2.json.xyz.tmp")
    done(*words, "--step", "arms", "--resume")
    assert [path.exists() for path in (*theirs, *own)] == [True] * 4 + [False] * 2
    done(*words, "--arm", "random-0", "--learning-rate", "1e-2", "1e-3")
    assert [path for path in theirs if path.exists()] == theirs[3:], "a run deletes what is left of itself alone"


def test_arms_one_by_one_and_shared_out_give_the_same_table(whole, config, tmp_path, monkeypatch):
    words = ("experiment", "--config", config, "--out", tmp_path / "out")
    listed = done(*words, "--step", "arms").out.split()
    assert listed == ["base", *ARMS]
    early = run(*words, "--step", "compare")
    assert (early.code, "no run is evaluated" in early.errors[0]) == (2, True)
    for arm in listed[:2]:
        assert "finished: " in done(*words, "--arm", arm).out
    partly = done(*words, "--step", "compare")
    assert "Not finished, left out: 4 of 7 runs (random-0-r2-seed0" in partly.out
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", "2")
        done(*words, "--step", "tune")
        assert len(list((tmp_path / "out" / "tuned").iterdir())) == (4, 6)[int(rank)]
    done(*words, "--step", "compare")
    assert tables(tmp_path / "out") == tables(whole)


def test_the_comparison_reads_files_only(whole, config, tmp_path):
    shutil.copytree(whole, tmp_path / "out")
    for folder in ("tuned", "scores", "grid"):
        shutil.rmtree(tmp_path / "out" / folder)
    words = ["experiment", "--config", str(config), "--out", str(tmp_path / "out"), "--step", "compare"]
    answer = without_model_libraries(f"from headimpact.cli.main import main\nraise SystemExit(main({words!r}))")
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "out" / "results.md").read_text() == (whole / "results.md").read_text()


def test_draws_that_do_not_exist_are_named_beside_the_verdict(whole, config):
    options = {**yaml.safe_load(config.read_text()), "random_draws": 2, "primary": ("bleu_1",)}
    asked = ExperimentConfig(out=whole, **options)
    table = compare_task(asked, "captioning", planned_runs(asked, ARMS))
    assert table.notes[0] == "Different draws of random: only 1 exist, 2 were asked for."


def test_an_arm_whose_loss_is_nan_is_named_and_the_others_stand(config, tmp_path, monkeypatch, caplog):
    """The optimiser of one layer's adapter starts from NaN; what notices it and what goes on is ours."""
    out = tmp_path / "out"
    arms = ("--arms", "top-k", "random", "all", "gate-gradient", "--random-draws", 2)
    words = ("experiment", "--config", config, "--out", out, "--learning-rate", "1e-2", "--seeds", 1, *arms)
    done(*words, "--step", "arms")
    chosen = {path.stem: Selection.read(path).layers for path in (out / "selections").iterdir()}
    poisoned = chosen["random-1-r2"]
    lost = {f"{name}-seed0" for name, layers in chosen.items() if layers == poisoned}
    create = transformers.Trainer.create_optimizer

    def poison(trainer: transformers.Trainer) -> Any:
        tuned = {name: one for name, one in trainer.model.named_parameters() if one.requires_grad}
        if all(f"layers.{poisoned[0]}." in name for name in tuned):
            for parameter in tuned.values():
                parameter.data.fill_(torch.nan)
        return create(trainer)

    monkeypatch.setattr(transformers.Trainer, "create_optimizer", poison)
    answer = run(*words, "--resume")
    assert answer.code == 1
    assert "Run random-1-r2-seed0 failed, the others go on. Tuning" in caplog.text
    assert "diverged in step 1 of 1: the loss is nan" in caplog.text
    assert "Failed, left out: random-1-r2-seed0. Tuning" in answer.out
    content = json.loads((out / "comparison-captioning-r2" / "comparison.json").read_text())
    assert {row["arm"] for row in content["rows"]} >= {"base", "top-k", "random", "all"}
    monkeypatch.undo()
    again = run(*words, "--resume", "--json")
    assert (again.code, set(again.json["failed"])) == (1, lost)
    for name in lost:
        assert not (out / "evaluated-captioning" / name).exists()
        shutil.rmtree(out / "tuned" / name)
    assert done(*words, "--resume", "--json").json["failed"] == {}


def test_answers_are_learned_and_captions_measured_beside_them(tiny_llava, scenes, tmp_path):
    options = ("--arms", "top-k", "random", "--k", 1, "--random-draws", 1, "--seeds", 1, "--r", 2, "--max-steps", 1)
    sizes = ("--batch-size", 4, "--max-new-tokens", 2, "--bootstrap", 100, "--evaluation-batch-size", 128)
    tasks = ("--tune-task", "vqa", "--evaluate-tasks", "vqa", "captioning", "--answer-template", "sentence")
    measures = ("--primary", "vqa_accuracy", "bleu_1", "--margin", "0.05", "0.1", "--baseline", "None")
    words = ("experiment", "--model", tiny_llava, "--data", scenes, *options, *sizes, *tasks, *measures)
    answer = done(*words, "--out", tmp_path / "out", "--json").json
    assert set(answer["verdicts"]) == {"vqa-r2", "captioning-r2"}
    found = {
        task: json.loads((tmp_path / "out" / f"comparison-{task}-r2" / "comparison.json").read_text())
        for task in ("vqa", "captioning")
    }
    assert [(one["primary"], one["margin"]) for one in found.values()] == [("vqa_accuracy", 0.05), ("bleu_1", 0.1)]
    assert found["vqa"]["options"]["identity"]["answer_template"] == "sentence"
    assert "## captioning, after tuning on vqa, r = 2" in (tmp_path / "out" / "results.md").read_text()


def test_all_arms_save_memory_alike_and_no_run_is_gone_on_with_otherwise(config, tmp_path):
    sizes = ("--learning-rate", "1e-2", "--seeds", 1, "--arms", "top-k", "random")
    words = ("experiment", "--config", config, "--out", tmp_path / "out", *sizes)
    saving = ("--bf16", "--gradient-checkpointing")
    done(*words, *saving, "--step", "arms")
    done(*words, *saving, "--step", "tune")
    records = [json.loads(path.read_text())["options"] for path in (tmp_path / "out").glob("tuned/*/tuning.json")]
    assert [(one["bf16"], one["gradient_checkpointing"]) for one in records] == [(True, True)] * 2
    for left in saving:
        mixed = run(*words, left, "--resume")
        assert mixed.code == 2
        assert f"--{'gradient-checkpointing' if left == '--bf16' else 'bf16'} is False now and was True" in mixed.err


def test_a_dry_run_lists_every_fault_at_once_and_writes_nothing(config, scenes, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(scenes, data)
    for name in ("questions.json", "answers.json"):
        (data / name).unlink()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    wrong = ("--data", data, "--evaluate-tasks", "vqa", "captioning", "--k", 4, "--margin", 0)
    answer = run("experiment", "--config", config, "--out", tmp_path / "out", *wrong, "--dry-run")
    assert answer.code == 2
    assert [line.strip().split(":")[0] for line in answer.errors[1:]] == [
        "--margin is 0.0; expected a difference above 0 that would matter.",
        "Output already exists",
        f"No questions in {data}",
        "Cannot choose 4 layers",
    ]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_arms_are_chosen_before_any_is_tuned(config, tmp_path, monkeypatch):
    words = ("experiment", "--config", config, "--out", tmp_path / "out")
    early = run(*words, "--arm", "top-k")
    assert (early.code, "no config.yaml of a run" in early.errors[0]) == (2, True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    many = run(*words)
    assert (many.code, "Run --step arms alone, then --step tune" in many.errors[0]) == (2, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_killed_and_gone_on_with_it_gives_the_same_table(whole, config, tmp_path):
    out = tmp_path / "out"
    words = ["experiment", "--config", str(config), "--out", str(out), "--resume"]
    for work, files in (("scores/*samples/shard_*", 1), ("grid/*/*/tuning.json", 3), ("evaluated-*/*/metrics.json", 4)):
        start_and_kill(words, out=out, work=work, files=files, delay=0.01)
    done(*words)
    assert tables(out) == tables(whole)


@pytest.mark.slow
def test_a_launcher_shares_the_arms_out(whole, config, tmp_path):
    words = ["experiment", "--config", str(config), "--out", str(tmp_path / "out")]
    done(*words, "--step", "arms")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    launcher = ["torch.distributed.run", "--nproc_per_node", "2", "--master_port", "0", "-m", "headimpact"]
    launched = [sys.executable, "-m", *launcher, *words, "--step", "tune"]
    answer = subprocess.run(launched, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert sorted(answer.stdout.splitlines()) == ["finished: 2 of 2 runs", "finished: 4 of 4 runs"]
    done(*words, "--step", "compare")
    assert tables(tmp_path / "out") == tables(whole)
