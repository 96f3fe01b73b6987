import dataclasses
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from headimpact.core.errors import DataFormatError, IncompatibleRunsError
from headimpact.evaluation.prediction_parts import PredictionParts
from headimpact.evaluation.requests import split_blocks
from headimpact.evaluation.results import Prediction
from tests.unit.evaluation.test_requests import request

OPTIONS = {"model": "m", "num_beams": 1}
BLOCKS = split_blocks([request(f"{n:02d}") for n in range(7)], block_size=3)


def respond(block):
    return [Prediction(r.image_id, f"response to {r.image_id}", r.references, r.names) for r in block]


def run(folder, *, stop_after=None, order=None):
    parts = PredictionParts(folder, BLOCKS, options=OPTIONS)
    for done, index in enumerate(order or parts.missing()):
        if done == stop_after:
            return None
        parts.write(index, respond(BLOCKS[index]))
    return parts.merge()


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_writes_one_file_a_block_and_joins_them(tmp_path):
    predictions = run(tmp_path)
    assert [p.image_id for p in predictions] == [f"{n:02d}" for n in range(7)]
    assert list(contents(tmp_path)) == ["predictions.jsonl"]


@pytest.mark.parametrize("stop_after", [0, 1, 2])
def test_stopped_and_resumed_gives_the_same_bytes(tmp_path, stop_after):
    run(tmp_path / "whole")
    assert run(tmp_path / "cut", stop_after=stop_after) is None
    assert len(PredictionParts(tmp_path / "cut", BLOCKS, options=OPTIONS).missing()) == 3 - stop_after
    run(tmp_path / "cut")
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_the_order_of_the_blocks_does_not_matter(tmp_path):
    run(tmp_path / "a")
    run(tmp_path / "b", order=[2, 0, 1])
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_stopped_between_joining_and_clearing_up_is_cleared_up(tmp_path):
    run(tmp_path / "whole")
    parts = PredictionParts(tmp_path / "cut", BLOCKS, options=OPTIONS)
    for index in range(3):
        parts.write(index, respond(BLOCKS[index]))
    (tmp_path / "cut" / "predictions.jsonl").write_bytes((tmp_path / "whole" / "predictions.jsonl").read_bytes())
    (tmp_path / "cut" / "predictions" / "part-00001.jsonl").unlink()
    again = PredictionParts(tmp_path / "cut", BLOCKS, options=OPTIONS)
    assert again.missing() == ()
    assert len(again.merge()) == 7
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


def test_half_a_block_is_no_block(tmp_path):
    parts = PredictionParts(tmp_path, BLOCKS, options=OPTIONS)
    (tmp_path / "predictions" / ".part-00000.jsonl.x.tmp").write_text('{"image_id": "00"')
    assert parts.missing() == (0, 1, 2)
    with pytest.raises(DataFormatError, match=r"3 of 3 blocks are missing.*--resume"):
        parts.merge()


@pytest.mark.parametrize(
    ("blocks", "options", "field"),
    [
        pytest.param(BLOCKS, {**OPTIONS, "num_beams": 2}, "num_beams was 1 .* is 2", id="option"),
        pytest.param(
            split_blocks([r for b in BLOCKS for r in b], block_size=2), OPTIONS, "blocks was", id="batch size"
        ),
        pytest.param(
            split_blocks([dataclasses.replace(r, prompt="q") for b in BLOCKS for r in b], block_size=3),
            OPTIONS,
            "requests_hash was",
            id="prompt",
        ),
    ],
)
def test_refuses_to_resume_something_else(tmp_path, blocks, options, field):
    run(tmp_path, stop_after=1)
    with pytest.raises(IncompatibleRunsError, match=f"Cannot resume .*: {field}"):
        PredictionParts(tmp_path, blocks, options=options)


def test_refuses_predictions_of_another_block_and_of_other_pictures(tmp_path):
    parts = PredictionParts(tmp_path, BLOCKS, options=OPTIONS)
    with pytest.raises(DataFormatError, match="Block 0 got predictions for"):
        parts.write(0, respond(BLOCKS[1]))
    run(tmp_path)
    other = split_blocks([request("x")], block_size=1)
    with pytest.raises(DataFormatError, match="other pictures than asked for"):
        PredictionParts(tmp_path, other, options=OPTIONS).merge()


PROGRAM = """
import pathlib, sys, time
from tests.unit.evaluation.test_prediction_parts import BLOCKS, OPTIONS, PredictionParts, respond
parts = PredictionParts(pathlib.Path(sys.argv[1]), BLOCKS, options=OPTIONS)
print("ready", flush=True)
for index in parts.missing():
    time.sleep(0.01)
    parts.write(index, respond(BLOCKS[index]))
parts.merge()
"""


def test_killed_at_random_moments_and_resumed_gives_the_same_bytes(tmp_path):
    run(tmp_path / "whole")
    generator = np.random.default_rng(0)
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PROGRAM), str(tmp_path / "cut")],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(["src", "."])},
            stdout=subprocess.PIPE,
        )
        with process:
            assert process.stdout is not None
            process.stdout.readline()
            try:
                process.wait(timeout=float(generator.uniform(0.0, 0.05)))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
    run(tmp_path / "cut")
    found = {name: data for name, data in contents(tmp_path / "cut").items() if not name.endswith(".tmp")}
    assert found == contents(tmp_path / "whole")
