"""Predictions and references to metrics.

In: predictions with references, from a model or from anybody's COCO result file (`coco_results.py`). Out:
`CaptionMetrics`.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from headimpact.core.errors import DataFormatError
from headimpact.evaluation.metrics import ANSWER_METRICS, CAPTION_METRICS, COCO_NAMES, METRICS
from headimpact.evaluation.metrics.metric import (
    Metric,
    MetricResources,
    NeedsModel,
    Parts,
    TokenizedPredictions,
    metric_value,
)
from headimpact.evaluation.results import CaptionMetrics, Prediction, check_unique, picture_ids
from headimpact.evaluation.tokenizers import TOKENIZERS, Tokenizer


def evaluate_predictions(
    predictions: Sequence[Prediction],
    *,
    metrics: Sequence[str] = (),
    tokenizer: str = "python",
    resources: MetricResources | None = None,
    must_give: bool = True,
) -> CaptionMetrics:
    """Measure predictions against their references.

    Args:
        predictions: One per picture, or one per question about a picture.
        metrics: Names in the table of metrics; if left empty those of `default_metrics` that can be had.
        tokenizer: Name in the table of tokenizers; matters for BLEU, METEOR, ROUGE-L, CIDEr-D and SPICE only.
        resources: Checkpoints and pictures for the metrics that need them.
        must_give: Refuse a metric of `metrics` that cannot be had, instead of leaving it out with the reason.

    Returns:
        Values, and the parts of every picture in the order in which the predictions first name it.

    Raises:
        UnknownNameError: If a metric or the tokenizer is in no table.
        DataFormatError: If there is no prediction, a picture or question comes twice or has no reference, or if a
            metric that must be given cannot be.
        MissingExtraError: If the tokenizer needs Java and there is none.
        HeadImpactError: If a checkpoint cannot be loaded, or Java fails.
    """
    chosen = load_metrics(metrics or default_metrics(predictions), resources)
    tokenize: Tokenizer = TOKENIZERS.load(tokenizer)
    check_predictions(predictions)
    left_out = {name: reason for name, metric in chosen.items() if (reason := metric.missing(predictions))}
    if left_out and metrics and must_give:
        name, reason = next(iter(left_out.items()))
        raise DataFormatError(f"Metric {name!r} cannot be computed: {reason}. Leave it out, or give what it needs.")
    tokenized = tokenize_predictions(predictions, tokenize)
    ids = picture_ids(predictions)
    parts: dict[str, np.ndarray] = {
        name: _add_up(metric.parts(tokenized), predictions, ids)
        for name, metric in chosen.items()
        if name not in left_out
    }
    values = {name: metric_value(chosen[name], rows) for name, rows in parts.items()}
    return CaptionMetrics(values=values, parts=parts, image_ids=ids, tokenizer=tokenizer, left_out=left_out)


def default_metrics(predictions: Sequence[Prediction]) -> tuple[str, ...]:
    """Give the metrics of answers where questions were asked, else those of captions."""
    return ANSWER_METRICS if any(one.question_id is not None for one in predictions) else CAPTION_METRICS


def load_metrics(names: Sequence[str], resources: MetricResources | None = None) -> dict[str, Metric]:
    """Load metrics by name and give what they need to those that need a model.

    Args:
        names: Names in the table of metrics.
        resources: Checkpoints and pictures.

    Raises:
        UnknownNameError: If a name is not in the table.
    """
    loaded: dict[str, Metric] = {name: METRICS.load(name) for name in names}
    if resources is None:
        return loaded
    return {
        name: metric.equipped(resources) if isinstance(metric, NeedsModel) else metric
        for name, metric in loaded.items()
    }


def _add_up(rows: Parts, predictions: Sequence[Prediction], ids: Sequence[str]) -> Parts:
    """Add up the parts of each picture's responses."""
    if len(ids) == len(predictions):
        return rows
    places = {image_id: place for place, image_id in enumerate(ids)}
    sums = np.zeros((len(ids), rows.shape[1]))
    np.add.at(sums, [places[one.image_id] for one in predictions], rows)
    return sums


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


def check_predictions(predictions: Sequence[Prediction], where: str = "the predictions") -> None:
    """Refuse what cannot be measured.

    Args:
        predictions: The predictions.
        where: What they are, for the message.

    Raises:
        DataFormatError: If there is nothing to measure, or a picture or question comes twice or has no reference.
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
