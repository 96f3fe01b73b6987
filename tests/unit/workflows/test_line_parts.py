"""Blocks of lines: joined in order, resumed, and refused for other pictures."""

from pathlib import Path
from typing import Any

import pytest

from headimpact.core.errors import DataFormatError, IncompatibleRunsError
from headimpact.workflows.line_parts import LineParts

BLOCKS = [["1", "2"], ["3"]]
LINES: list[list[dict[str, Any]]] = [
    [{"image_id": "1", "n": 0.1}, {"image_id": "2", "n": "\u2028"}],
    [{"image_id": "3", "n": None}],
]


def parts(folder: Path, *, blocks: list[list[str]] = BLOCKS, **identity: str) -> LineParts:
    return LineParts(folder, "made", blocks, identity={"model": "m", **identity})


def test_blocks_in_any_order_give_the_same_file(tmp_path):
    for name, order in (("a", (0, 1)), ("b", (1, 0))):
        work = parts(tmp_path / name)
        assert work.missing() == (0, 1)
        for index in order:
            work.write(index, LINES[index])
        assert list(work.join().values()) == [line for block in LINES for line in block]
    assert (tmp_path / "a/made.jsonl").read_bytes() == (tmp_path / "b/made.jsonl").read_bytes()
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"made.jsonl", "made.plan.json"}


def test_a_second_start_finds_the_work_of_the_first(tmp_path):
    parts(tmp_path).write(1, LINES[1])
    again = parts(tmp_path)
    assert again.missing() == (0,)
    with pytest.raises(DataFormatError, match=r"blocks are missing. Run again with --resume"):
        again.join()
    again.write(0, LINES[0])
    again.join()
    third = parts(tmp_path)
    assert third.missing() == ()
    assert list(third.join()) == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"model": "other"}, "model was 'm' when the run began"), ({"blocks": [["1", "2"], ["4"]]}, "pictures was")],
    ids=["model", "pictures"],
)
def test_other_work_is_refused(tmp_path, change, message):
    parts(tmp_path)
    with pytest.raises(IncompatibleRunsError, match=message):
        parts(tmp_path, **change)
    for index, lines in enumerate(LINES):
        parts(tmp_path).write(index, lines)
    parts(tmp_path).join()
    with pytest.raises(IncompatibleRunsError, match=message):
        parts(tmp_path, **change)


@pytest.mark.parametrize("text", ["{", '{"image_id": "9"}\n', "[]\n"], ids=["broken", "other", "no object"])
def test_a_joined_file_that_is_none_of_ours_is_refused(tmp_path, text):
    (tmp_path / "made.jsonl").write_text(text)
    with pytest.raises(DataFormatError, match=r"made.jsonl.*--overwrite"):
        parts(tmp_path).join()
