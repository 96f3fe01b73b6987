"""Work in shards: one file of arrays per block of pictures, so that a stopped run loses one block at most.

A shard is one safetensors file; what it is about lies as JSON in its metadata. It appears under its name only when
whole, and the same arrays give the same bytes.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from headimpact.core.artifacts import write_tensors
from headimpact.core.errors import DataFormatError, IncompatibleRunsError


def shard_path(folder: Path, index: int) -> Path:
    """Give the path of one shard."""
    return folder / f"shard_{index:05d}.safetensors"


def write_arrays(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    *,
    schema: str,
    identity: Mapping[str, Any],
    record: Mapping[str, Any],
) -> None:
    """Write one shard.

    Args:
        path: The file.
        arrays: Its arrays by name.
        schema: Name and version of what it holds.
        identity: What decides the numbers (model, options, seeds, hash of all picture ids), JSON values; a run resumed
            with another identity is refused.
        record: What else belongs to the arrays, JSON values.

    Raises:
        RunFailedError: If the file system refuses.
    """
    content = {"schema": schema, "identity": dict(identity), **record}
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, allow_nan=False)
    write_tensors(path, arrays, metadata={"shard": text})


def missing_indices(folder: Path, count: int, *, schema: str, identity: Mapping[str, Any]) -> list[int]:
    """List the blocks that a run still has to work on.

    Args:
        folder: Folder of the run's shards; may be missing.
        count: Blocks of the whole run.
        schema: Name and version of what shards hold.
        identity: What the run is asked for now.

    Returns:
        Numbers of missing blocks, in order.

    Raises:
        IncompatibleRunsError: If a block that is there was made with another identity, or is beyond the run.
        DataFormatError: If a block that is there cannot be read.
    """
    known = {shard_path(folder, index) for index in range(count)}
    found = set(folder.glob("shard_*.safetensors")) if folder.is_dir() else set()
    beyond = sorted(found - known)
    if beyond:
        raise IncompatibleRunsError(
            f"Run cannot go on: {beyond[0]} is beyond the {count} shards of this run. Resume with the data, "
            "limit and shard size it was started with, or choose another --out."
        )
    for path in sorted(found):
        read_record(path, schema=schema, identity=identity)
    return [index for index in range(count) if shard_path(folder, index) not in found]


def read_record(path: Path, *, schema: str, identity: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Read a shard's metadata without its arrays.

    Args:
        path: The file.
        schema: Name and version of what it must hold.
        identity: What the run was asked for; not checked if left out.

    Raises:
        DataFormatError: If the file cannot be read or is of another schema.
        IncompatibleRunsError: If the block was made with another identity.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            record = json.loads((file.metadata() or {})["shard"])
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise DataFormatError(_broken(path, schema, error)) from error
    if record.get("schema") != schema:
        raise DataFormatError(
            f"Wrong kind of shard: {path} says schema {record.get('schema')!r}, expected {schema!r}. Run it again "
            "with this version."
        )
    if identity is not None:
        _check_identity(path, record["identity"], identity)
    return dict(record)


def read_arrays(path: Path, names: tuple[str, ...], *, schema: str) -> dict[str, np.ndarray]:
    """Read some of a shard's arrays.

    Args:
        path: The file.
        names: Arrays to read.
        schema: Name and version of what it must hold, for the message.

    Raises:
        DataFormatError: If the file cannot be read or lacks an array.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise DataFormatError(_broken(path, schema, error)) from error


def refuse_missing(path: Path, index: int, count: int) -> None:
    """Refuse to read a run that is not finished.

    Raises:
        DataFormatError: If the shard is not there.
    """
    if not path.is_file():
        raise DataFormatError(
            f"Shard {index} of {count} is missing: {path}. Finish the run with --resume before using it."
        )


def _broken(path: Path, schema: str, error: Exception) -> str:
    """Say that a shard cannot be read."""
    return f"Cannot read shard {path}: {error!r}. Expected a {schema} file; delete it and run with --resume."


def _check_identity(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse a shard that was made for something else, naming what differs.

    Raises:
        IncompatibleRunsError: If a field differs.
    """
    plain = json.loads(json.dumps(dict(wanted)))
    for name in sorted({*found, *plain}):
        if found.get(name) != plain.get(name):
            raise IncompatibleRunsError(
                f"Run cannot go on: {path} was made with {name} = {found.get(name)!r}, now it is "
                f"{plain.get(name)!r}. Resume with the same options, or choose another --out."
            )
