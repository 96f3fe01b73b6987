"""`kill -9` at random moments, then `--resume`: the same bits as without the stop."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.conftest import done
from tests.integration.makers import written_scores

SINGLY = ("--shard-size", 1, "--batch-size", 1, "--seed", 1)
SCORE = ("--draws", 200, "--bootstrap", 50, "--donors", 3, *SINGLY)
STAGES = {
    "advise": ("--split", "all", "--limit", 8, "--examples", 1, "--k", 1, *SCORE),
    "score": ("--split", "all", "--limit", 8, "--baseline", "untrained", "--examples", 1, *SCORE),
    "evaluate": ("--split", "all", "--limit", 8, "--max-new-tokens", 4, "--batch-size", 1),
    "knockout": ("--split", "all", "--limit", 5, "--k", 1, "--draws", 1, "--bootstrap", 100, *SINGLY),
    "sensitivity": ("--split", "all", "--limit", 8, "--k", 1, "--max-new-tokens", 4, *SINGLY),
}
WORK = {
    "advise": "scores/samples/shard_*.safetensors",
    "score": "*samples/shard_*.safetensors",
    "evaluate": "predictions/part-*.jsonl",
    "knockout": "samples/shard_*.safetensors",
    "sensitivity": "samples/shard_*.safetensors",
}
RESULTS = {
    "advise": ("scores/head_scores.json", "selection.json", "adapter_config.json", "advice.json"),
    "score": ("head_scores.safetensors", "head_scores.json"),
    "evaluate": ("predictions.jsonl", "metrics.json", "metric_parts.safetensors"),
    "knockout": ("knockout.safetensors", "knockout.json"),
    "sensitivity": ("split.json", "sensitivity.json"),
}
PATIENCE_SECONDS = 120


@pytest.fixture(scope="module")
def words(tiny_llava: Path, scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Path], list[str]]:
    scores = written_scores(tmp_path_factory.mktemp("scores"))

    def give(stage: str, out: Path) -> list[str]:
        chosen_by = ("--scores", scores) if stage == "knockout" else ()
        inputs = ("--model", tiny_llava, "--data", scenes, *chosen_by, *STAGES[stage], "--out", out)
        return [stage, *map(str, inputs)]

    return give


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, words: Callable[[str, Path], list[str]]) -> Callable[[str], Path]:
    """Give the folder of a run that was never stopped."""
    made: dict[str, Path] = {}

    def give(stage: str) -> Path:
        if stage not in made:
            made[stage] = tmp_path_factory.mktemp("whole") / stage
            done(*words(stage, made[stage]))
        return made[stage]

    return give


def start_and_kill(words: list[str], *, out: Path, work: str, files: int, delay: float) -> None:
    """Start a command in a process of its own and kill it some time after the n-th file of work has appeared."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "headimpact", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        text=True,
    )
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        while len(list(out.glob(work))) < files:
            assert process.poll() is None, f"ended too early: {process.stderr.read() if process.stderr else ''}"
            assert time.monotonic() < deadline, "no work appeared"
            time.sleep(0.002)
        time.sleep(delay)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def same_bytes(stage: str, one: Path, other: Path) -> None:
    for name in RESULTS[stage]:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def kill_and_compare(stage: str, words, whole, out: Path, *, moments: list[tuple[int, float]]) -> None:
    """Kill a run several times, finish it in this process, and compare."""
    for files, delay in moments:
        start_and_kill([*words(stage, out), "--resume"], out=out, work=WORK[stage], files=files, delay=delay)
    kept = {path: path.stat().st_mtime_ns for path in out.glob(WORK[stage])}
    assert not (out / RESULTS[stage][1]).is_file(), "the run was finished before it was killed"
    done(*words(stage, out), "--resume")
    if stage != "evaluate":  # which joins its parts in the end
        assert {path: path.stat().st_mtime_ns for path in kept} == kept, "work that was done was done again"
    same_bytes(stage, out, whole(stage))
    assert not list(out.rglob(".*.tmp"))
    (split_file,) = out.rglob("split.json")
    assert json.loads(split_file.read_text())["split"] == "all"


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_run_ends_with_the_same_bits(stage, words, whole, tmp_path):
    kill_and_compare(stage, words, whole, tmp_path / "out", moments=[(2, 0.005)])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("stage", STAGES)
def test_a_run_killed_again_and_again_ends_with_the_same_bits(stage, seed, words, whole, tmp_path):
    generator = random.Random(seed)
    files = sorted(generator.sample(range(1, 6), 3))
    moments = [(count, generator.random() * 0.02) for count in files]
    kill_and_compare(stage, words, whole, tmp_path / "out", moments=moments)


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("delay", [0.0, 0.5, 1.5, 2.5, 3.5])
def test_a_run_killed_before_its_first_work_starts_anew(stage, delay, words, whole, tmp_path):
    out = tmp_path / "out"
    start_and_kill(words(stage, out), out=tmp_path, work="*", files=0, delay=delay)
    done(*words(stage, out), "--resume")
    same_bytes(stage, out, whole(stage))


@pytest.mark.parametrize("stage", STAGES)
def test_without_resume_a_killed_run_is_refused(stage, words, whole, tmp_path):
    from tests.integration.conftest import run

    out = tmp_path / "out"
    out.mkdir()
    (out / "config.yaml").write_bytes((whole(stage) / "config.yaml").read_bytes())
    answer = run(*words(stage, out))
    assert answer.code == 2
    assert "Output already exists" in answer.errors[0]
