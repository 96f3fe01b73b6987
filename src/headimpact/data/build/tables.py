"""Write the tables of a built data set: `metadata.jsonl` and what goes with it.

Comes in: `PictureLines` in the order of their ids, as often as asked for. Goes out, in the folder that holds their
masks and pictures: `decisions.jsonl`, `attribution.csv`, `questions.jsonl`, `info.json` and, last, so that an
unfinished folder is no data set, `metadata.jsonl`. A category and a split for each picture is all that is held in
memory.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

from headimpact.core.artifacts import atomic_file
from headimpact.data.build.built_picture import ATTRIBUTION_FIELDS, PictureLines, with_split
from headimpact.data.build.stratified_splits import PictureKind, assign_stratified_splits
from headimpact.data.formats.jsonl import INFO_FILE, METADATA_FILE
from headimpact.data.splits import SHARES

DECISIONS_FILE = "decisions.jsonl"
ATTRIBUTION_FILE = "attribution.csv"
QUESTIONS_FILE = "questions.jsonl"
LEFT_OUT_FILE = "left_out.csv"
"""Of a set of one's own pictures: those that are not in it, with the reason; `image_id` and `reason`."""

Pictures = Callable[[], Iterable[PictureLines]]
"""Gives all pictures of a data set, again and again."""


def choose_splits(
    pictures: Iterable[PictureLines], *, seed: int, shares: Mapping[str, float] = SHARES
) -> dict[str, str]:
    """Give each picture that was kept a split, stratified by category and area.

    Args:
        pictures: All pictures.
        seed: Seed of the choice.
        shares: Split name to its share.

    Returns:
        Picture id to split name.

    Raises:
        OptionError: If shares are not positive or do not add up to 1.
    """
    kinds = {one.image_id: PictureKind(one.category, one.area_share) for one in pictures if one.entry}
    return assign_stratified_splits(kinds, shares=shares, seed=seed)


def write_tables(folder: Path, pictures: Pictures, *, splits: Mapping[str, str], info: Mapping[str, Any]) -> None:
    """Write all tables, each whole or not at all.

    Args:
        folder: The data set's folder.
        pictures: Its pictures in the order of their ids.
        splits: Picture id to split name, of every picture that was kept.
        info: What the data set says of itself.

    Raises:
        RunFailedError: If the file system refuses (disk full, no permission).
    """
    with atomic_file(folder / METADATA_FILE) as metadata, ExitStack() as before:
        others = [
            before.enter_context(atomic_file(folder / name))
            for name in (DECISIONS_FILE, ATTRIBUTION_FILE, QUESTIONS_FILE, INFO_FILE)
        ]
        with ExitStack() as opened:
            files = [
                opened.enter_context(path.open("w", encoding="utf-8", newline="\n")) for path in (metadata, *others)
            ]
            files[-1].write(json.dumps(dict(info), indent=1, ensure_ascii=False) + "\n")
            _copy_lines(pictures(), splits, *files[:-1])


def _copy_lines(
    pictures: Iterable[PictureLines],
    splits: Mapping[str, str],
    metadata: TextIO,
    decisions: TextIO,
    attribution: TextIO,
    questions: TextIO,
) -> None:
    """Copy the lines of every picture into the open tables."""
    attribution.write(",".join(ATTRIBUTION_FIELDS) + "\n")
    for picture in pictures:
        decisions.write(picture.decision + "\n")
        if not picture.entry:
            continue
        split = splits[picture.image_id]
        metadata.write(with_split(picture.entry, split) + "\n")
        if picture.source:
            attribution.write(picture.source + "\n")
        for question in picture.questions:
            questions.write(with_split(question, split) + "\n")
