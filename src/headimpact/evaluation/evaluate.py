"""Predictions and references to metrics.

In: predictions with references, from a model or from anybody's COCO result file. Out: `CaptionMetrics`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headimpact.core.errors import DataFormatError
from headimpact.evaluation.metrics import COCO_NAMES, METRICS
from headimpact.evaluation.metrics.metric import Metric, TokenizedPredictions, metric_value
from headimpact.evaluation.results import CaptionMetrics, Prediction, check_unique
from headimpact.evaluation.tokenizers import TOKENIZERS, Tokenizer


def evaluate_predictions(
    predictions: Sequence[Prediction], *, metrics: Sequence[str] = (), tokenizer: str = "python"
) -> CaptionMetrics:
    """Measure predictions against their references.

    Args:
        predictions: One per picture.
        metrics: Names in the table of metrics; every one that the predictions can give if left empty.
        tokenizer: Name in the table of tokenizers; matters for BLEU, ROUGE-L and CIDEr-D only.

    Returns:
        Values, and the parts of every picture in the order of the predictions.

    Raises:
        UnknownNameError: If a metric or the tokenizer is in no table.
        DataFormatError: If there is no prediction, a picture comes twice or has no reference, or if a metric
            asked for by name cannot be given.
        MissingExtraError: If the tokenizer needs Java and there is none.
    """
    chosen: dict[str, Metric] = {name: METRICS.load(name) for name in (metrics or METRICS)}
    tokenize: Tokenizer = TOKENIZERS.load(tokenizer)
    _check(predictions)
    left_out = {name: reason for name, metric in chosen.items() if (reason := metric.missing(predictions))}
    if left_out and metrics:
        name, reason = next(iter(left_out.items()))
        raise DataFormatError(
            f"Metric {name!r} cannot be computed: {reason}. Leave it out, or give data that has what it needs."
        )
    tokenized = tokenize_predictions(predictions, tokenize)
    parts: dict[str, np.ndarray] = {
        name: metric.parts(tokenized) for name, metric in chosen.items() if name not in left_out
    }
    values = {name: metric_value(chosen[name], rows) for name, rows in parts.items()}
    ids = tuple(prediction.image_id for prediction in predictions)
    return CaptionMetrics(values=values, parts=parts, image_ids=ids, tokenizer=tokenizer, left_out=left_out)


def tokenize_predictions(predictions: Sequence[Prediction], tokenize: Tokenizer) -> TokenizedPredictions:
    """Tokenise responses and references in one call of the tokenizer."""
    texts = [text for prediction in predictions for text in (prediction.prediction, *prediction.references)]
    tokens = iter(tokenize(texts))
    candidates, references = [], []
    for prediction in predictions:
        candidates.append(next(tokens))
        references.append(tuple(next(tokens) for _ in prediction.references))
    return TokenizedPredictions(tuple(predictions), tuple(candidates), tuple(references))


def coco_named(values: Mapping[str, float]) -> dict[str, float]:
    """Give metric values under pycocoevalcap's names where it has them, under ours elsewhere.

    Example:
        >>> coco_named({"cider_d": 0.5, "exact_match": 0.25})
        {'CIDEr': 0.5, 'exact_match': 0.25}
    """
    return {COCO_NAMES.get(name, name): value for name, value in values.items()}


def read_coco_results(results: Path, references: Path) -> tuple[Prediction, ...]:
    """Read anybody's COCO result file and the captions it is measured against.

    Args:
        results: JSON list of `{"image_id", "caption"}`, one per picture.
        references: COCO captions file: `annotations` with `image_id` and `caption`.

    Returns:
        One prediction per entry of the results, in their order. Pictures of the references that have no
        result are not measured, as in pycocoevalcap's example.

    Raises:
        DataFormatError: If a file is missing, is not JSON or lacks a field, or if a picture comes twice or
            has no reference.
    """
    answers = _entries(_read(results), results)
    captions = _read(references)
    if not isinstance(captions, dict) or "annotations" not in captions:
        raise DataFormatError(f"Not a COCO captions file: {references}. Expected an object with 'annotations'.")
    by_image: dict[str, list[str]] = {}
    for image_id, caption in _entries(captions["annotations"], references):
        by_image.setdefault(image_id, []).append(caption)
    predictions = tuple(
        Prediction(image_id=image_id, prediction=caption, references=tuple(by_image.get(image_id, ())))
        for image_id, caption in answers
    )
    _check(predictions, where=str(results))
    return predictions


def _check(predictions: Sequence[Prediction], where: str = "the predictions") -> None:
    """Refuse what cannot be measured.

    Raises:
        DataFormatError: If there is nothing to measure, or a picture comes twice or has no reference.
    """
    if not predictions:
        raise DataFormatError(f"Nothing to measure: {where} hold no prediction. Expected at least one.")
    check_unique(predictions, where)
    bare = [prediction.image_id for prediction in predictions if not prediction.references]
    if bare:
        raise DataFormatError(
            f"No reference for {len(bare)} of {len(predictions)} pictures in {where}, the first is {bare[0]!r}. "
            "Give references for them, or leave them out."
        )


def _read(path: Path) -> Any:
    """Read a JSON file of others.

    Raises:
        DataFormatError: If it is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataFormatError(f"File not found: {path}. Expected a COCO JSON file.") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataFormatError(f"Cannot read {path} as JSON: {error}. Expected a COCO JSON file.") from error


def _entries(content: Any, path: Path) -> list[tuple[str, str]]:
    """Take (image_id, caption) from a list of objects.

    Raises:
        DataFormatError: If it is no list, or an entry lacks a field.
    """
    if not isinstance(content, list):
        raise DataFormatError(f"Not a list of captions: {path}. Expected [{{'image_id': …, 'caption': …}}, …].")
    found = []
    for place, entry in enumerate(content):
        if not isinstance(entry, dict) or "image_id" not in entry or not isinstance(entry.get("caption"), str):
            raise DataFormatError(
                f"Not a caption: {path}, entry {place}: {entry!r:.80}. Expected an object with image_id and caption."
            )
        found.append((str(entry["image_id"]), entry["caption"]))
    return found
