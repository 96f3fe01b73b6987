"""Per-picture scores on disk: one file per block of pictures, so that a stopped run loses one block at most."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from headimpact.core.errors import DataFormatError
from headimpact.core.shapes import ImageHeadValues
from headimpact.core.shards import (
    missing_indices,
    read_arrays,
    read_record,
    refuse_missing,
    shard_path,
    write_arrays,
)
from headimpact.scoring.aggregation import blind_heads
from headimpact.scoring.sample_scores import SampleScores

SCHEMA = "sample_scores/1"
TENSORS = ("own", "donors", "sees_image", "baseline_own", "baseline_donors")


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
        "image_ids": samples.image_ids,
        "donor_ids": samples.donor_ids,
        "baseline_names": samples.baseline_names,
        "skipped": dict(samples.skipped),
    }
    path = shard_path(folder, index)
    arrays = {name: getattr(samples, name) for name in TENSORS}
    write_arrays(path, arrays, schema=SCHEMA, identity=identity, record=record)
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
    return missing_indices(folder, count, schema=SCHEMA, identity=identity)


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
        refuse_missing(path, index, count)
        parts.append(_read_part(path, read_record(path, schema=SCHEMA, identity=identity)))
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
    parts = [read_arrays(shard_path(folder, index), ("own", "sees_image"), schema=SCHEMA) for index in range(count)]
    own, sees = (np.concatenate([part[name] for part in parts]) for name in ("own", "sees_image"))
    return np.where(blind_heads(sees), np.float32(np.nan), own)


def _read_part(path: Path, record: Mapping[str, Any]) -> SampleScores:
    """Read a shard's arrays.

    Raises:
        DataFormatError: If the file cannot be read or lacks an array.
    """
    arrays = read_arrays(path, TENSORS, schema=SCHEMA)
    try:
        return SampleScores(
            image_ids=tuple(record["image_ids"]),
            donor_ids=tuple(tuple(ids) for ids in record["donor_ids"]),
            baseline_names=tuple(record["baseline_names"]),
            skipped=record["skipped"],
            **arrays,
        )
    except (KeyError, TypeError) as error:
        raise DataFormatError(
            f"Cannot read shard {path}: {error!r}. Expected a {SCHEMA} file; delete it and run with --resume."
        ) from error
