"""HeadScores: what a scoring run says about every head and layer; read and written as two files."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from headimpact.core.architecture import ArchitectureSummary
from headimpact.core.artifacts import read_json, read_tensors, write_json, write_tensors
from headimpact.core.errors import DataFormatError, UnknownNameError
from headimpact.core.provenance import hash_file
from headimpact.core.registry import unknown_name_message

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
        counts: `used` pictures, those where some head has a score (`with_score`), `skipped` ones by reason, and heads
            without a score (`blind_heads`).
        architecture: The model's language part.
        options: How the numbers came about.
        provenance: Where they come from.
        warnings: Sentences that belong beside the numbers.
        baselines: Score of maps that need no model (`uniform`, `centre`).
        baseline_statistics: The same with their `STATISTICS`, by name of the map.
        held_out: Best head of one half of the pictures, reported on the other, both ways round.
        image_hashes: Hash of each scored picture's id, sorted, so that tests on them can be refused.
        baseline: Scores of the untrained twin.
        others: Further scores from the same forward passes, by name; they have no others of their own.
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
    others: Mapping[str, "HeadScores"] = dataclasses.field(default_factory=dict)
    file_hash: str | None = None

    def __repr__(self) -> str:
        """Say in a line what is there; the arrays of all statistics would fill a screen."""
        size = f"{self.architecture.num_layers} layers of {self.architecture.num_heads} heads"
        others = f", with {', '.join(self.others)}" if self.others else ""
        return f"<HeadScores {self.score}: {size}, {self.counts.get('used')} pictures{others}>"

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

    def named(self, score: str) -> "HeadScores":
        """Give one of the run's scores.

        Args:
            score: Its name, as in `SCORES`.

        Returns:
            That score alone, with the hash of the run's file.

        Raises:
            UnknownNameError: If the run has no such score.
        """
        if score == self.score:
            return dataclasses.replace(self, others={})
        if score not in self.others:
            known = unknown_name_message("score of this run", score, (self.score, *self.others))
            raise UnknownNameError(f"{known} To have it, score again with --scores {score}.")
        return dataclasses.replace(self.others[score], file_hash=self.file_hash)

    @property
    def why_unranked(self) -> str | None:
        """Say why no head is better than another, where all have the same value; None where they differ."""
        values = self.values[self.score]
        known = values[np.isfinite(values)]
        if known.size < 2 or known.min() < known.max():
            return None
        return "no sinks found" if self.score == "sink_share" and not known.any() else "all heads alike"

    def with_baseline(self, twin: "HeadScores") -> "HeadScores":
        """Put the untrained twin's scores beside these, each beside its own.

        Args:
            twin: Scores of the twin, of the same names.
        """
        others = {name: other.with_baseline(twin.others[name]) for name, other in self.others.items()}
        return dataclasses.replace(self, baseline=dataclasses.replace(twin, others={}), others=others)

    def with_warnings(self, warnings: tuple[str, ...]) -> "HeadScores":
        """Add sentences that belong beside the numbers of every score.

        Args:
            warnings: The sentences.
        """
        others = {name: other.with_warnings(warnings) for name, other in self.others.items()}
        return dataclasses.replace(self, warnings=(*self.warnings, *warnings), others=others)

    def with_skipped(self, skipped: Mapping[str, int]) -> "HeadScores":
        """Add samples that were left out before scoring.

        Args:
            skipped: Reason to number, as a data set counts them.

        Returns:
            The same scores, others included, with both counts, by reason.
        """
        others = {name: other.with_skipped(skipped) for name, other in self.others.items()}
        counts = dict(self.counts["skipped"])
        for reason, number in skipped.items():
            counts[reason] = counts.get(reason, 0) + number
        return dataclasses.replace(self, counts={**self.counts, "skipped": dict(sorted(counts.items()))}, others=others)

    def write(self, folder: Path) -> None:
        """Write `head_scores.safetensors` and, last, `head_scores.json`.

        Args:
            folder: Run folder; made if missing.

        Raises:
            RunFailedError: If the file system refuses.
        """
        tensors = _tensors_with_twin(self)
        for name, other in self.others.items():
            tensors |= {_tensor_of(name, tensor): values for tensor, values in _tensors_with_twin(other).items()}
        write_tensors(folder / TENSOR_FILE, tensors)
        content = {"tensors": hash_file(folder / TENSOR_FILE), **_record_with_twin(self)}
        if self.others:
            content["others"] = {name: _record_with_twin(other) for name, other in self.others.items()}
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
            others = {}
            for name, record in content.get("others", {}).items():
                own = {tensor: tensors.pop(_tensor_of(name, tensor)) for tensor in _tensor_names(record)}
                others[name] = _scores_with_twin(record, own)
            return dataclasses.replace(_scores_with_twin(content, tensors), others=others, file_hash=found)
        except (KeyError, TypeError, AttributeError) as error:
            raise DataFormatError(
                f"Broken file {folder / JSON_FILE}: {error!r}. Expected a {SCHEMA} file; score the model again."
            ) from error


def _tensor_of(score: str, tensor: str) -> str:
    """Name another score's tensor in the file: its values by its own name, what stands beside them after that name.

    Example:
        >>> [_tensor_of("auroc", name) for name in ("auroc", "gap", "layer_auroc", "untrained_layer_gap")]
        ['auroc', 'auroc_gap', 'layer_auroc', 'untrained_layer_auroc_gap']
    """
    statistic = tensor.removeprefix(BASELINE_PREFIX).removeprefix(LAYER_PREFIX)
    prefix = tensor.removesuffix(statistic)
    return tensor if statistic == score else f"{prefix}{score}_{statistic}"


def _tensor_names(record: Mapping[str, Any]) -> list[str]:
    """List the tensors that a score with this record has."""
    models = ("",) if record["untrained"] is None else ("", BASELINE_PREFIX)
    names = (record["score"], *STATISTICS)
    return [f"{model}{kind}{name}" for model in models for kind in ("", LAYER_PREFIX) for name in names]


def _tensors_with_twin(scores: HeadScores) -> dict[str, np.ndarray]:
    """Name all arrays of a score, its untrained twin's included."""
    tensors = _named_tensors(scores)
    if scores.baseline is not None:
        tensors |= {f"{BASELINE_PREFIX}{name}": values for name, values in _named_tensors(scores.baseline).items()}
    return tensors


def _record_with_twin(scores: HeadScores) -> dict[str, Any]:
    """Give everything but the arrays of a score, its untrained twin's included."""
    return {**_record(scores), "untrained": None if scores.baseline is None else _record(scores.baseline)}


def _scores_with_twin(record: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> HeadScores:
    """Turn a record and its arrays back into a score and its untrained twin."""
    untrained = record.get("untrained")
    prefixed = {name.removeprefix(BASELINE_PREFIX): tensors[name] for name in tensors if _is_baseline(name)}
    return HeadScores(
        **_fields(record, {name: tensors[name] for name in tensors if not _is_baseline(name)}),
        baseline=None if untrained is None else HeadScores(**_fields(untrained, prefixed)),
    )


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
