"""Make a data set from a folder of one's own pictures: read, checked, split, written in our own format."""

import csv
import dataclasses
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from tqdm import tqdm

from headimpact.core.artifacts import atomic_file
from headimpact.core.errors import DataFormatError, OptionError, RunFailedError
from headimpact.core.registry import unknown_name_message
from headimpact.data.annotations import ANNOTATION_FORMATS, read_pictures
from headimpact.data.build.stratified_splits import PictureKind, assign_stratified_splits
from headimpact.data.dataset import KeyObjectDataset, Skip
from headimpact.data.entries import FolderContent
from headimpact.data.formats import check_content
from headimpact.data.formats.hub_card import CARD_FILE, FOLDER_FILES, write_card
from headimpact.data.formats.jsonl import INFO_FILE, METADATA_FILE
from headimpact.data.formats.jsonl_writer import write_jsonl_dataset
from headimpact.data.masks import mask_area
from headimpact.data.sample import Sample
from headimpact.workflows.answers import print_answer
from headimpact.workflows.dataset import split_sizes
from headimpact.workflows.picture_configs import BuildPicturesConfig
from headimpact.workflows.run_folder import find_run, started_run, write_provenance

KEY_OBJECTS = ("chosen", "all")
LEFT_OUT_FILE = "left_out.csv"
STAGING = ".dataset.tmp"
"""Where the data set is written before it becomes visible; its name is that of a leftover, should a kill strike."""


def build_pictures_command(config: BuildPicturesConfig) -> None:
    """Read a folder of pictures, make a data set of it, and say what came out.

    Raises:
        HeadImpactError: If an input is wrong; nothing is written then.
    """
    check_options(config)
    if find_run(config, done_file=METADATA_FILE):
        print_answer([f"finished already: {config.out}"], {"out": str(config.out)}, as_json=config.json)
        return
    content = read_own_pictures(config)
    dataset = check_pictures(content, config)
    refuse_nothing(dataset, config)
    dataset = with_splits(dataset, seed=config.seed)
    if not config.dry_run:
        with started_run(config, work=()):
            publish(dataset, config)
    print_built(dataset, config)


def check_options(config: BuildPicturesConfig) -> None:
    """Refuse options that cannot be carried out, before anything is read.

    Raises:
        OptionError: If a word is unknown, or one of `out` and `images` lies in the other.
        UnknownNameError: If the format of the masks is in no table.
    """
    if config.masks_format != "auto":
        ANNOTATION_FORMATS[config.masks_format]
    if config.key_objects not in KEY_OBJECTS:
        raise OptionError(unknown_name_message("choice of key objects", config.key_objects, KEY_OBJECTS))
    out, images = config.out.resolve(), config.images.resolve()
    if out.is_relative_to(images) or images.is_relative_to(out):
        raise OptionError(
            f"--out {config.out} and --images {config.images}: one lies in the other. Choose another --out."
        )


def read_own_pictures(config: BuildPicturesConfig) -> FolderContent:
    """Read all lists, no picture yet; `--key-objects all` marks every object."""
    content = read_pictures(
        config.images,
        captions=config.captions,
        masks=config.masks,
        masks_format=config.masks_format,
        category=config.category,
    )
    if config.key_objects == "chosen":
        return content
    entries = [
        dataclasses.replace(entry, objects=tuple(dataclasses.replace(one, is_key=True) for one in entry.objects))
        for entry in content.entries
    ]
    return dataclasses.replace(content, entries=tuple(entries))


def check_pictures(content: FolderContent, config: BuildPicturesConfig) -> KeyObjectDataset:
    """Open every picture and mask, with a progress bar.

    Raises:
        DataFormatError: If there are faults; all are listed.
    """
    with tqdm(desc="check pictures", unit="picture", leave=False, delay=1.0) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return check_content(config.images, content, skip_bad=config.skip_bad, progress=advance)


def refuse_nothing(dataset: KeyObjectDataset, config: BuildPicturesConfig) -> None:
    """Refuse a data set without a picture.

    Raises:
        DataFormatError: If none is left.
    """
    if not len(dataset):
        reasons = ", ".join(f"{count} {reason}" for reason, count in dataset.skipped.items())
        raise DataFormatError(
            f"No picture left of {config.images}: {reasons}. A picture needs a caption (--captions, or --describer for "
            "a model's) and a mask (--masks, or --detector and --segmenter)."
        )


def with_splits(dataset: KeyObjectDataset, *, seed: int) -> KeyObjectDataset:
    """Give every picture a split, stratified by category and area, unless the captions file gave any."""
    if any(sample.split for sample in dataset):
        return dataset
    kinds = {sample.image_id: _kind(sample) for sample in dataset}
    chosen = assign_stratified_splits(kinds, seed=seed)
    samples = tuple(dataclasses.replace(sample, split=chosen[sample.image_id]) for sample in dataset)
    return dataclasses.replace(dataset, samples=samples)


def _kind(sample: Sample) -> PictureKind:
    """Say what a picture is stratified by."""
    height, width = sample.size_hw
    return PictureKind(sample.key_objects[0].category, mask_area(sample.load_mask()) / (height * width))


def publish(dataset: KeyObjectDataset, config: BuildPicturesConfig) -> None:
    """Write the data set into its run folder; `metadata.jsonl`, which makes it one, comes last.

    Raises:
        RunFailedError: If the file system refuses.
    """
    staged = config.out / STAGING
    write_jsonl_dataset(dataset, staged, overwrite=True)
    write_card(staged, data_files=FOLDER_FILES, lines=_card_lines(dataset))
    write_left_out(config.out / LEFT_OUT_FILE, dataset.skips)
    write_provenance(config.out, command="dataset build pictures", data_fingerprint=dataset.fingerprint)
    try:
        for name in ("images", "masks", INFO_FILE, CARD_FILE, METADATA_FILE):
            target = config.out / name
            if target.is_dir():
                shutil.rmtree(target)  # of a run that was killed right here
            if (staged / name).exists():
                (staged / name).rename(target)
        staged.rmdir()
    except OSError as error:
        raise RunFailedError(
            f"Cannot write {config.out}: {error.strerror or error}. Free space, then run again with --resume."
        ) from error


def write_left_out(path: Path, skips: tuple[Skip, ...]) -> None:
    """Write which pictures were left out and why."""
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("image_id", "reason"))
        rows.writerows((skip.image_id, skip.reason) for skip in skips)


def print_built(dataset: KeyObjectDataset, config: BuildPicturesConfig) -> None:
    """Say what came out."""
    splits, categories = split_sizes(dataset), Counter(one.category for s in dataset for one in s.key_objects)
    answer: dict[str, Any] = {
        "out": str(config.out),
        "pictures": len(dataset),
        "splits": splits,
        "categories": dict(categories.most_common()),
        "left_out": dataset.skipped,
    }
    verb = "would write" if config.dry_run else "wrote"
    print_answer(
        [
            f"{verb} {len(dataset)} pictures to {config.out}",
            *(f"  split {name}: {count}" for name, count in splits.items()),
            f"  key objects: {', '.join(f'{count} {name}' for name, count in categories.most_common(8))}",
            *(f"  left out, {reason}: {count}" for reason, count in dataset.skipped.items()),
        ],
        answer,
        as_json=config.json,
    )


def _card_lines(dataset: KeyObjectDataset) -> list[str]:
    """Say in a few lines what the data set is."""
    made = [sample for sample in dataset if any(one.origin for one in sample.key_objects)]
    described = [sample for sample in dataset if sample.caption_origin]
    splits = ", ".join(f"{count} {name}" for name, count in split_sizes(dataset).items())
    return [
        "# Pictures with masks of their key objects",
        f"{len(dataset)} pictures ({splits}), each with captions and the masks of what they are about.",
        f"Masks made by models: {len(made)} pictures. Captions made by models: {len(described)} pictures. Each says "
        "so in `mask_origin` and `caption_origin`, with model and prompt; all others were given by people.",
    ]
