"""Evaluate: a model, with or without an adapter, captions a split or answers questions; what it says is measured."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from headimpact.core.artifacts import read_json
from headimpact.core.errors import DataFormatError, OptionError
from headimpact.core.provenance import hash_texts
from headimpact.data.closed_questions import AnswerTemplate
from headimpact.data.dataset import KeyObjectDataset
from headimpact.data.sample import Sample
from headimpact.evaluation.evaluate import evaluate_predictions, load_metrics
from headimpact.evaluation.forgetting import read_passages
from headimpact.evaluation.metrics import METRICS
from headimpact.evaluation.metrics.metric import MetricResources
from headimpact.evaluation.prediction_parts import PredictionParts
from headimpact.evaluation.requests import ResponseRequest, split_blocks
from headimpact.evaluation.results import (
    METRICS_FILE,
    PREDICTIONS_FILE,
    CaptionMetrics,
    picture_ids,
    read_metrics,
    read_predictions,
    write_metrics,
)
from headimpact.evaluation.tokenizers import TOKENIZERS
from headimpact.workflows.answers import print_answer
from headimpact.workflows.configs import EvaluateConfig
from headimpact.workflows.dataset import prompt_for, read_split, write_split
from headimpact.workflows.forgetting import write_forgetting
from headimpact.workflows.opening import check_model, find_adapter, open_model
from headimpact.workflows.run_folder import find_run, started_run, write_provenance
from headimpact.workflows.tasks import ask_task, check_task, question_requests

if TYPE_CHECKING:
    from headimpact.evaluation.generation import EncodedPrompts
    from headimpact.models.loading import LoadedModel

WORK = ("predictions/part-*", PREDICTIONS_FILE)
"""Files of a run that are worth keeping when it fails."""

BASE_ARM: Mapping[str, Any] = {
    "strategy": "base",
    "layers": [],
    "draw": 0,
    "seed": 0,
    "trainable_parameters": 0,
    "trainable_share": 0.0,
}


def evaluate_command(config: EvaluateConfig) -> None:
    """Generate captions or answers for a split, measure them, write both.

    Raises:
        HeadImpactError: If an input is wrong; nothing is written then.
    """
    check_options(config)
    adapter, arm, used = describe_adapter(config.adapter)
    if find_run(config, done_file=METRICS_FILE) and not config.dry_run:
        _print_metrics(read_metrics(config.out)[0], config, note=f"finished already: {config.out}")
        return
    dataset, template = ask_task(config, read_split(config, split=config.split, seed=config.seed))
    prompt = prompt_for(config, dataset) if template is None else template.prompt
    requests = task_requests(dataset, prompt=prompt, template=template)
    check_metrics(config, dataset, requests)
    passages = () if config.forgetting is None else read_passages(config.forgetting)
    if config.dry_run:
        check_model(config)
        print_answer(
            [
                "dry run, nothing was written",
                f"pictures: {len(dataset)}",
                f"responses: {len(requests)}",
                f"prompt: {prompt}",
                f"arm: {arm['strategy']}",
            ],
            {"pictures": len(dataset), "responses": len(requests), "prompt": prompt, "arm": arm},
            as_json=config.json,
        )
        return
    loaded = open_model(config, adapter=adapter)
    with started_run(config, work=WORK):
        forgotten = write_forgetting(loaded, passages, config=config)
        evaluate_model(loaded, dataset, config=config, prompt=prompt, template=template, arm=arm, used=used)
    _print_metrics(read_metrics(config.out)[0], config, note=forgotten)


def _print_metrics(content: Mapping[str, Any], config: EvaluateConfig, *, note: str | None = None) -> None:
    """Say what was measured."""
    print_answer(
        [
            *([note] if note else []),
            f"pictures: {content['n']}",
            *(f"{name}: {value:.4f}" for name, value in content["metrics"].items()),
            *(f"{name}: left out, {reason}" for name, reason in content.get("left_out", {}).items()),
            f"predictions: {config.out / PREDICTIONS_FILE}",
        ],
        {"metrics": content["metrics"], "n": content["n"], "out": str(config.out)},
        as_json=config.json,
    )


def evaluate_model(
    loaded: "LoadedModel",
    dataset: KeyObjectDataset,
    *,
    config: EvaluateConfig,
    prompt: str,
    arm: Mapping[str, Any],
    used: Mapping[str, list[str]],
    template: AnswerTemplate | None = None,
    prompts: "EncodedPrompts | None" = None,
) -> CaptionMetrics:
    """Generate block by block into the run's folder, then measure.

    Args:
        loaded: The model, its adapter already on it.
        dataset: The pictures.
        config: Options; `out` is the run's folder.
        prompt: What is asked about every picture; with a template its prompt.
        arm: What this run is in a comparison.
        used: Hashes of the pictures `scored` and `tuned` on.
        template: How the pictures' questions are put; captions are asked for if left out.
        prompts: Model inputs kept from arm to arm, made with `evaluation_blocks` of the same data set.

    Returns:
        What was measured; it is in `metrics.json` too.
    """
    generation = {"max_new_tokens": config.max_new_tokens, "num_beams": config.num_beams}
    requests = task_requests(dataset, prompt=prompt, template=template)
    blocks = split_blocks(requests, block_size=config.batch_size)
    parts = PredictionParts(
        config.out, blocks, options={**generation, "model": loaded.name, "adapter": str(loaded.adapter)}
    )
    _generate_missing(loaded, blocks, parts, generation=generation, prompts=prompts)
    metrics = evaluate_predictions(
        parts.merge(),
        metrics=config.metrics,
        tokenizer=config.tokenizer,
        resources=metric_resources(config, dataset),
    )
    write_split(config.out, dataset, split=config.split)
    write_provenance(config.out, command="evaluate", data_fingerprint=dataset.fingerprint, **loaded.describe())
    write_metrics(
        config.out,
        metrics,
        identity={
            "model": loaded.name,
            "revision": loaded.revision,
            "quantization": loaded.quantization,
            "data_fingerprint": dataset.fingerprint,
            "task": config.task,
            "prompt": prompt,
            "answer_template": None if template is None else template.name,
            "split": config.split,
            "generation": generation,
        },
        arm=arm,
        used_image_hashes={**used, "tested": [hash_texts([sample.image_id]) for sample in dataset]},
    )
    return metrics


def _generate_missing(
    loaded: "LoadedModel",
    blocks: Sequence[Sequence[ResponseRequest]],
    parts: PredictionParts,
    *,
    generation: Mapping[str, int],
    prompts: "EncodedPrompts | None",
) -> None:
    """Generate the blocks that no earlier attempt wrote, with a progress bar over all of them."""
    from headimpact.evaluation.generation import generate_responses

    missing = parts.missing()
    with tqdm(total=len(blocks), initial=len(blocks) - len(missing), desc="evaluate", unit="batch", leave=False) as bar:
        for index, predictions in generate_responses(loaded, blocks, indices=missing, prompts=prompts, **generation):
            parts.write(index, predictions)
            bar.update()


def read_caption_metrics(out: Path) -> CaptionMetrics:
    """Read what a finished run measured.

    Raises:
        DataFormatError: If a file is missing or broken.
    """
    content, parts = read_metrics(out)
    return CaptionMetrics(
        values=content["metrics"],
        parts=parts,
        image_ids=picture_ids(read_predictions(out / PREDICTIONS_FILE)),
        tokenizer=content["identity"]["tokenizer"],
        left_out=content.get("left_out", {}),
    )


def evaluation_blocks(
    dataset: Iterable[Sample], *, prompt: str, batch_size: int
) -> tuple[tuple[ResponseRequest, ...], ...]:
    """Cut what is asked of the model into batches, in an order that no interruption changes."""
    return split_blocks(response_requests(dataset, prompt=prompt), block_size=batch_size)


def task_requests(
    dataset: Iterable[Sample], *, prompt: str, template: AnswerTemplate | None
) -> tuple[ResponseRequest, ...]:
    """Turn pictures into what is asked: for a caption, or with a template their questions."""
    return response_requests(dataset, prompt=prompt) if template is None else question_requests(dataset, template)


def metric_resources(config: EvaluateConfig, dataset: Iterable[Sample]) -> MetricResources:
    """Give what some metrics need besides texts: pictures and the checkpoints that the user names."""
    samples = {sample.image_id: sample for sample in dataset}
    return MetricResources(
        load_image=lambda image_id: samples[image_id].load_image(),
        clip_checkpoint=config.clip_checkpoint,
        bert_checkpoint=config.bert_checkpoint,
        bert_layer=config.bert_layer,
        device=config.device,
    )


def response_requests(dataset: Iterable[Sample], *, prompt: str) -> tuple[ResponseRequest, ...]:
    """Turn pictures into what is asked of the model and measured afterwards."""
    return tuple(
        ResponseRequest(
            image_id=sample.image_id,
            load_image=sample.load_image,
            prompt=prompt,
            references=sample.captions,
            names=tuple(name for item in sample.key_objects for name in item.names),
            objects=sample.categories,
        )
        for sample in dataset
    )


def describe_adapter(folder: Path | None) -> tuple[Path | None, dict[str, Any], dict[str, list[str]]]:
    """Find an adapter and what its tuning run tells of it.

    Args:
        folder: Run folder of `tune`, or a PEFT adapter folder, or None for the base model.

    Returns:
        The PEFT folder, what the run is in a comparison, and hashes of the pictures used before.

    Raises:
        DataFormatError: If there is no adapter in the folder, or its tuning record is broken.
    """
    if folder is None:
        return None, dict(BASE_ARM), {}
    adapter = find_adapter(folder)
    record = adapter.parent / "tuning.json"
    if record.is_file():
        return adapter, *_read_record(record)
    return adapter, {**BASE_ARM, "strategy": "adapter"}, {}


def check_options(config: EvaluateConfig) -> None:
    """Refuse unknown names and numbers out of range before anything is read.

    Raises:
        OptionError: If a number is out of range, or an option has no meaning in the task.
        UnknownNameError: If a metric, the tokenizer, the task or the template is in no table.
        MissingExtraError: If the tokenizer needs Java and there is none.
    """
    check_task(config)
    for name in config.metrics:
        METRICS[name]
    TOKENIZERS.load(config.tokenizer)(["Is it there?"])
    for name in ("batch_size", "max_new_tokens", "num_beams"):
        if getattr(config, name) < 1:
            raise OptionError(f"--{name.replace('_', '-')} is {getattr(config, name)}; expected 1 or more.")


def check_metrics(config: EvaluateConfig, dataset: Iterable[Sample], requests: Sequence[ResponseRequest]) -> None:
    """Refuse a metric asked for by name that this data cannot give, before hours of generating.

    Raises:
        DataFormatError: If there is one.
    """
    unspoken = [request.answered("") for request in requests]
    for name, metric in load_metrics(config.metrics, metric_resources(config, dataset)).items():
        reason = metric.missing(unspoken)
        if reason is not None:
            raise DataFormatError(f"Metric {name!r} cannot be computed: {reason}. Leave it out of --metrics.")


def _read_record(path: Path) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Turn a tuning record into an arm and the pictures it used.

    Raises:
        DataFormatError: If a field is missing.
    """
    record = read_json(path, schema="tuning/1")
    try:
        selection = record["selection"]
        arm = {
            "strategy": selection["strategy"],
            "layers": selection["layers"],
            "heads": selection.get("heads") or [],
            "draw": selection.get("draw", 0),
            "seed": record["options"]["seed"],
            "choosable_layers": selection["architecture"]["num_layers"] - len(selection.get("excluded_layers", ())),
            "trainable_parameters": record["trainable_parameters"],
            "trainable_share": record["trainable_share"],
            "selection": selection,
        }
        return arm, {"tuned": record["image_hashes"], "scored": selection.get("scored_image_hashes", [])}
    except (KeyError, TypeError, AttributeError) as error:
        raise DataFormatError(f"Broken tuning record {path}: {error!r}. Tune again with this version.") from error
