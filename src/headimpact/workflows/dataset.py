"""Data folders from the command line: make scenes, check a folder, read one for a stage."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from headimpact.core.artifacts import read_json, refuse_used, write_json
from headimpact.core.errors import DataFormatError, OptionError
from headimpact.core.registry import unknown_name_message
from headimpact.data.dataset import KeyObjectDataset
from headimpact.data.formats import read_dataset
from headimpact.data.formats.questions import check_questions, count_questions
from headimpact.workflows.answers import print_answer
from headimpact.workflows.configs import BuildScenesConfig, DataOptions, ValidateConfig

SPLITS = ("calibration", "train", "validation", "test")
SPLIT_SEED = 0
SPLIT_FILE, SPLIT_SCHEMA = "split.json", "split/1"
FAULTS_FOUND = 1
"""Exit code of a check that was carried out and found faults."""

GENERAL_PROMPT = "Describe the picture."
"""Prompt where neither the user nor the data set gives one."""


def read_split(config: DataOptions, *, split: str | None, seed: int) -> KeyObjectDataset:
    """Read a data folder, check all of it, and take one split of it.

    Args:
        config: The data options of a command.
        split: Name of the split, or `all`; None takes `validation`, or `test` where there is none: pictures that judge
            a choice and had no part in it.
        seed: Seed of the draw where `limit` is given.

    Returns:
        The pictures of the split that say something; others are counted in its `skipped`.

    Raises:
        DataFormatError: If the folder has faults, or no picture is left.
        OptionError: If a number is out of range.
        UnknownNameError: If the folder has no such split.
    """
    if config.limit is not None and config.limit < 1:
        raise OptionError(f"--limit is {config.limit}; expected 1 or more.")
    whole = read_checked(config.data, skip_bad=config.skip_bad, images=config.images)
    if split is None:
        split = "test" if whole.split_names and "validation" not in whole.split_names else "validation"
    dataset = whole.split(split)
    if config.limit is not None:
        dataset = dataset.limit(config.limit, seed)
    if not len(dataset):
        reasons = ", ".join(f"{count} {reason}" for reason, count in dataset.skipped.items()) or "no picture at all"
        raise DataFormatError(
            f"No picture left in {config.data} (split {split!r}): {reasons}. "
            "A picture needs a caption and an annotated object."
        )
    return dataset


def read_checked(folder: Path, *, skip_bad: bool = False, images: Path | None = None) -> KeyObjectDataset:
    """Read a data folder with a progress bar while its pictures are checked.

    A folder without splits is split with one fixed seed, so that stages run with different seeds never
    share a picture between splits.

    Raises:
        DataFormatError: If the folder has faults.
    """
    with tqdm(desc="check pictures", unit="picture", leave=False, delay=1.0) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return read_dataset(folder, skip_bad=skip_bad, seed=SPLIT_SEED, progress=advance, images=images)


def prompt_for(config: DataOptions, dataset: KeyObjectDataset) -> str:
    """Choose the prompt: the user's, else the data set's, else the general one."""
    return config.prompt or next((s.prompt for s in dataset if s.prompt), None) or GENERAL_PROMPT


def build_scenes_command(config: BuildScenesConfig) -> None:
    """Write a folder of scenes.

    Raises:
        OptionError: If no picture or a negative number of pictures is asked for.
        OutputInUseError: If the folder holds something and `--overwrite` is off.
        UnknownNameError: If the task is unknown.
    """
    from headimpact.embedded.scenes import TASKS, build_scenes

    if config.task not in TASKS:
        raise OptionError(unknown_name_message("task", config.task, TASKS))
    counts = scene_counts(config)
    finished = config.resume and holds_scenes(config.out, task=config.task, counts=counts, seed=config.seed)
    if not config.overwrite and not finished:
        refuse_used(config.out, overwrite=False)
    if not config.dry_run and not finished:
        build_scenes(config.out, task=config.task, counts=counts, seed=config.seed, overwrite=config.overwrite)
    made = ", ".join(f"{count} {split}" for split, count in counts.items())
    verb = "finished already:" if finished else "would write" if config.dry_run else "wrote"
    print_answer(
        [f"{verb} {sum(counts.values())} scenes of task {config.task!r} ({made})", f"folder: {config.out}"],
        {"out": str(config.out), "task": config.task, "counts": counts},
        as_json=config.json,
    )


def holds_scenes(out: Path, *, task: str, counts: Mapping[str, int], seed: int) -> bool:
    """Tell whether a folder holds just these scenes; it was written whole or not at all."""
    try:
        content = json.loads((out / "instances.json").read_text(encoding="utf-8"))
        found = Counter(image["split"] for image in content["images"])
        return bool((content["info"]["task"], content["info"]["seed"], dict(found)) == (task, seed, dict(counts)))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def scene_counts(config: BuildScenesConfig) -> dict[str, int]:
    """Give the number of pictures of each split.

    `--count` is spread over the splits in proportion to the four counts, largest remainders first.

    Raises:
        OptionError: If no picture or a negative number of pictures is asked for.
    """
    counts = {split: int(getattr(config, split)) for split in SPLITS}
    if min(counts.values()) < 0 or sum(counts.values()) == 0 or (config.count is not None and config.count < 1):
        raise OptionError(f"Number of scenes: given {counts}, --count {config.count}; expected at least one.")
    if config.count is None:
        return {split: count for split, count in counts.items() if count}
    exact = {split: config.count * count / sum(counts.values()) for split, count in counts.items()}
    spread = {split: int(value) for split, value in exact.items()}
    by_remainder = sorted(SPLITS, key=lambda split: spread[split] - exact[split])
    for split in by_remainder[: config.count - sum(spread.values())]:
        spread[split] += 1
    return {split: count for split, count in spread.items() if count}


def validate_command(config: ValidateConfig) -> int:
    """List every fault of a folder and what would be skipped.

    Returns:
        0 where the folder is sound, 1 where there are faults.

    Raises:
        DataFormatError: If the folder is of no known format.
    """
    faults: list[str] = []
    dataset, questions = None, 0
    try:
        dataset = read_checked(config.data, images=config.images)
    except DataFormatError as error:
        if not error.faults:
            raise
        faults += error.faults
    try:
        questions = check_questions(dataset) if dataset is not None else count_questions(config.data)
    except DataFormatError as error:
        faults += error.faults
    if dataset is None or faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        print_answer([*faults, f"{count} in {config.data}"], {"faults": faults}, as_json=config.json)
        return FAULTS_FOUND
    skipped = dict(dataset.skipped)
    splits = split_sizes(dataset)
    print_answer(
        [
            f"{config.data} is sound: {len(dataset)} pictures with captions and a key object",
            *(f"  split {name}: {count}" for name, count in splits.items()),
            *(f"  skipped, {reason}: {count}" for reason, count in skipped.items()),
            *([f"  questions: {questions}"] if questions else []),
        ],
        {"faults": [], "used": len(dataset), "skipped": skipped, "splits": splits, "questions": questions},
        as_json=config.json,
    )
    return 0


def split_sizes(dataset: KeyObjectDataset) -> dict[str, int]:
    """Count pictures by split, in order of appearance; pictures without one count as `(none)`."""
    sizes: dict[str, int] = {}
    for sample in dataset:
        name = sample.split or "(none)"
        sizes[name] = sizes.get(name, 0) + 1
    return sizes


def write_split(out: Path, dataset: KeyObjectDataset, *, split: str) -> None:
    """Write which pictures a run used, so that a later stage can prove there is no overlap."""
    write_json(
        out / SPLIT_FILE,
        {"split": split, "fingerprint": dataset.fingerprint, "image_ids": list(dataset.image_ids)},
        schema=SPLIT_SCHEMA,
    )


def check_same_pictures(out: Path, dataset: KeyObjectDataset, *, may_be_fewer: bool = False) -> None:
    """Refuse to take a finished run for one of pictures that it did not use.

    Args:
        out: Folder of the finished run.
        dataset: The pictures asked for.
        may_be_fewer: Whether the run may have stopped before all of them.

    Raises:
        OptionError: If it used others.
        DataFormatError: If its list of pictures is missing or broken.
    """
    used = set(read_json(out / SPLIT_FILE, schema=SPLIT_SCHEMA)["image_ids"])
    given = set(dataset.image_ids)
    if not (used <= given if may_be_fewer else used == given):
        raise OptionError(
            f"Cannot resume {out}: it used {len(used)} pictures, {len(used & given)} of which are among the "
            f"{len(given)} given now; expected the same. Give the same pictures, or another out."
        )
