"""Several processes that share a run end with the same scores, and the same adapter, as one."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from headimpact.embedded.scenes import build_scenes
from headimpact.models.loading import load_model
from headimpact.selection.selection import Selection
from tests.integration.conftest import done as run_here

COMMON = ["--baseline", "untrained", "--shard-size", "2", "--draws", "200", "--bootstrap", "50", "--donors", "3"]
START_TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
"""What `accelerate launch` starts for several GPUs; for a CPU it starts one process whatever it is asked for."""

ALONE = ["-m", "headimpact"]
LAUNCHER = [*START_TWO, *ALONE]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "data"
    build_scenes(folder, task="describe", counts={"calibration": 10}, seed=0)
    return folder


def launch(command, verb, data, checkpoint, out, *words):
    """Run a command on one CPU thread a process, since two that share a core wait for each other."""
    options = ["--model", str(checkpoint), "--data", str(data), "--out", str(out), "--device", "cpu", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, *map(str, command), verb, *options],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def score(command, data, checkpoint, out, *words):
    return launch(command, "score", data, checkpoint, out, *COMMON, *words)


WHO = """
import atexit, os, sys
from pathlib import Path
import torch.distributed
from headimpact.workflows.processes import Processes

# Registered first, so it runs last: behind what Processes does at the end.
atexit.register(
    lambda: Path(sys.argv[1], "end" + os.environ["RANK"]).write_text(str(torch.distributed.is_initialized()))
)
here = Processes(cpu=True)
if here.is_main and "fail" in sys.argv:
    raise SystemExit(3)
found = (here.rank, here.count, here.agree(True), here.agree(here.is_main), here.hear(here.is_main))
Path(sys.argv[1], str(here.rank)).write_text(repr(found))
"""


def start_two(script, *words):
    script.write_text(WHO)
    command = [sys.executable, *START_TWO, str(script), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_the_launcher_starts_two_that_find_each_other(tmp_path):
    done = start_two(tmp_path / "who.py", str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = [(tmp_path / rank).read_text() for rank in ("0", "1")]
    assert found == ["(0, 2, True, False, True)", "(1, 2, True, False, True)"]
    # A group that is still there when the interpreter ends aborts now and then on a busy machine.
    assert [(tmp_path / name).read_text() for name in ("end0", "end1")] == ["False", "False"]


def test_one_that_fails_ends_the_other_that_waits_for_it(tmp_path):
    done = start_two(tmp_path / "who.py", str(tmp_path), "fail")
    # Which of the two the launcher sees first is chance; that both end, and soon, is not.
    assert done.returncode != 0, done.stderr
    assert not (tmp_path / "1").exists()


def test_two_processes_give_the_same_tensors_as_one(data, tiny_checkpoint, tmp_path):
    checkpoint = tiny_checkpoint("llava-siglip")
    alone = score(ALONE, data, checkpoint, tmp_path / "alone")
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
    for name, command in (("alone", ALONE), ("together", LAUNCHER)):
        done = score(command, data, checkpoint, tmp_path / name, *words)
        assert done.returncode == 0, done.stderr
    names = ["head_scores.safetensors", "stability.json", "samples/shard_00000.safetensors"]
    names += ["samples/shard_00001.safetensors", "untrained_samples/shard_00001.safetensors"]
    for name in names:
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "together" / name).read_bytes(), name
    assert not (tmp_path / "together" / "samples/shard_00002.safetensors").exists()


@pytest.fixture(scope="module")
def four_pictures(tmp_path_factory):
    return build_scenes(tmp_path_factory.mktemp("four") / "data", task="describe", counts={"train": 4}, seed=0)


def tune_words(checkpoint, folder, *, heads=None):
    """Choose what is tuned and give the words of the command.

    Batches of 3 and 1 of four pictures: parts differ in size, and one process has nothing of the small ones.
    """
    loaded = load_model(checkpoint)
    architecture = loaded.family.architecture(loaded.config)
    Selection(strategy="given", layers=(1, 2), heads=heads, architecture=architecture, r=2).write(
        folder / "selection.json"
    )
    return ("--selection", folder, "--batch-size", 3)


def assert_tuned_alike(folder):
    """Hold losses and adapter of two processes to those of one."""
    alone, together = folder / "alone", folder / "together"
    losses, expected = (json.loads((run / "tuning.json").read_text())["losses"] for run in (together, alone))
    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-5)
    found, expected = (load_file(run / "adapter" / "adapter_model.safetensors") for run in (together, alone))
    assert any(weight.any() for name, weight in found.items() if "lora_B" in name), "nothing was learned"
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    files = [{path.relative_to(run) for path in run.rglob("*")} for run in (together, alone)]
    assert files[0] == files[1]


TWO = """
import os, socket, sys
import headimpact.tuning.training
from headimpact.cli.main import main

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
child = os.fork()
rank = "0" if child else "1"
os.environ.update(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
code = main(sys.argv[1:])
sys.exit(code or (os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) if child else 0))
"""
"""Two processes that a launcher could have started, by a fork behind the imports, which are most of a short run."""


def test_two_processes_learn_the_same_in_two_steps_as_one(four_pictures, tiny_checkpoint, tmp_path):
    checkpoint = tiny_checkpoint("llava-siglip")
    words = (*tune_words(checkpoint, tmp_path), "--max-steps", 2, "--learning-rate", 1e-2)
    given = ("--model", checkpoint, "--data", four_pictures, "--device", "cpu", *words)
    run_here("tune", *given, "--out", tmp_path / "alone")
    (tmp_path / "two.py").write_text(TWO)
    done = launch([tmp_path / "two.py"], "tune", four_pictures, checkpoint, tmp_path / "together", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("adapter:") == 1, "only the main process speaks"
    assert_tuned_alike(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("heads", "words"),
    [
        pytest.param(None, ("--gradient-accumulation-steps", 2, "--gradient-checkpointing"), id="layers"),
        pytest.param(((1, 0), (2, 2), (2, 3)), ("--prefix-cache", "on"), id="heads-with-prefix"),
    ],
)
def test_two_processes_tune_the_same_adapter_as_one(four_pictures, tiny_checkpoint, tmp_path, heads, words):
    checkpoint = tiny_checkpoint("llava-siglip")
    given = (*tune_words(checkpoint, tmp_path, heads=heads), "--max-steps", 4, *words)
    for name, command in (("alone", ALONE), ("together", LAUNCHER)):
        done = launch(command, "tune", four_pictures, checkpoint, tmp_path / name, *given)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("adapter:") == 1, "only the main process speaks"
    assert_tuned_alike(tmp_path)

    poisoned = launch(
        LAUNCHER, "tune", four_pictures, checkpoint, tmp_path / "poisoned", *given, "--learning-rate", 1e30
    )
    assert poisoned.returncode == 1
    assert f"Tuning of {tmp_path / 'poisoned'} (given, layers 1 2) diverged in step" in poisoned.stderr
    assert not (tmp_path / "poisoned" / "adapter").exists()
