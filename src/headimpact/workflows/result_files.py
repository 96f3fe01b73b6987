"""Evaluate without a model: a COCO result file is measured against the captions of people."""

from headimpact.core.errors import DataFormatError
from headimpact.data.pictures import load_upright_rgb
from headimpact.evaluation.coco_results import read_coco_results, read_picture_files
from headimpact.evaluation.evaluate import coco_named, evaluate_predictions
from headimpact.evaluation.metrics import COCO_METRICS, METRICS
from headimpact.evaluation.metrics.metric import MetricResources
from headimpact.workflows.answers import print_answer
from headimpact.workflows.measure_configs import MeasureConfig


def measure_command(config: MeasureConfig) -> None:
    """Read, measure, print.

    Raises:
        HeadImpactError: If a file is wrong, a metric cannot be had, or Java fails.
    """
    for name in config.metrics:
        METRICS[name]
    predictions = read_coco_results(config.predictions, config.references, instances=config.instances)
    measured = evaluate_predictions(
        predictions,
        metrics=config.metrics or COCO_METRICS,
        tokenizer=config.tokenizer,
        resources=_resources(config),
        must_give=bool(config.metrics),
    )
    values = coco_named(measured.values)
    left_out = {METRICS.load(name).title: reason for name, reason in measured.left_out.items()}
    print_answer(
        [
            f"pictures: {measured.n}, tokenizer: {measured.tokenizer}",
            *(f"{METRICS.load(name).title}: {value:.4f}" for name, value in measured.values.items()),
            *(f"{title}: left out, {reason}" for title, reason in left_out.items()),
        ],
        {**values, "n": measured.n, "tokenizer": measured.tokenizer, "left_out": left_out},
        as_json=config.json,
    )


def _resources(config: MeasureConfig) -> MetricResources:
    """Give what some metrics need besides texts.

    Raises:
        DataFormatError: If the folder of pictures is missing or the references do not list their files.
    """
    found = MetricResources(
        clip_checkpoint=config.clip_checkpoint,
        bert_checkpoint=config.bert_checkpoint,
        bert_layer=config.bert_layer,
        device=config.device,
    )
    if config.images is None:
        return found
    if not config.images.is_dir():
        raise DataFormatError(f"Folder not found: {config.images}. Pass the folder of the pictures as --images.")
    files = read_picture_files(config.references, config.images)
    return MetricResources(**{**vars(found), "load_image": lambda image_id: load_upright_rgb(files[image_id])})
