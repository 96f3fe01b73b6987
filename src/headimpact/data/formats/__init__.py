"""Data formats: the one table, and the door through which every stage reads a folder."""

from pathlib import Path

from headimpact.core.errors import DataFormatError, OptionError
from headimpact.core.registry import Registry
from headimpact.data.dataset import KeyObjectDataset, Skip
from headimpact.data.entries import Fault, FolderContent, id_order
from headimpact.data.formats.coco_layout import has_coco_lists
from headimpact.data.inspection import Chooser, Progress, inspect_content

FORMATS = Registry(
    "data format",
    {
        "coco": "headimpact.data.formats.coco:read_coco",
        "jsonl": "headimpact.data.formats.jsonl:read_jsonl",
    },
)
"""Format to its reader: a function from the folder to `FolderContent`."""


def detect_format(root: Path) -> str:
    """Say in which format a folder is, by the files in it.

    Args:
        root: The data folder.

    Returns:
        A name of `FORMATS`.

    Raises:
        DataFormatError: If `root` is no folder, is in no known format, or is in several at once.
    """
    if not root.is_dir():
        found = "is a file" if root.exists() else "does not exist"
        raise DataFormatError(f"Not a data folder: {root} {found}. Pass a folder in COCO's format or our own.")
    found_formats = {"coco": has_coco_lists(root), "jsonl": (root / "metadata.jsonl").is_file()}
    names = [name for name, is_found in found_formats.items() if is_found]
    if len(names) > 1:
        raise DataFormatError(
            f"Data folder in several formats: {root} has COCO lists and metadata.jsonl. Move one of them away."
        )
    if not names:
        raise DataFormatError(
            f"No data set in {root}: expected COCO's instances.json, captions.json and images/ "
            "(or annotations/instances_NAME.json and captions_NAME.json), or metadata.jsonl with pictures and masks."
        )
    return names[0]


def read_content(root: Path, *, images: Path | None = None) -> FolderContent:
    """Read the lists of a folder in any known format; no picture is opened.

    Args:
        root: The data folder.
        images: Folder of the pictures, where they are not in the data folder.

    Raises:
        DataFormatError: If the folder is in no known format, in several, or lists cannot be told apart, or a folder is
            missing.
    """
    if images is not None and not images.is_dir():
        raise DataFormatError(f"Folder not found: {images}. Pass the folder of the pictures as --images.")
    options = {} if images is None else {"images": images}
    content: FolderContent = FORMATS.load(detect_format(root))(root, **options)
    return content


def read_dataset(
    root: Path,
    *,
    skip_bad: bool = False,
    split: str = "all",
    limit: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    workers: int | None = None,
    images: Path | None = None,
) -> KeyObjectDataset:
    """Check a whole data folder and read it.

    Every list, picture and mask is read to its end before anything is returned; nothing but sizes, texts
    and compressed masks is kept. Pictures that say nothing are left out and counted.

    Args:
        root: A folder in COCO's format or our own.
        skip_bad: Leave pictures with a fault of their own (missing, broken, too large, a mask of another
            size) out, counted as `bad_picture`, instead of refusing the folder. Faults of the lists are
            refused all the same.
        split: Split to take; `all` takes everything.
        limit: Draw at most so many samples of it.
        seed: Seed of the split of a folder that has none, and of `limit`. Stages that must not share
            pictures have to use the same.
        progress: Called after every picture with the number done and the number of all.
        workers: Threads that decode pictures; by default one per usable processor.
        images: Folder of the pictures, where they are not in the data folder.

    Returns:
        The samples; there may be none.

    Raises:
        DataFormatError: If the folder is in no known format or has faults; `faults` holds all of them.
        OptionError: If `limit` or `workers` is below 1.
        UnknownNameError: If there is no such split.
    """
    content = read_content(root, images=images)
    dataset = check_content(root, content, skip_bad=skip_bad, seed=seed, progress=progress, workers=workers)
    dataset = dataset.split(split)
    return dataset if limit is None else dataset.limit(limit, seed)


def check_content(
    root: Path,
    content: FolderContent,
    *,
    skip_bad: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
    workers: int | None = None,
    choose: Chooser | None = None,
) -> KeyObjectDataset:
    """Open every picture and mask that a reader listed, and make the data set.

    Args:
        root: Folder that the pictures are in.
        content: What a reader found.
        skip_bad: As for `read_dataset`.
        seed: Seed of the split of a folder that has none.
        progress: Called after every picture with the number done and the number of all.
        workers: Threads that decode pictures; by default one per usable processor.
        choose: Chooses the key objects; by default `choose_key_objects` does.

    Returns:
        All samples; there may be none.

    Raises:
        DataFormatError: If there are faults; `faults` holds all of them.
        OptionError: If `workers` is below 1.
    """
    if workers is not None and workers < 1:
        raise OptionError(f"Number of workers: given {workers}; expected 1 or more.")
    inspection = inspect_content(content, progress=progress, workers=workers, choose=choose)
    bad = {fault.image_id for fault in inspection.faults if fault.image_id is not None} if skip_bad else set()
    faults = [fault for fault in inspection.faults if fault.image_id is None or not skip_bad]
    if faults:
        raise DataFormatError(_summary(root, faults), faults=[str(fault) for fault in faults])
    skips = [
        *(skip for skip in inspection.skips if skip.image_id not in bad),
        *(Skip(e.image_id, "bad_picture", e.split) for e in content.entries if e.image_id in bad),
    ]
    return KeyObjectDataset(
        samples=tuple(sample for sample in inspection.samples if sample.image_id not in bad),
        root=root,
        skips=tuple(sorted(skips, key=lambda skip: id_order(skip.image_id))),
        info=content.info,
        split_seed=seed,
    )


def _summary(root: Path, faults: list[Fault]) -> str:
    """Say how many faults a folder has and what can be done."""
    of_pictures = sum(fault.image_id is not None for fault in faults)
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    if of_pictures == len(faults):
        advice = "Mend them, or pass --skip-bad to leave these pictures out."
    else:
        advice = "Mend them; --skip-bad helps with faults of single pictures only."
    return f"Data folder cannot be used: {count} in {root}, first {faults[0]} {advice}"
