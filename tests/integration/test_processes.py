"""Several processes that share a scoring run end with the same files as one."""

import os
import subprocess
import sys

import pytest

from headimpact.embedded.scenes import build_scenes

COMMON = ["--baseline", "untrained", "--shard-size", "2", "--draws", "200", "--bootstrap", "50", "--donors", "3"]
LAUNCHER = ["accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
LAUNCHER += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0", "-m", "headimpact"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "data"
    build_scenes(folder, task="describe", counts={"calibration": 10}, seed=0)
    return folder


def score(command, data, checkpoint, out, *words):
    """Run `score` on one CPU thread a process, since two that share a core wait for each other."""
    options = ["--model", str(checkpoint), "--data", str(data), "--out", str(out), "--device", "cpu", *COMMON, *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-m", *command, "score", *options],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_two_processes_give_the_same_tensors_as_one(data, tiny_checkpoint, tmp_path):
    checkpoint = tiny_checkpoint("llava-siglip")
    alone = score(["headimpact"], data, checkpoint, tmp_path / "alone")
    assert alone.returncode == 0, alone.stderr
    together = score(LAUNCHER, data, checkpoint, tmp_path / "together")
    assert together.returncode == 0, together.stderr
    assert together.stdout.count("layers") == alone.stdout.count("layers"), "only the main process speaks"
    names = sorted(path.relative_to(tmp_path / "alone") for path in (tmp_path / "alone").rglob("*.safetensors"))
    assert len([name for name in names if "samples" in str(name)]) == 10
    for name in names:
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "together" / name).read_bytes(), name


@pytest.mark.slow
def test_two_processes_stop_at_the_same_look_as_one(tiny_checkpoint, tmp_path):
    checkpoint = tiny_checkpoint("llava-siglip")
    data = build_scenes(tmp_path / "data", task="where", counts={"calibration": 70}, seed=0)
    words = ("--score", "image_attention", "--k", "2", "--until-stable", "--shard-size", "16", "--examples", "0")
    for name, command in (("alone", ["headimpact"]), ("together", LAUNCHER)):
        done = score(command, data, checkpoint, tmp_path / name, *words)
        assert done.returncode == 0, done.stderr
    names = ["head_scores.safetensors", "stability.json", "samples/shard_00000.safetensors"]
    names += ["samples/shard_00001.safetensors", "untrained_samples/shard_00001.safetensors"]
    for name in names:
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "together" / name).read_bytes(), name
    assert not (tmp_path / "together" / "samples/shard_00002.safetensors").exists()
