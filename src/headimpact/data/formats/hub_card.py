"""The head of a data set's README.md, from which the hub and `datasets.load_dataset` learn which files are which split.

Without it `load_dataset` guesses: a picture named `train_1.png` makes a split of its own, and its captions are lost.
"""

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from headimpact.core.errors import DataFormatError
from headimpact.data.folder_files import resolve_inside

CARD_FILE = "README.md"
FOLDER_FILES = {"train": ("metadata.jsonl", "images/**", "masks/**")}
"""Files of a folder in our own format. Its splits are a column, since one list holds them all."""


COMPANIONS = ("info.json", "attribution.csv", "decisions.jsonl", "left_out.csv", "categories.svg", "areas.svg")
"""Files beside the pictures that go along when a data set changes its form; `attribution.csv` has to."""


def card_configs(data_files: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Give the part of a card's head that says which files are which split.

    Args:
        data_files: Name of each split to the patterns of its files.

    Returns:
        What stands under `configs`.
    """
    files = [{"split": split, "path": list(patterns)} for split, patterns in data_files.items()]
    return [{"config_name": "default", "data_files": files}]


def write_card(
    folder: Path, *, data_files: Mapping[str, Sequence[str]], lines: Sequence[str], source: Path | None = None
) -> None:
    """Write a card: its head, and text for people.

    Args:
        folder: Folder of the data set.
        data_files: As for `card_configs`.
        lines: Paragraphs, the title first; used where the source has no card.
        source: Folder that the data set came from; the text of its card and what else its head says are kept.

    Raises:
        DataFormatError: If the source's card is a link out of its folder.
    """
    head, text = _read_card(source) if source is not None else ({}, "")
    content = {**head, "configs": card_configs(data_files)}
    shown = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    body = text.strip() or "\n\n".join(lines)
    (folder / CARD_FILE).write_text(f"---\n{shown}---\n\n{body}\n", encoding="utf-8")


def copy_companions(source: Path, folder: Path, *, names: Sequence[str] = COMPANIONS) -> None:
    """Copy the files that go along with a data set, those that are there.

    Args:
        source: Folder that the data set came from.
        folder: Folder that it goes to; what is there already stays.
        names: Names of the files.

    Raises:
        DataFormatError: If one is a link out of its folder.
    """
    for name in names:
        path = resolve_inside(source.resolve(), source, name)
        if path.is_file() and not (folder / name).exists():
            shutil.copyfile(path, folder / name)


def _read_card(source: Path) -> tuple[dict[str, Any], str]:
    """Read the head and the text of a card; what cannot be read is left out."""
    path = resolve_inside(source.resolve(), source, CARD_FILE)
    try:
        text = path.read_text(encoding="utf-8")
        before, dashes, after = text.removeprefix("---\n").partition("\n---\n")
        head = yaml.safe_load(before) if dashes and text.startswith("---\n") else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}, ""
    return (head, after) if isinstance(head, dict) else ({}, text)


def check_split_name(name: str) -> str:
    """Give a split's name if it can be one on the hub.

    Raises:
        DataFormatError: If it is "all", which means every split, or holds anything but letters, digits, dots and
            underscores.

    Source: datasets, `naming.py` (`_split_re`).
    """
    if name == "all" or not re.fullmatch(r"\w+(\.\w+)*", name, flags=re.ASCII):
        raise DataFormatError(
            f"Name of a split cannot go to the hub: {name!r}; expected letters, digits and underscores, and not 'all'. "
            "Rename it."
        )
    return name
