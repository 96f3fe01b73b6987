"""Rows of tuning batches in files: safetensors, mapped into memory when they are read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from headimpact.core.artifacts import atomic_file
from headimpact.core.errors import RunFailedError
from headimpact.tuning.rows import TuningRow

_LABELS = "labels"
_KINDS = {"token": "per_token", "row": "per_row"}


def write_rows(path: Path, rows: Sequence[TuningRow]) -> None:
    """Write rows, whole or not at all.

    Args:
        path: The file.
        rows: In the order in which they are read again.

    Raises:
        RunFailedError: If the file system refuses.
    """
    tensors = {
        f"{number}.{kind}.{name}": value.contiguous()
        for number, row in enumerate(rows)
        for kind, field in _KINDS.items()
        for name, value in getattr(row, field).items()
    }
    tensors |= {f"{number}.{_LABELS}": row.labels for number, row in enumerate(rows)}
    with atomic_file(path) as temporary:
        try:
            save_file(tensors, temporary)
        except SafetensorError as error:
            raise RunFailedError(f"Cannot write {path}: {error}. Free space or choose --prefix-cache-dir.") from error


def read_row(path: Path, number: int) -> TuningRow:
    """Map one row into memory.

    Args:
        path: The file.
        number: Place of the row in it.

    Returns:
        The row; its tensors are parts of the file, read where they are used.

    Raises:
        RunFailedError: If the file is broken or gone.
    """
    found: dict[str, dict[str, Tensor]] = {field: {} for field in _KINDS.values()}
    try:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - no mapping
                owner, _, rest = key.partition(".")
                if owner == str(number) and rest != _LABELS:
                    kind, _, name = rest.partition(".")
                    found[_KINDS[kind]][name] = file.get_tensor(key)
            labels = file.get_tensor(f"{number}.{_LABELS}")
    except (OSError, SafetensorError) as error:
        raise RunFailedError(
            f"Cannot read {path} of the prefix cache: {error}. Delete the file and run again."
        ) from error
    return TuningRow(**cast("Any", found), labels=labels)
