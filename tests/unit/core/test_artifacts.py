import errno
from pathlib import Path

import numpy as np
import pytest

from headimpact.core import artifacts
from headimpact.core.artifacts import (
    atomic_file,
    atomic_folder,
    read_json,
    read_tensors,
    refuse_used,
    write_json,
    write_tensors,
)
from headimpact.core.errors import DataFormatError, OutputInUseError, RunFailedError


def test_json_comes_back_as_it_was(tmp_path):
    write_json(tmp_path / "a" / "x.json", {"name": "größe", "values": [1, 2.5]}, schema="thing/1")
    assert read_json(tmp_path / "a" / "x.json", schema="thing/1") == {"name": "größe", "values": [1, 2.5]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(None, "File not found", id="missing"),
        pytest.param("{", "Cannot read .* as JSON", id="broken"),
        pytest.param("[1]", "says schema None", id="no object"),
        pytest.param('{"schema": "thing/2"}', "says schema 'thing/2', expected 'thing/1'", id="other version"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, text, message):
    path = tmp_path / "x.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataFormatError, match=message):
        read_json(path, schema="thing/1")


def test_nan_is_never_written_as_json(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"value": float("nan")}, schema="thing/1")
    assert list(tmp_path.iterdir()) == []


def test_tensors_come_back_and_have_the_same_bytes_in_any_order(tmp_path):
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones(2, dtype=np.int64)
    write_tensors(tmp_path / "1.safetensors", {"a": a, "b": b})
    write_tensors(tmp_path / "2.safetensors", {"b": b, "a": a.T.copy().T})
    assert (tmp_path / "1.safetensors").read_bytes() == (tmp_path / "2.safetensors").read_bytes()
    assert np.array_equal(read_tensors(tmp_path / "1.safetensors")["a"], a)


def test_broken_tensors_are_refused(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"no")
    with pytest.raises(DataFormatError, match="as safetensors"):
        read_tensors(tmp_path / "x.safetensors")
    with pytest.raises(DataFormatError, match="File not found"):
        read_tensors(tmp_path / "y.safetensors")


def test_an_error_inside_the_block_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(KeyError), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_inside_the_block_leaves_no_folder(tmp_path):
    with pytest.raises(KeyError), atomic_folder(tmp_path / "out") as temporary:
        (temporary / "x").write_text("half")
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_replaced_only_when_asked(tmp_path):
    out = tmp_path / "out"
    with atomic_folder(out) as temporary:
        (temporary / "x").write_text("1")
    with pytest.raises(OutputInUseError, match="--overwrite"), atomic_folder(out):
        pass
    with atomic_folder(out, overwrite=True) as temporary:
        (temporary / "y").write_text("2")
    assert [p.name for p in out.iterdir()] == ["y"]


def test_an_empty_folder_is_not_in_use(tmp_path):
    refuse_used(tmp_path, overwrite=False)
    refuse_used(tmp_path / "missing", overwrite=False)


def test_a_full_disk_is_one_clear_failure(tmp_path, monkeypatch):
    def full(self: Path, *args: object, **kwargs: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(RunFailedError, match=r"No space left on device\. Free space") as error:
        write_json(tmp_path / "x.json", {"a": 1}, schema="thing/1")
    assert error.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_clear_failure(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFailedError, match="Cannot write"), artifacts.atomic_file(tmp_path / "file" / "x"):
        pass
