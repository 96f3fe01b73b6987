"""Makes a finished data set visible in its run folder: whole, and last `metadata.jsonl`, which makes it one."""

import csv
import dataclasses
import shutil
from pathlib import Path

from headimpact.core.artifacts import atomic_file
from headimpact.core.errors import RunFailedError
from headimpact.data.build.stratified_splits import PictureKind, assign_stratified_splits
from headimpact.data.build.tables import LEFT_OUT_FILE
from headimpact.data.dataset import KeyObjectDataset, Skip
from headimpact.data.formats.jsonl import INFO_FILE, METADATA_FILE
from headimpact.data.formats.jsonl_writer import write_jsonl_dataset
from headimpact.data.masks import mask_area
from headimpact.data.sample import Sample
from headimpact.report.dataset_card import AREAS_FILE, CARD_FILE, CATEGORIES_FILE, write_card
from headimpact.workflows.run_folder import write_provenance

STAGING = ".dataset.tmp"
"""Where the data set is written before it becomes visible; its name is that of a leftover, should a kill strike."""

_PARTS = (
    "images", "masks", INFO_FILE, LEFT_OUT_FILE, CATEGORIES_FILE, AREAS_FILE, CARD_FILE, METADATA_FILE,
)  # fmt: skip
"""What is moved into the run folder, in this order."""


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


def publish(out: Path, dataset: KeyObjectDataset, *, command: str) -> None:
    """Write a data set into its run folder.

    Args:
        out: The run folder, claimed.
        dataset: What to write.
        command: The command that made it, for the provenance.

    Raises:
        RunFailedError: If the file system refuses.
    """
    staged = out / STAGING
    write_jsonl_dataset(dataset, staged, overwrite=True)
    write_left_out(staged / LEFT_OUT_FILE, dataset.skips)
    write_card(staged)
    write_provenance(out, command=command, data_fingerprint=dataset.fingerprint)
    try:
        for name in _PARTS:
            target = out / name
            if target.is_dir():
                shutil.rmtree(target)  # of a run that was killed right here
            if (staged / name).exists():
                (staged / name).rename(target)
        staged.rmdir()
    except OSError as error:
        raise RunFailedError(
            f"Cannot write {out}: {error.strerror or error}. Free space, then run again with --resume."
        ) from error


def write_left_out(path: Path, skips: tuple[Skip, ...]) -> None:
    """Write which pictures were left out and why."""
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("image_id", "reason"))
        rows.writerows((skip.image_id, skip.reason) for skip in skips)
