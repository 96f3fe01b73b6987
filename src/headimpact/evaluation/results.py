"""Predictions and their metrics as value objects, and the files that hold them."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headimpact.core.artifacts import atomic_file, read_json, read_tensors, write_json, write_tensors
from headimpact.core.errors import DataFormatError
from headimpact.core.provenance import hash_file, hash_texts

METRICS_SCHEMA = "metrics/1"
PREDICTIONS_FILE = "predictions.jsonl"
METRICS_FILE = "metrics.json"
PARTS_FILE = "metric_parts.safetensors"
USES = ("scored", "tuned", "tested")
"""What pictures are used for, in `used_image_hashes`."""


@dataclasses.dataclass(frozen=True)
class Prediction:
    """One response beside what it is measured against: one a picture, or one a question about a picture.

    Attributes:
        image_id: The picture.
        prediction: What the model said; of an answer what is left when the words of its template are taken off.
        references: What people said, at least one; the answers of people where a question is answered.
        names: Words that count as naming a key object; empty where none are known.
        objects: Categories of all objects in the picture; None where they are not known.
        question_id: The question; None where none was asked.
        question: Its text.
    """

    image_id: str
    prediction: str
    references: tuple[str, ...]
    names: tuple[str, ...] = ()
    objects: tuple[str, ...] | None = None
    question_id: str | None = None
    question: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What must be there only once: picture and question."""
        return self.image_id, self.question_id or ""


@dataclasses.dataclass(frozen=True)
class CaptionMetrics:
    """Metrics of one set of predictions, with the per-picture parts they are made of.

    Several answers about a picture are added up in its row, so that pictures, not questions, are resampled.

    Attributes:
        values: Metric name to its value over all pictures.
        parts: Metric name to its sufficient statistics, one row per picture in the order of `image_ids`.
        image_ids: Pictures, in the order of the parts.
        tokenizer: Name of the tokenizer used.
        left_out: Metrics that these predictions cannot give, with the reason.
    """

    values: Mapping[str, float]
    parts: Mapping[str, np.ndarray]
    image_ids: tuple[str, ...]
    tokenizer: str
    left_out: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        """Say in a line what is there; the parts of thousands of pictures would fill a screen."""
        values = ", ".join(f"{name} {value:.4f}" for name, value in self.values.items())
        return f"<CaptionMetrics of {self.n} pictures: {values}>"

    @property
    def n(self) -> int:
        """Number of pictures."""
        return len(self.image_ids)


def prediction_line(prediction: Prediction) -> str:
    """Write one prediction as one line of JSON, the same bytes for the same values."""
    fields = {name: value for name, value in dataclasses.asdict(prediction).items() if value is not None}
    return json.dumps(fields, ensure_ascii=False) + "\n"


def picture_ids(predictions: Iterable[Prediction]) -> tuple[str, ...]:
    """List the pictures of some predictions, each once, in order of appearance."""
    return tuple(dict.fromkeys(prediction.image_id for prediction in predictions))


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write predictions as JSON lines, atomically.

    Raises:
        RunFailedError: If the file system refuses.
    """
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
        file.writelines(prediction_line(prediction) for prediction in predictions)


def read_predictions(path: Path) -> tuple[Prediction, ...]:
    """Read predictions written by `write_predictions`.

    Returns:
        Predictions in the order of the file.

    Raises:
        DataFormatError: If the file is missing, a line is not JSON or lacks a field, a picture has no
            reference, or a picture comes twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise DataFormatError(f"File not found: {path}. Expected predictions written by headimpact evaluate.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataFormatError(f"Cannot read {path}: {error}. Expected UTF-8 text, one JSON object a line.") from error
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    predictions = tuple(_parse_line(line, f"{path}, line {number}") for number, line in numbered)
    check_unique(predictions, str(path))
    return predictions


def check_unique(predictions: Sequence[Prediction], where: str) -> None:
    """Refuse a picture, or a question about it, that comes twice.

    Raises:
        DataFormatError: If two predictions have the same `image_id` and `question_id`.
    """
    seen: set[tuple[str, str]] = set()
    for prediction in predictions:
        if prediction.key in seen:
            asked = "" if prediction.question_id is None else f" with question {prediction.question_id!r}"
            raise DataFormatError(
                f"Picture {prediction.image_id!r}{asked} comes twice in {where}; expected one prediction a "
                f"{'question' if asked else 'picture'}. Remove one of them."
            )
        seen.add(prediction.key)


def write_metrics(
    folder: Path,
    metrics: CaptionMetrics,
    *,
    identity: Mapping[str, Any],
    arm: Mapping[str, Any],
    used_image_hashes: Mapping[str, Sequence[str]],
) -> None:
    """Write `metric_parts.safetensors` and then `metrics.json`, whose presence says that the run is finished.

    Args:
        folder: Run folder; holds `predictions.jsonl` already.
        metrics: What was measured.
        identity: What must be equal between compared runs: model, revision, data_fingerprint, task, prompt,
            split, generation (options). Tokenizer and hashes of picture ids and references are added here.
        arm: What differs: strategy ("base" for the untuned model), layers, draw, seed, choosable_layers,
            trainable_parameters, trainable_share, selection.
        used_image_hashes: Hashes of the pictures `scored` on, `tuned` on and `tested` on, so that overlap
            can be refused; the last is always needed.

    Raises:
        DataFormatError: If `predictions.jsonl` is missing from the folder or holds other pictures, or if
            `tested` is empty.
        RunFailedError: If the file system refuses.
    """
    predictions = read_predictions(folder / PREDICTIONS_FILE)
    if picture_ids(predictions) != metrics.image_ids:
        raise DataFormatError(
            f"{folder / PREDICTIONS_FILE} holds {len(predictions)} pictures, the metrics are of {metrics.n} others. "
            "Measure the predictions of this folder."
        )
    if not used_image_hashes.get("tested"):
        raise DataFormatError("Cannot write metrics: no hashes of the tested pictures; expected one per picture.")
    write_tensors(folder / PARTS_FILE, metrics.parts)
    content = {
        "metrics": dict(metrics.values),
        "left_out": dict(metrics.left_out),
        "n": metrics.n,
        "responses": len(predictions),
        "identity": {
            **identity,
            "tokenizer": metrics.tokenizer,
            "image_ids_hash": hash_texts(metrics.image_ids),
            "references_hash": hash_texts(text for p in predictions for text in _measured_against(p)),
        },
        "arm": dict(arm),
        "used_image_hashes": {use: sorted(set(used_image_hashes.get(use, ()))) for use in USES},
        "predictions_hash": hash_file(folder / PREDICTIONS_FILE),
    }
    write_json(folder / METRICS_FILE, content, schema=METRICS_SCHEMA)


def read_metrics(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read a finished run's `metrics.json` and its parts.

    Returns:
        The content of `metrics.json`, and metric name to parts, one row per picture.

    Raises:
        DataFormatError: If a file is missing or broken, or if the parts do not fit the metrics.
    """
    content = read_json(folder / METRICS_FILE, schema=METRICS_SCHEMA)
    missing = [key for key in ("metrics", "n", "identity", "arm", "used_image_hashes") if key not in content]
    if missing:
        raise DataFormatError(
            f"{folder / METRICS_FILE} lacks {', '.join(missing)}. Evaluate again with this version of headimpact."
        )
    parts = read_tensors(folder / PARTS_FILE)
    for name in content["metrics"]:
        if name not in parts or parts[name].shape[0] != content["n"]:
            rows = parts[name].shape[0] if name in parts else 0
            raise DataFormatError(
                f"{folder / PARTS_FILE} does not fit {METRICS_FILE}: {rows} rows for {name!r}, expected "
                f"{content['n']}. Evaluate again."
            )
    return content, parts


def _measured_against(prediction: Prediction) -> tuple[str, ...]:
    """List the texts that decide what a response is worth."""
    objects = () if prediction.objects is None else (*prediction.objects, "")
    asked = () if prediction.question_id is None else (prediction.question_id, prediction.question or "", "")
    return (*prediction.references, "", *prediction.names, "", *objects, *asked)


def _parse_line(line: str, where: str) -> Prediction:
    """Turn one line into a prediction.

    Raises:
        DataFormatError: If it is not JSON, lacks a field, or has no reference.
    """
    try:
        content = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataFormatError(f"Not JSON: {where}: {error}. Expected one JSON object a line.") from error
    fields = content if isinstance(content, dict) else {}
    missing = [name for name in ("image_id", "prediction", "references") if name not in fields]
    if missing:
        raise DataFormatError(
            f"Not a prediction: {where} lacks {', '.join(missing)}. "
            "Expected an object with image_id, prediction and references."
        )
    lists = [fields[name] for name in ("references", "names", "objects") if name in fields]
    single = [fields[name] for name in ("image_id", "prediction", "question_id", "question") if name in fields]
    texts = [*single, *(text for one in lists if isinstance(one, list) for text in one)]
    if not all(isinstance(one, list) for one in lists) or not all(isinstance(text, str) for text in texts):
        raise DataFormatError(
            f"Not a prediction: {where}: image_id, prediction, question_id and question must be text, references, "
            "names and objects lists of text."
        )
    if not fields["references"]:
        raise DataFormatError(f"No reference for picture {fields['image_id']!r}: {where}. Expected at least one.")
    return Prediction(
        image_id=fields["image_id"],
        prediction=fields["prediction"],
        references=tuple(fields["references"]),
        names=tuple(fields.get("names", ())),
        objects=tuple(fields["objects"]) if "objects" in fields else None,
        question_id=fields.get("question_id"),
        question=fields.get("question"),
    )
