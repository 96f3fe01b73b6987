"""Tune: a selection and a data folder become a PEFT adapter."""

import contextlib
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headimpact.core.errors import DataFormatError, OptionError, UnsupportedModelError
from headimpact.core.provenance import hash_file
from headimpact.data.closed_questions import AnswerTemplate
from headimpact.data.dataset import KeyObjectDataset
from headimpact.data.sample import Sample
from headimpact.selection.selection import SELECTION_FILE, Selection
from headimpact.tuning.examples import TuningExample
from headimpact.tuning.options import TuningOptions
from headimpact.workflows.answers import print_answer
from headimpact.workflows.configs import TuneConfig
from headimpact.workflows.dataset import prompt_for, read_split, write_split
from headimpact.workflows.opening import check_model, open_model
from headimpact.workflows.processes import Processes
from headimpact.workflows.run_folder import find_run, started_run, write_provenance
from headimpact.workflows.selection import describe_choice
from headimpact.workflows.tasks import ask_task, check_task, question_examples
from headimpact.workflows.tuning_cache import PREFIX_FOLDER, check_prefix_options, tuning_cache

if TYPE_CHECKING:
    from headimpact.models.loading import LoadedModel
    from headimpact.tuning.language_inputs import LanguageInputCache
    from headimpact.tuning.training import TuningResult

DONE_FILE = "tuning.json"
DEFAULT_STEPS = 200
WORK = ("adapter", f"{PREFIX_FOLDER}/*/*.safetensors")
"""Files of a run that are worth keeping when it fails."""


def tune_command(config: TuneConfig) -> None:
    """Tune the chosen layers and save the adapter; under `accelerate launch` the processes share every batch.

    Raises:
        HeadImpactError: If an input is wrong; nothing is written then.
    """
    check_task(config)
    processes = Processes(cpu=config.device == "cpu")
    selection = Selection.read(selection_file(config.selection))
    options = tuning_options(config, selection)
    planned = dataclasses.replace(selection, r=options.r, target_modules=options.target_modules).count_parameters()
    is_finished = processes.is_main and find_run(config, done_file=DONE_FILE)
    if processes.hear(is_finished) and not config.dry_run:
        if processes.is_main:
            print_answer([f"finished already: {config.out}"], {"out": str(config.out)}, as_json=config.json)
        return
    dataset, template = ask_task(config, read_split(config, split=config.split, seed=config.seed))
    examples = task_examples(config, dataset, template)
    plan = [
        describe_choice(selection),
        f"trainable: {planned}",
        f"examples: {len(examples)} from {len(dataset)} pictures, {options.describe_length(len(examples))}",
    ]
    content = {
        "layers": list(selection.layers),
        "heads": None if selection.heads is None else [list(head) for head in selection.heads],
        "trainable_parameters": planned.trainable,
        "trainable_share": planned.share,
        "examples": len(examples),
    }
    if config.dry_run:
        if processes.is_main:
            check_model(config)
            print_answer(["dry run, nothing was written", *plan], content, as_json=config.json)
        return
    loaded = open_model(config)
    check_same_architecture(loaded, selection)
    result = tune_run(loaded, dataset, examples, selection, config=config, processes=processes)
    if not processes.is_main:
        return
    first, last = result.losses[0], result.losses[-1]
    print_answer(
        [*plan, f"loss: {first:.4f} -> {last:.4f}", f"adapter: {result.adapter}"],
        {**content, "first_loss": first, "last_loss": last, "adapter": str(result.adapter)},
        as_json=config.json,
    )


def tuning_options(config: TuneConfig, selection: Selection) -> TuningOptions:
    """Unpack a config into what the kernel takes.

    Args:
        config: The command's options.
        selection: Gives rank and projections where the command does not.

    Raises:
        OptionError: If a number is outside its range.
        UnknownNameError: If the schedule or the use of the prefix cache is unknown.
    """
    check_prefix_options(config)
    return TuningOptions(
        max_steps=DEFAULT_STEPS if config.max_steps is None and config.epochs is None else config.max_steps,
        epochs=config.epochs,
        learning_rate=config.learning_rate,
        batch_size=config.batch_size,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        warmup_ratio=config.warmup_ratio,
        weight_decay=config.weight_decay,
        lr_scheduler_type=config.lr_scheduler_type,
        gradient_checkpointing=config.gradient_checkpointing,
        bf16=config.bf16,
        seed=config.seed,
        r=selection.r if config.r is None else config.r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=tuple(config.target_modules or selection.target_modules),
    )


def task_examples(
    config: TuneConfig, dataset: KeyObjectDataset, template: AnswerTemplate | None
) -> tuple[TuningExample, ...]:
    """Turn pictures into what is learned: captions, or answers where there is a template.

    Raises:
        OptionError: If `captions_per_image` is below 1, or given where questions are answered.
    """
    if template is None:
        prompt = prompt_for(config, dataset)
        return tuning_examples(dataset, prompt=prompt, captions_per_image=config.captions_per_image)
    if config.captions_per_image != 1:
        raise OptionError("--captions-per-image has no meaning with --task vqa, which learns answers. Leave it out.")
    return question_examples(dataset, template)


def tuning_examples(
    dataset: Iterable[Sample], *, prompt: str, captions_per_image: int = 1
) -> tuple[TuningExample, ...]:
    """Turn pictures into what is learned: each of the first captions as an answer to the prompt.

    Raises:
        OptionError: If `captions_per_image` is below 1.
    """
    if captions_per_image < 1:
        raise OptionError(f"--captions-per-image is {captions_per_image}; expected 1 or more.")
    return tuple(
        TuningExample(image_id=sample.image_id, load_image=sample.load_image, prompt=prompt, answer=caption)
        for sample in dataset
        for caption in sample.captions[:captions_per_image]
    )


def check_same_architecture(loaded: "LoadedModel", selection: Selection) -> None:
    """Refuse a selection made from the scores of another model.

    Raises:
        UnsupportedModelError: If a size or a name differs; the message names it.
    """
    found, expected = (one.to_json() for one in (loaded.family.architecture(loaded.config), selection.architecture))
    for name, value in expected.items():
        if found[name] != value:
            raise UnsupportedModelError(
                f"Selection does not fit the model {loaded.name!r}: {name} is {found[name]}, the selection was made "
                f"for {value}. Pass the model that was scored, or score this one."
            )


def selection_file(path: Path) -> Path:
    """Find `selection.json` in a folder, or take the file itself.

    Raises:
        DataFormatError: If there is none.
    """
    found = path / SELECTION_FILE if path.is_dir() else path
    if not found.is_file():
        raise DataFormatError(f"No selection at {path}: expected {SELECTION_FILE}. Run headimpact select first.")
    return found


def tune_run(
    loaded: "LoadedModel",
    dataset: KeyObjectDataset,
    examples: Sequence[TuningExample],
    selection: Selection,
    *,
    config: TuneConfig,
    processes: Processes,
) -> "TuningResult":
    """Tune a loaded model in a run that is not begun yet; the main process makes its folder, and all take part.

    Args:
        loaded: The base model; it is left as it was.
        dataset: The pictures, for the record.
        examples: What is learned from them.
        selection: Which layers or heads.
        config: Options; `find_run` has let its folder pass.
        processes: Those that share the work.

    Returns:
        Counts and losses.

    Raises:
        HeadImpactError: As `started_run` and `tune_folder` say.
    """
    with started_run(config, work=WORK) if processes.is_main else contextlib.nullcontext():
        processes.wait()  # until the main process has made the folder
        return tune_folder(loaded, dataset, examples, selection, config=config, processes=processes)


def tune_folder(
    loaded: "LoadedModel",
    dataset: KeyObjectDataset,
    examples: Sequence[TuningExample],
    selection: Selection,
    *,
    config: TuneConfig,
    cache: "LanguageInputCache | None" = None,
    processes: Processes | None = None,
) -> "TuningResult":
    """Tune a loaded model into a run's folder.

    Args:
        loaded: The base model; it is left as it was.
        dataset: The pictures, for the record.
        examples: What is learned from them.
        selection: Which layers.
        config: Options; `out` is the run's folder.
        cache: Language inputs kept from arm to arm; what `tuning_cache` gives if left out.
        processes: Those that share the work; this one alone if left out.

    Returns:
        Counts and losses; they are in `tuning.json` too.

    Raises:
        RunFailedError: If training diverges or a file cannot be written.
    """
    from headimpact.tuning.training import tune_adapter

    options, processes = tuning_options(config, selection), processes or Processes()
    if processes.is_main:
        selection.write(config.out / SELECTION_FILE)
        write_split(config.out, dataset, split=config.split)
        write_provenance(
            config.out,
            command="tune",
            seed=config.seed,
            data_fingerprint=dataset.fingerprint,
            selection_hash=hash_file(config.out / SELECTION_FILE),
            **loaded.describe(),
        )
    given = None if cache is None else contextlib.nullcontext(cache)
    with given or tuning_cache(
        loaded, examples, selection, options=options, config=config, processes=processes
    ) as kept:
        return tune_adapter(loaded, examples, selection, options=options, out=config.out, cache=kept, overwrite=True)
