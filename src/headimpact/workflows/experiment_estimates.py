"""What an experiment will be, from its options and the model's config alone: arms, cost of each, time and memory."""

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence

from headimpact.core.architecture import ArchitectureSummary
from headimpact.core.errors import DataFormatError, HeadImpactError
from headimpact.data.dataset import KeyObjectDataset
from headimpact.data.formats.questions import with_questions
from headimpact.selection.selection import Selection
from headimpact.workflows.answers import print_answer
from headimpact.workflows.arms import RANDOM
from headimpact.workflows.configs import ModelOptions
from headimpact.workflows.experiment_bench import model_options
from headimpact.workflows.experiment_configs import ExperimentConfig
from headimpact.workflows.experiment_options import (
    SPLITS,
    check_arms,
    collect_faults,
    missing_folder,
    option_checks,
    read_splits,
)
from headimpact.workflows.experiment_plan import grid, tasks_of, wanted_arms
from headimpact.workflows.experiment_results import REPORT_FILE
from headimpact.workflows.opening import check_model, read_architecture
from headimpact.workflows.run_folder import find_run
from headimpact.workflows.tasks import CAPTIONING, VQA

BYTES_OF_ACTIVATIONS = 34
"""Bytes that a layer keeps per token and unit of width for the backward pass, in 16 bits, without attention maps.

Source: Korthikanti et al. 2022 (arXiv 2205.05198), equation 2; the part that grows with the square of the length is
what fused attention does not keep.
"""
BYTES_OF_LORA = 16
"""Bytes per trained parameter: weight, gradient and AdamW's two moments, in 32 bits."""
QUESTIONS_PER_SCENE = 32
"""About how many questions a generated scene has, while none is made."""
OPERATIONS = {"PFLOP": 1e15, "TFLOP": 1e12, "GFLOP": 1e9}
TIMES = {"hours": 3600.0, "minutes": 60.0, "seconds": 1.0}
SIZES = {"GB": 1e9, "MB": 1e6}
QUANTIZED_BYTES = {"4bit": 0.5, "8bit": 1.0}
_LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What an experiment will take.

    Attributes:
        tuned: Tuning runs, the grid's left out.
        tried: Tuning runs of the grid.
        operations: Floating point operations in all, an upper bound for the tuning.
        memory_bytes: Most memory at once.
    """

    tuned: int
    tried: int
    operations: float
    memory_bytes: float


def print_plan(config: ExperimentConfig) -> None:
    """Check everything that can be checked without weights, and say what would be done and what it would take.

    Raises:
        DataFormatError: If something is wrong; every fault is listed.
    """
    faults = collect_faults(*option_checks(config), lambda: find_run(config, done_file=REPORT_FILE))
    architecture, model_faults = _find_architecture(ModelOptions(**model_options(config)))
    counts, data_faults = _read(config)
    faults += [*model_faults, *data_faults]
    if architecture is not None:
        faults += collect_faults(lambda: check_arms(config, architecture))
    if architecture is None or faults:
        raise DataFormatError(
            faults[0] if len(faults) == 1 else f"The experiment has {len(faults)} faults; expected none.", faults=faults
        )
    arms = ["base", *wanted_arms(config).labels()]
    selections = check_arms(config, architecture)
    estimate = estimate_experiment(config, architecture, selections, counts)
    print_answer(
        ["dry run, nothing was written", *_describe(config, architecture, selections, estimate), "arms:", *arms],
        {
            "arms": arms,
            "trainable": {str(r): one.trainable_parameters() for r, one in zip(config.r, selections, strict=True)},
            "trainable_share": {str(r): one.trainable_share() for r, one in zip(config.r, selections, strict=True)},
            "pictures": dict(counts),
            **dataclasses.asdict(estimate),
        },
        as_json=config.json,
    )


def _find_architecture(model: ModelOptions) -> tuple[ArchitectureSummary | None, list[str]]:
    """Give a model's sizes without its weights, and list what is wrong with it."""
    try:
        check_model(model)
        return read_architecture(model), []
    except HeadImpactError as error:
        return None, [str(error)]


def _read(config: ExperimentConfig) -> tuple[Mapping[str, int], list[str]]:
    """Count what is in the data, and list what is wrong with it."""
    if config.data is None:
        return count_data(config, None), []
    absent = missing_folder(config)
    if absent is not None:
        return {}, [absent]
    try:
        return count_data(config, read_splits(config)), []
    except HeadImpactError as error:
        return {}, list(getattr(error, "faults", ()) or [str(error)])


def count_data(config: ExperimentConfig, data: KeyObjectDataset | None) -> dict[str, int]:
    """Count the pictures of every split, and its questions where they are asked.

    Args:
        config: Options.
        data: All pictures; None where scenes are still to be made.
    """
    if data is None:
        counts = {name: int(getattr(config, name)) for name in SPLITS}
        return {**counts, **{f"{name} questions": QUESTIONS_PER_SCENE * count for name, count in counts.items()}}
    pictures = {name: data.split(name) for name in SPLITS if name in data.split_names}
    counts = {name: len(found) for name, found in pictures.items()}
    if VQA in (config.tune_task, *tasks_of(config)):
        asked = {name: with_questions(found) for name, found in pictures.items()}
        counts |= {f"{name} questions": sum(len(one.questions) for one in found) for name, found in asked.items()}
    return counts


def count_choices(config: ExperimentConfig, selection: Selection) -> int:
    """Count arms and draws, the untuned model left out.

    Args:
        config: Options.
        selection: As large as an arm will be.
    """
    wanted = wanted_arms(config)
    labels = len(wanted.labels())
    if RANDOM in wanted.names and wanted.draws[RANDOM] is None:
        return labels - 1 + math.comb(len(selection.architecture.attention_layers), len(selection.layers)) - 1
    return labels


def estimate_experiment(
    config: ExperimentConfig,
    architecture: ArchitectureSummary,
    selections: Sequence[Selection],
    counts: Mapping[str, int],
) -> Estimate:
    """Estimate what an experiment takes.

    A forward pass is 2 operations a parameter and token. Frozen weights need no gradients of their own, so a step of
    the tuning is at most two forward passes: the backward one ends at the lowest tuned layer. Gradient checkpointing
    adds a third. Vision towers count as if
    each of their parameters met every token once. Generation counts as if it were as fast as reading, which it is not.

    Args:
        config: Options.
        architecture: The model's sizes.
        selections: As large as an arm will be, one for each rank.
        counts: Pictures of each split, and its questions where they are asked.

    Returns:
        The estimate.

    Source: Kaplan et al. 2020 (arXiv 2001.08361), section 2.1, for 2 operations a parameter and token.
    """
    choices = [count_choices(config, one) for one in selections]
    points, tasks = grid(config), tasks_of(config)
    tuned = config.seeds * sum(choices)
    tried = len(points) * sum(choices) if len(points) > 1 else 0
    per_token = 2.0 * architecture.total_parameters
    picture = per_token * config.tokens
    answered = picture + per_token * config.max_new_tokens
    scored = (
        counts["calibration"] * picture * (1 + (config.baseline is not None) + 2 * ("gate-gradient" in config.arms))
    )
    step = (2 + config.gradient_checkpointing) * picture * config.batch_size * config.gradient_accumulation_steps
    steps = tuned * max(point.max_steps for point in points)
    steps += sum(choices) * sum(point.max_steps for point in points) if tried else 0
    responses = (tuned + 1) * sum(_responses(counts, task, "test") for task in tasks)
    responses += tried * _responses(counts, config.tune_task, "validation")
    return Estimate(
        tuned=tuned,
        tried=tried,
        operations=scored + steps * step + responses * answered,
        memory_bytes=_memory(config, architecture, selections),
    )


def _responses(counts: Mapping[str, int], task: str, split: str) -> int:
    """Count what is generated for a task on a split."""
    return counts.get(split if task == CAPTIONING else f"{split} questions", 0)


def _memory(config: ExperimentConfig, architecture: ArchitectureSummary, selections: Sequence[Selection]) -> float:
    """Estimate the most memory at once: tuning, or two models where an arm is evaluated beside the base model.

    Scoring is left out: it halves a batch that does not fit.
    """
    width = _bytes_per_number(config)
    weights = architecture.total_parameters * QUANTIZED_BYTES.get(config.quantization or "", width)
    trained = BYTES_OF_LORA * max(one.trainable_parameters() for one in selections)
    return max(weights + _kept(config, architecture, width) + trained, 2 * weights)


def _kept(config: ExperimentConfig, architecture: ArchitectureSummary, width: int) -> float:
    """Estimate the bytes kept for the backward pass, with the copies of float32 weights that autocast makes."""
    numbers = config.batch_size * config.tokens * architecture.hidden_size
    layer = BYTES_OF_ACTIVATIONS * (1 if config.bf16 else width / 2) * numbers
    copies = 2 * architecture.total_parameters if config.bf16 and width > 2 and config.quantization is None else 0
    if config.gradient_checkpointing:  # one layer at a time, copies with it
        return layer + (copies / architecture.num_layers) + width * numbers * architecture.num_layers
    return layer * architecture.num_layers + copies


def _bytes_per_number(config: ExperimentConfig) -> int:
    """Give the bytes of one number as the model will compute with it."""
    import torch

    on_cpu = config.device == "cpu" or (config.device == "auto" and not torch.cuda.is_available())
    return 4 if config.dtype == "float32" or (config.dtype == "auto" and on_cpu) else 2


def announce(config: ExperimentConfig, architecture: ArchitectureSummary, data: KeyObjectDataset | None) -> None:
    """Say what will be done and what it will take, before it is begun.

    Args:
        config: Options.
        architecture: The model's sizes.
        data: All pictures; None where scenes are still to be made.

    Raises:
        OptionError: If the model has no room for the arms.
        UnknownNameError: If it has no such projection.
    """
    selections = check_arms(config, architecture)
    estimate = estimate_experiment(config, architecture, selections, count_data(config, data))
    for line in _describe(config, architecture, selections, estimate):
        _LOG.info("%s", line)


def _describe(
    config: ExperimentConfig, architecture: ArchitectureSummary, selections: Sequence[Selection], estimate: Estimate
) -> list[str]:
    """Say what would be done."""
    seconds = estimate.operations / (config.tflops * 1e12)
    return [
        f"model: {architecture.model_type}, {architecture.num_layers} layers of {architecture.num_heads} heads, "
        f"{architecture.total_parameters:,} parameters",
        *(
            f"r = {one.r}: {len(one.layers)} of {architecture.num_layers} layers, trainable: {one.count_parameters()}"
            for one in selections
        ),
        f"learned: {config.tune_task}; evaluated: {', '.join(tasks_of(config))}",
        f"runs: {estimate.tuned} tuned, {estimate.tried} tried in a grid of {len(grid(config))}",
        f"estimate: {_in_units(estimate.operations, OPERATIONS)}, {_in_units(seconds, TIMES)} at "
        f"{config.tflops:g} TFLOP/s with {config.tokens} tokens a picture; memory "
        f"{_in_units(estimate.memory_bytes, SIZES)} at --batch-size {config.batch_size}",
    ]


def _in_units(amount: float, units: Mapping[str, float]) -> str:
    """Write an amount in the largest unit of which it is at least one; in the smallest where it is not.

    Example:
        >>> _in_units(5400, TIMES), _in_units(0.2, TIMES), _in_units(4.321e18, OPERATIONS)
        ('1.5 hours', '0.2 seconds', '4,321 PFLOP')
    """
    name = next((name for name, size in units.items() if amount >= size), list(units)[-1])
    count = amount / units[name]
    return f"{count:,.{0 if count >= 100 else 1}f} {name}"
