"""Runs commands in this process, and keeps one small scenes folder for all tests of the room."""

import contextlib
import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from headimpact.cli.main import main
from headimpact.embedded.scenes import build_scenes


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a command gave."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def errors(self) -> list[str]:
        """Lines of the error, progress bars left out."""
        lines = [line.rpartition("\r")[2] for line in self.err.splitlines()]
        start = next((n for n, line in enumerate(lines) if line.startswith("headimpact: error: ")), len(lines))
        return lines[start:]


def run(*words: object) -> Answer:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(word) for word in words])
    return Answer(code, out.getvalue(), err.getvalue())


def done(*words: object) -> Answer:
    """Run a command that must succeed."""
    answer = run(*words)
    assert answer.code == 0, answer.err[-2000:]
    return answer


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of a few scenes in every split; do not change it."""
    counts = {"calibration": 6, "train": 6, "validation": 2, "test": 6}
    return build_scenes(tmp_path_factory.mktemp("scenes") / "data", task="describe", counts=counts, seed=0)


@pytest.fixture(scope="session")
def tiny_llava(tiny_checkpoint: Callable[[str], Path]) -> Path:
    return tiny_checkpoint("llava-siglip")
