"""What an experiment must have before anything of it is written: sound options, room for its arms, its splits."""

from collections.abc import Callable
from pathlib import Path

from headimpact.core.architecture import ArchitectureSummary
from headimpact.core.errors import DataFormatError, HeadImpactError, OptionError, UnknownNameError
from headimpact.core.registry import unknown_name_message
from headimpact.data.closed_questions import find_template
from headimpact.data.dataset import KeyObjectDataset
from headimpact.evaluation.metrics import METRICS
from headimpact.evaluation.tokenizers import TOKENIZERS
from headimpact.selection.selection import Selection
from headimpact.selection.strategies import select_layers
from headimpact.tuning.options import TuningOptions
from headimpact.workflows.arms import ARMS, RANDOM, TOP, check_draws
from headimpact.workflows.dataset import read_checked
from headimpact.workflows.experiment_bench import data_folder
from headimpact.workflows.experiment_configs import ExperimentConfig
from headimpact.workflows.experiment_plan import grid, tasks_of, wanted_arms
from headimpact.workflows.score_options import BASELINES
from headimpact.workflows.tasks import CAPTIONING, TASKS, VQA

STEPS = ("all", "arms", "tune", "compare")
SPLITS = ("calibration", "train", "validation", "test")
AT_LEAST_ONE = (
    "calibration",
    "train",
    "test",
    "seeds",
    "batch_size",
    "evaluation_batch_size",
    "max_new_tokens",
    "tokens",
)


def collect_faults(*checks: Callable[[], object]) -> list[str]:
    """Run checks one after the other and list what each of them finds wrong."""
    faults: list[str] = []
    for check in checks:
        try:
            check()
        except HeadImpactError as error:
            faults += getattr(error, "faults", ()) or [str(error)]
    return faults


def check_options(config: ExperimentConfig) -> None:
    """Refuse options that cannot be carried out before anything is loaded or written.

    Raises:
        OptionError: If a number is out of range or options contradict each other.
        UnknownNameError: If a step, arm, task, template, metric or tokenizer is unknown.
    """
    for check in option_checks(config):
        check()


def option_checks(config: ExperimentConfig) -> tuple[Callable[[], object], ...]:
    """List what is checked of the options alone, each part raising its own error."""
    return (
        lambda: _check_names(config),
        lambda: _check_numbers(config),
        lambda: _check_arms_asked(config),
        lambda: _check_measures(config),
        lambda: _check_tuning(config),
        lambda: TOKENIZERS.load(config.tokenizer)(["Is it there?"]),
    )


def _check_names(config: ExperimentConfig) -> None:
    """Refuse names that are in no table.

    Raises:
        UnknownNameError: If there is one.
        OptionError: If the task of the scenes is unknown, or a task comes twice.
    """
    from headimpact.embedded.tasks import TASKS as SCENE_TASKS

    tasks = (config.tune_task, *config.evaluate_tasks)
    for kind, given, known in (
        ("step", (config.step,), STEPS),
        ("arm", config.arms, ARMS),
        ("task", tasks, TASKS),
        ("baseline", (config.baseline,) if config.baseline else (), BASELINES),
    ):
        for name in given:
            if name not in known:
                raise UnknownNameError(unknown_name_message(kind, name, known))
    if len(set(config.evaluate_tasks)) < len(config.evaluate_tasks):
        raise OptionError(f"A task is named twice: {' '.join(config.evaluate_tasks)}; expected each once.")
    if config.answer_template is not None:
        find_template(config.answer_template)
        if VQA not in tasks:
            raise OptionError("--answer-template words answers to questions, but no task is vqa. Leave it out.")
    if config.data is None and config.task not in SCENE_TASKS:
        raise OptionError(unknown_name_message("task", config.task, SCENE_TASKS))


def _check_numbers(config: ExperimentConfig) -> None:
    """Refuse numbers out of range.

    Raises:
        OptionError: If there is one.
    """
    for name in AT_LEAST_ONE:
        if getattr(config, name) < 1:
            raise OptionError(f"--{name.replace('_', '-')} is {getattr(config, name)}; expected 1 or more.")
    if config.bootstrap < 100:
        raise OptionError(f"--bootstrap is {config.bootstrap}; expected at least 100.")
    if not config.tflops > 0:
        raise OptionError(f"--tflops is {config.tflops}; expected a number above 0.")


def _check_arms_asked(config: ExperimentConfig) -> None:
    """Refuse arms that give no verdict, and numbers of draws that mean nothing.

    Raises:
        OptionError: If the choice or its chance level is missing, or too few draws are asked for, or both k and budget
            are given.
    """
    for name in (TOP, RANDOM):
        if name not in config.arms:
            raise OptionError(
                f"--arms is {' '.join(config.arms)}, without {name}; expected {TOP} and {RANDOM} among them: the "
                "choice and its chance level."
            )
    if config.exhaustive and config.random_draws != type(config).random_draws:
        raise OptionError(
            f"--random-draws is {config.random_draws}, but every set of layers is tuned here. Leave it out, or use "
            "headimpact demo."
        )
    if config.random_draws < 1 and not config.exhaustive:
        raise OptionError("--random-draws is 0; expected 1 or more: random choices are the chance level.")
    for name in ("depth_matched_draws", "random_head_draws"):
        if getattr(config, name) < 0:
            raise OptionError(f"--{name.replace('_', '-')} is {getattr(config, name)}; expected 0 or more.")
    if config.k is not None and config.budget is not None:
        raise OptionError(f"Both --k {config.k} and --budget {config.budget} given; expected one. Drop the other.")


def _check_measures(config: ExperimentConfig) -> None:
    """Refuse measures and margins that do not go with the tasks.

    Raises:
        OptionError: If there are neither one nor as many as tasks, or a margin is not above 0.
        UnknownNameError: If a metric is unknown.
    """
    count = len(tasks_of(config))
    for name in ("primary", "margin"):
        if len(getattr(config, name)) not in (1, count):
            raise OptionError(
                f"--{name} has {len(getattr(config, name))} values for {count} evaluated tasks; expected one, or one "
                "for each task."
            )
    for name in (*config.primary, *config.metrics):
        METRICS[name]
    for margin in config.margin:
        if not margin > 0:
            raise OptionError(f"--margin is {margin}; expected a difference above 0 that would matter.")


def _check_tuning(config: ExperimentConfig) -> None:
    """Refuse settings that cannot be tuned with.

    Raises:
        OptionError: If a rank, a step count or a rate is out of range, missing or given twice, or there is a grid and
            what is learned is not evaluated.
    """
    for name in ("r", "max_steps", "learning_rate"):
        values = getattr(config, name)
        if not values or len(set(values)) < len(values):
            raise OptionError(f"--{name.replace('_', '-')} is {values}; expected one value or several different ones.")
    for r in config.r:
        for point in grid(config):
            TuningOptions(
                r=r,
                max_steps=point.max_steps,
                learning_rate=point.learning_rate,
                batch_size=config.batch_size,
                gradient_accumulation_steps=config.gradient_accumulation_steps,
                lora_alpha=config.lora_alpha,
            )
    if len(grid(config)) > 1 and config.tune_task not in tasks_of(config):
        raise OptionError(
            f"A grid of {len(grid(config))} settings is judged by what is learned, {config.tune_task!r}, which is not "
            f"among --evaluate-tasks {' '.join(tasks_of(config))}; expected it there, with its primary metric."
        )


def check_arms(config: ExperimentConfig, architecture: ArchitectureSummary) -> list[Selection]:
    """Refuse arms that the model has no room for, before anything is written.

    Args:
        config: Options.
        architecture: The model's language part.

    Returns:
        For every rank a selection that costs what an arm will.

    Raises:
        OptionError: If k, r, the budget or the projections do not fit the model, or there are not as many sets of
            layers as draws.
        UnknownNameError: If the model has no such projection.
    """
    selections = [
        select_layers(
            architecture,
            strategy="last-n",
            k=config.k,
            budget=config.budget,
            r=r,
            target_modules=tuple(config.target_modules),
        )
        for r in config.r
    ]
    for selection in selections:
        check_draws(wanted_arms(config), selection)
    return selections


def read_splits(config: ExperimentConfig) -> KeyObjectDataset:
    """Read a data folder, made of scenes where none is given, and check that the splits needed have pictures.

    Raises:
        DataFormatError: If the folder has faults, or a split has no picture that says something.
        OptionError: If questions are learned or evaluated and there are none.
        UnknownNameError: If a split is missing.
    """
    folder = data_folder(config)
    if config.data is None and not folder.is_dir():
        from headimpact.embedded.scenes import build_scenes

        counts = {name: int(getattr(config, name)) for name in SPLITS if getattr(config, name)}
        build_scenes(folder, task=config.task, counts=counts, seed=config.seed)
    data = read_checked(folder, skip_bad=config.skip_bad, images=config.images)
    for name in needed_splits(config):
        if not len(data.split(name)):
            raise DataFormatError(f"No picture left in {folder} (split {name!r}); expected at least one.")
    _check_questions(config, data)
    return data


def needed_splits(config: ExperimentConfig) -> tuple[str, ...]:
    """List the splits that are used; `validation` is needed by a grid alone."""
    return tuple(name for name in SPLITS if name != "validation" or len(grid(config)) > 1)


def _check_questions(config: ExperimentConfig, data: KeyObjectDataset) -> None:
    """Refuse data without questions where they are learned or evaluated.

    Raises:
        OptionError: If there are none in a split that needs them.
    """
    from headimpact.data.formats.questions import with_questions

    splits = {"test"} if VQA in tasks_of(config) else set()
    if config.tune_task == VQA:
        splits |= {"train", *(["validation"] if len(grid(config)) > 1 else [])}
    for name in sorted(splits):
        if not len(with_questions(data.split(name))):
            raise OptionError(
                f"No question about any picture of {data.root} (split {name!r}); expected some for the task vqa. Leave "
                f"vqa out, or use {CAPTIONING}."
            )


def missing_folder(config: ExperimentConfig) -> str | None:
    """Say that a data folder is not there, and how one is made; None where it is, or scenes are made."""
    folder: Path | None = config.data
    if folder is None or folder.is_dir():
        return None
    return (
        f"Data folder not found: {folder}. Expected key objects with the splits {', '.join(SPLITS)}; make it with "
        "headimpact dataset build coco, and pass it as --data."
    )
