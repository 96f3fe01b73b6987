"""Files between stages: versioned, written whole or not at all, never over another by accident."""

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from headimpact.core.errors import DataFormatError, OutputInUseError, RunFailedError


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Lend a temporary path beside `path` that replaces it when the block ends well.

    A kill or an error inside the block leaves the old file, or none, and no partial one under its name.

    Args:
        path: The file to write; missing parent folders are made.

    Yields:
        The temporary path to write to.

    Raises:
        RunFailedError: If the file system refuses (disk full, no permission).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
    except OSError as error:
        raise RunFailedError(_write_failed(path, error)) from error
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise RunFailedError(_write_failed(path, error)) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Lend a temporary folder beside `path` that becomes it when the block ends well.

    Args:
        path: The folder to make.
        overwrite: Replace a folder that already holds something.

    Yields:
        The temporary folder to fill.

    Raises:
        OutputInUseError: If `path` already holds something and `overwrite` is off.
        RunFailedError: If the file system refuses (disk full, no permission).
    """
    refuse_used(path, overwrite=overwrite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))
    except OSError as error:
        raise RunFailedError(_write_failed(path, error)) from error
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        temporary.replace(path)
    except OSError as error:
        raise RunFailedError(_write_failed(path, error)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def refuse_used(path: Path, *, overwrite: bool) -> None:
    """Refuse an output path that already holds something.

    Raises:
        OutputInUseError: If `path` is a file or a folder with entries and `overwrite` is off.
    """
    used = path.is_file() or (path.is_dir() and any(path.iterdir()))
    if used and not overwrite:
        raise OutputInUseError(
            f"Output already exists: {path}. Choose another --out, or pass --overwrite to replace it."
        )


def write_json(path: Path, content: Mapping[str, Any], *, schema: str) -> None:
    """Write a JSON object with its schema name and version first.

    Args:
        path: File to write, atomically.
        content: JSON-serialisable values; NaN is refused by `json` rather than written as invalid JSON.
        schema: Name and version, as in `"head_scores/1"`.

    Raises:
        RunFailedError: If the file system refuses.
    """
    text = json.dumps({"schema": schema, **content}, indent=1, ensure_ascii=False, allow_nan=False)
    with atomic_file(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path, *, schema: str) -> dict[str, Any]:
    """Read a JSON object written by `write_json`.

    Args:
        path: File to read.
        schema: The schema expected, as in `"head_scores/1"`.

    Returns:
        The content without the schema entry.

    Raises:
        DataFormatError: If the file is missing, is not a JSON object, or has another schema.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataFormatError(f"File not found: {path}. Expected a {schema} file written by headimpact.") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataFormatError(f"Cannot read {path} as JSON: {error}. Expected a {schema} file.") from error
    found = content.pop("schema", None) if isinstance(content, dict) else None
    if found != schema:
        raise DataFormatError(
            f"Wrong kind of file: {path} says schema {found!r}, expected {schema!r}. "
            "Pass the file of the stage before, written by this version."
        )
    return dict(content)


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], *, metadata: Mapping[str, str] | None = None) -> None:
    """Write named arrays as safetensors, atomically and with the same bytes for the same input.

    Raises:
        RunFailedError: If the file system refuses.
    """
    ordered = {name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)}
    data = save(ordered, metadata=dict(metadata) if metadata else None)
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Read named arrays from a safetensors file.

    Raises:
        DataFormatError: If the file is missing or is not a safetensors file.
    """
    try:
        tensors: dict[str, np.ndarray] = load_file(path)
    except FileNotFoundError:
        raise DataFormatError(f"File not found: {path}. Expected a safetensors file written by headimpact.") from None
    except (OSError, SafetensorError) as error:
        raise DataFormatError(f"Cannot read {path} as safetensors: {error}.") from error
    return tensors


def _write_failed(path: Path, error: OSError) -> str:
    """Say that writing failed, and why."""
    return f"Cannot write {path}: {error.strerror or error}. Free space or choose another --out, then run again."
