"""Per-picture scores on disk: one file per block of pictures, so that a stopped run loses one block at most.

A shard is one safetensors file; ids, donors, skips and what the run was asked for lie as JSON in its
metadata. It appears under its name only when whole, and the same scores give the same bytes.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from headimpact.core.artifacts import write_tensors
from headimpact.core.errors import DataFormatError, IncompatibleRunsError
from headimpact.core.shapes import ImageHeadValues
from headimpact.scoring.aggregation import blind_heads
from headimpact.scoring.sample_scores import SampleScores

SCHEMA = "sample_scores/1"
TENSORS = ("own", "donors", "sees_image", "baseline_own", "baseline_donors")


def shard_path(folder: Path, index: int) -> Path:
    """Give the path of one shard."""
    return folder / f"shard_{index:05d}.safetensors"


def write_shard(folder: Path, index: int, samples: SampleScores, *, identity: Mapping[str, Any]) -> Path:
    """Write one block of pictures.

    Args:
        folder: Folder of the run's shards (`samples/`).
        index: Number of the block, 0-based.
        samples: The block's scores and skips.
        identity: What decides the numbers (model, options, seeds, hash of all picture ids), JSON values; a
            run resumed with another identity is refused.

    Returns:
        The file.

    Raises:
        RunFailedError: If the file system refuses.
    """
    record = {
        "schema": SCHEMA,
        "identity": dict(identity),
        "image_ids": samples.image_ids,
        "donor_ids": samples.donor_ids,
        "baseline_names": samples.baseline_names,
        "skipped": dict(samples.skipped),
    }
    path = shard_path(folder, index)
    text = json.dumps(record, sort_keys=True, ensure_ascii=True, allow_nan=False)
    write_tensors(path, {name: getattr(samples, name) for name in TENSORS}, metadata={"shard": text})
    return path


def missing_shards(folder: Path, count: int, *, identity: Mapping[str, Any]) -> list[int]:
    """List the blocks that a run still has to score.

    Args:
        folder: Folder of the run's shards; may be missing.
        count: Blocks of the whole run.
        identity: What the run is asked for now.

    Returns:
        Numbers of missing blocks, in order.

    Raises:
        IncompatibleRunsError: If a block that is there was scored with another identity, or is beyond the run.
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
        _check_identity(path, _read_record(path)["identity"], identity)
    return [index for index in range(count) if shard_path(folder, index) not in found]


def read_shards(folder: Path, count: int, *, identity: Mapping[str, Any] | None = None) -> SampleScores:
    """Read all blocks of a run.

    Args:
        folder: Folder of the run's shards.
        count: Blocks of the whole run.
        identity: What the run was asked for; not checked if left out.

    Returns:
        All pictures, in the order of the data set.

    Raises:
        DataFormatError: If a block is missing or broken.
        IncompatibleRunsError: If a block was scored with another identity.
    """
    parts = []
    for index in range(count):
        path = shard_path(folder, index)
        if not path.is_file():
            raise DataFormatError(
                f"Shard {index} of {count} is missing: {path}. Finish the run with --resume before using it."
            )
        record = _read_record(path)
        if identity is not None:
            _check_identity(path, record["identity"], identity)
        parts.append(_read_part(path, record))
    return SampleScores.join(parts)


def read_own_scores(folder: Path, count: int) -> ImageHeadValues:
    """Read what all pictures score against their own masks, leaving the donors' scores on the disk.

    Args:
        folder: Folder of the run's shards.
        count: Blocks of the whole run, all there.

    Returns:
        One entry per picture, in the order of the data set; NaN for heads that hardly ever see the image.

    Raises:
        DataFormatError: If a block is missing or broken.
    """
    parts = [_read_arrays(shard_path(folder, index), ("own", "sees_image")) for index in range(count)]
    own, sees = (np.concatenate([part[name] for part in parts]) for name in ("own", "sees_image"))
    return np.where(blind_heads(sees), np.float32(np.nan), own)


def _read_record(path: Path) -> dict[str, Any]:
    """Read a shard's metadata without its arrays.

    Raises:
        DataFormatError: If the file cannot be read or is of another schema.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            record = json.loads((file.metadata() or {})["shard"])
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise DataFormatError(_broken(path, error)) from error
    if record.get("schema") != SCHEMA:
        raise DataFormatError(
            f"Wrong kind of shard: {path} says schema {record.get('schema')!r}, expected {SCHEMA!r}. Score again "
            "with this version."
        )
    return dict(record)


def _read_part(path: Path, record: Mapping[str, Any]) -> SampleScores:
    """Read a shard's arrays.

    Raises:
        DataFormatError: If the file cannot be read or lacks an array.
    """
    try:
        return SampleScores(
            image_ids=tuple(record["image_ids"]),
            donor_ids=tuple(tuple(ids) for ids in record["donor_ids"]),
            baseline_names=tuple(record["baseline_names"]),
            skipped=record["skipped"],
            **_read_arrays(path, TENSORS),
        )
    except (KeyError, TypeError) as error:
        raise DataFormatError(_broken(path, error)) from error


def _read_arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Read some of a shard's arrays.

    Raises:
        DataFormatError: If the file cannot be read or lacks one.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise DataFormatError(_broken(path, error)) from error


def _broken(path: Path, error: Exception) -> str:
    """Say that a shard cannot be read."""
    return f"Cannot read shard {path}: {error!r}. Expected a {SCHEMA} file; delete it and run with --resume."


def _check_identity(path: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse a shard that was made for something else, naming what differs.

    Raises:
        IncompatibleRunsError: If a field differs.
    """
    plain = json.loads(json.dumps(dict(wanted)))
    for name in sorted({*found, *plain}):
        if found.get(name) != plain.get(name):
            raise IncompatibleRunsError(
                f"Run cannot go on: {path} was scored with {name} = {found.get(name)!r}, now it is "
                f"{plain.get(name)!r}. Resume with the same options, or choose another --out."
            )
