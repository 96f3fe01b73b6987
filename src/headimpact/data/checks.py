"""Check a whole data folder and list everything that is wrong with it."""

from pathlib import Path

from headimpact.data.entries import Fault
from headimpact.data.formats import read_content
from headimpact.data.inspection import Progress, inspect_content

__all__ = ["Fault", "check_folder"]


def check_folder(root: Path, *, progress: Progress | None = None, workers: int | None = None) -> list[Fault]:
    """List every fault of a data folder: of its lists, and of every picture and mask, read to the end.

    Args:
        root: A folder in COCO's format or our own.
        progress: Called after every picture with the number done and the number of all.
        workers: Threads that decode pictures; by default one per usable processor.

    Returns:
        All faults, those of the lists first; empty for a sound folder.

    Raises:
        DataFormatError: If the folder is in no known format, in several, or its lists cannot be told apart.
    """
    return list(inspect_content(read_content(root), progress=progress, workers=workers).faults)
