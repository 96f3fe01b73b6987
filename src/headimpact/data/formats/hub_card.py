"""The head of a data set's README.md, from which the hub and `datasets.load_dataset` learn which files are which split.

Without it `load_dataset` guesses: a picture named `train_1.png` makes a split of its own, and its captions are lost.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from headimpact.core.errors import DataFormatError

CARD_FILE = "README.md"
FOLDER_FILES = {"train": ("metadata.jsonl", "images/**", "masks/**")}
"""Files of a folder in our own format. Its splits are a column, since one list holds them all."""


def card_head(data_files: Mapping[str, Sequence[str]]) -> str:
    """Write the head of a card.

    Args:
        data_files: Name of each split to the patterns of its files.

    Returns:
        YAML between two lines of dashes, as the hub reads it.

    Example:
        >>> print(card_head({"test": ["data/test-*.parquet"]}), end="")
        ---
        configs:
        - config_name: default
          data_files:
          - split: test
            path:
            - data/test-*.parquet
        ---
    """
    files = [{"split": split, "path": list(patterns)} for split, patterns in data_files.items()]
    content = {"configs": [{"config_name": "default", "data_files": files}]}
    return f"---\n{yaml.safe_dump(content, sort_keys=False)}---\n"


def write_card(folder: Path, *, data_files: Mapping[str, Sequence[str]], lines: Sequence[str]) -> None:
    """Write a card: its head and a few lines for people.

    Args:
        folder: Folder of the data set.
        data_files: As for `card_head`.
        lines: Paragraphs, the title first.
    """
    text = "\n\n".join(lines)
    (folder / CARD_FILE).write_text(f"{card_head(data_files)}\n{text}\n", encoding="utf-8")


def check_split_name(name: str) -> str:
    """Give a split's name if it can be one on the hub.

    Raises:
        DataFormatError: If it holds anything but letters, digits, dots and underscores.

    Source: datasets, `splits.py` (`_split_re`).
    """
    if not name or not all(part.isascii() and part.isidentifier() for part in f"x{name}".split(".")):
        raise DataFormatError(
            f"Name of a split cannot go to the hub: {name!r}; expected letters, digits and underscores. Rename it."
        )
    return name
