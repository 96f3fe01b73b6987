"""HeadScores: what a scoring run says about every head and layer; read and written as two files."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from headimpact.core.architecture import ArchitectureSummary
from headimpact.core.artifacts import read_json, read_tensors, write_json, write_tensors
from headimpact.core.errors import DataFormatError
from headimpact.core.provenance import hash_file

SCHEMA = "head_scores/1"
JSON_FILE = "head_scores.json"
TENSOR_FILE = "head_scores.safetensors"
STATISTICS = ("null_mean", "gap", "gap_low", "gap_high", "z", "p", "q")
"""What stands beside the score itself, per head and per layer."""

LAYER_PREFIX = "layer_"
BASELINE_PREFIX = "untrained_"


@dataclasses.dataclass(frozen=True, eq=False)
class HeadScores:
    """Scores of every head and layer of one model, beside chance.

    Attributes:
        score: Name of the score, as in `SCORES`; the key of its values.
        values: The score and `STATISTICS`, float32 `[layers, heads]`; NaN for heads without a score.
        layer_values: The same per layer, `[layers]`.
        counts: `used` pictures, `skipped` by reason, and heads without a score (`blind_heads`).
        architecture: The model's language part.
        options: How the numbers came about.
        provenance: Where they come from.
        warnings: Sentences that belong beside the numbers.
        baselines: Score of maps that need no model (`uniform`, `centre`).
        baseline_statistics: The same with their `STATISTICS`, by name of the map.
        held_out: Best head of one half of the pictures, reported on the other, both ways round.
        image_hashes: Hash of each scored picture's id, sorted, so that tests on them can be refused.
        baseline: Scores of the untrained twin.
        file_hash: Hash of the tensor file these were read from; None before.
    """

    score: str
    values: Mapping[str, np.ndarray]
    layer_values: Mapping[str, np.ndarray]
    counts: Mapping[str, Any]
    architecture: ArchitectureSummary
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    baselines: Mapping[str, float] = dataclasses.field(default_factory=dict)
    baseline_statistics: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    held_out: tuple[Mapping[str, Any], ...] = ()
    image_hashes: tuple[str, ...] = ()
    baseline: "HeadScores | None" = None
    file_hash: str | None = None

    def __post_init__(self) -> None:
        """Check that all arrays fit the architecture.

        Raises:
            DataFormatError: If a value is missing or has another shape.
        """
        shape = (self.architecture.num_layers, self.architecture.num_heads)
        for values, expected, kind in ((self.values, shape, "head"), (self.layer_values, shape[:1], "layer")):
            for name in (self.score, *STATISTICS):
                found = values[name].shape if name in values else None
                if found != expected:
                    raise DataFormatError(
                        f"Scores do not fit the model: {kind} values {name!r} have shape {found}, expected {expected}. "
                        "Score the model again with this version."
                    )

    def with_skipped(self, skipped: Mapping[str, int]) -> "HeadScores":
        """Add samples that were left out before scoring.

        Args:
            skipped: Reason to number, as a data set counts them.

        Returns:
            The same scores with both counts, by reason.
        """
        counts = dict(self.counts["skipped"])
        for reason, number in skipped.items():
            counts[reason] = counts.get(reason, 0) + number
        return dataclasses.replace(self, counts={**self.counts, "skipped": dict(sorted(counts.items()))})

    def write(self, folder: Path) -> None:
        """Write `head_scores.safetensors` and, last, `head_scores.json`.

        Args:
            folder: Run folder; made if missing.

        Raises:
            RunFailedError: If the file system refuses.
        """
        tensors = _named_tensors(self)
        if self.baseline is not None:
            named = _named_tensors(self.baseline).items()
            tensors |= {f"{BASELINE_PREFIX}{name}": values for name, values in named}
        write_tensors(folder / TENSOR_FILE, tensors)
        content = {"tensors": hash_file(folder / TENSOR_FILE), **_record(self)}
        content["untrained"] = None if self.baseline is None else _record(self.baseline)
        write_json(folder / JSON_FILE, content, schema=SCHEMA)

    @classmethod
    def read(cls, path: Path) -> "HeadScores":
        """Read scores from a run folder, or from the JSON file in it.

        Args:
            path: Folder or `head_scores.json`.

        Returns:
            The scores, with the hash of their tensor file.

        Raises:
            DataFormatError: If a file is missing or broken, or the two do not belong together.
        """
        folder = path.parent if path.name == JSON_FILE else path
        content = read_json(folder / JSON_FILE, schema=SCHEMA)
        tensors = read_tensors(folder / TENSOR_FILE)
        found = hash_file(folder / TENSOR_FILE)
        if content.get("tensors") != found:
            raise DataFormatError(
                f"{TENSOR_FILE} in {folder} is not the one that {JSON_FILE} belongs to: hash {found}, expected "
                f"{content.get('tensors')}. Score again with --overwrite, or copy both files of one run."
            )
        try:
            untrained = content.get("untrained")
            prefixed = {name.removeprefix(BASELINE_PREFIX): tensors[name] for name in tensors if _is_baseline(name)}
            return cls(
                **_fields(content, {name: tensors[name] for name in tensors if not _is_baseline(name)}),
                baseline=None if untrained is None else cls(**_fields(untrained, prefixed)),
                file_hash=found,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise DataFormatError(
                f"Broken file {folder / JSON_FILE}: {error!r}. Expected a {SCHEMA} file; score the model again."
            ) from error


def _named_tensors(scores: HeadScores) -> dict[str, np.ndarray]:
    """Name all arrays of one model as in the file."""
    heads = {name: values.astype(np.float32) for name, values in scores.values.items()}
    layers = {f"{LAYER_PREFIX}{name}": values.astype(np.float32) for name, values in scores.layer_values.items()}
    return heads | layers


def _is_baseline(name: str) -> bool:
    """Say whether a tensor belongs to the untrained twin."""
    return name.startswith(BASELINE_PREFIX)


def _record(scores: HeadScores) -> dict[str, Any]:
    """Give everything but the arrays as JSON values, NaN as null."""
    plain: dict[str, Any] = _without_nan(
        {
            "score": scores.score,
            "counts": scores.counts,
            "options": scores.options,
            "provenance": scores.provenance,
            "warnings": scores.warnings,
            "baselines": scores.baselines,
            "baseline_statistics": scores.baseline_statistics,
            "held_out": scores.held_out,
            "image_hashes": scores.image_hashes,
            "architecture": scores.architecture.to_json(),
        }
    )
    return plain


def _fields(record: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Turn a record and its arrays back into fields."""
    return {
        "score": record["score"],
        "values": {name: values for name, values in tensors.items() if not name.startswith(LAYER_PREFIX)},
        "layer_values": {
            name.removeprefix(LAYER_PREFIX): values for name, values in tensors.items() if name.startswith(LAYER_PREFIX)
        },
        "counts": record["counts"],
        "architecture": ArchitectureSummary.from_json(record["architecture"]),
        "options": record["options"],
        "provenance": record["provenance"],
        "warnings": tuple(record["warnings"]),
        "baselines": _with_nan(record["baselines"]),
        "baseline_statistics": {name: _with_nan(values) for name, values in record["baseline_statistics"].items()},
        "held_out": tuple(_with_nan(half) for half in record["held_out"]),
        "image_hashes": tuple(record["image_hashes"]),
    }


def _without_nan(value: Any) -> Any:
    """Replace NaN by None, which JSON can hold."""
    if isinstance(value, Mapping):
        return {str(name): _without_nan(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _with_nan(values: Mapping[str, Any]) -> dict[str, Any]:
    """Replace None by NaN again."""
    return {name: math.nan if value is None else value for name, value in values.items()}
