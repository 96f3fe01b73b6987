"""Drop pictures from a data set, as a person marked them: out of its tables, and their files out of its folder."""

import csv
import io
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from headimpact.core.artifacts import atomic_file
from headimpact.core.errors import DataFormatError
from headimpact.data.build.statistics import read_left_out, read_lines
from headimpact.data.build.tables import ATTRIBUTION_FILE, DECISIONS_FILE, LEFT_OUT_FILE, QUESTIONS_FILE
from headimpact.data.folder_files import read_id, resolve_inside
from headimpact.data.formats.jsonl import INFO_FILE, METADATA_FILE
from headimpact.data.texts import clean_text

DROPPED = "dropped"
"""Reason in `decisions.jsonl` of what a person dropped."""


def read_marked(path: Path) -> tuple[str, ...]:
    """Read a list of picture ids, one a line; blank lines do not count.

    Raises:
        DataFormatError: If the file cannot be read or lists nothing.
    """
    try:
        ids = tuple(dict.fromkeys(filter(None, map(clean_text, path.read_text(encoding="utf-8-sig").splitlines()))))
    except (OSError, UnicodeDecodeError) as error:
        raise DataFormatError(f"Cannot read the list {path}: {error}. Expected one picture id a line.") from error
    if not ids:
        raise DataFormatError(f"Empty list: {path}. Expected one picture id a line, as the contact sheet saves them.")
    return ids


def find_marked(folder: Path, marked: Collection[str]) -> dict[str, Mapping[str, Any]]:
    """Find the lines of marked pictures.

    Args:
        folder: A folder with `metadata.jsonl`.
        marked: Picture ids.

    Returns:
        Id to line; those that were dropped before are not there any more.

    Raises:
        DataFormatError: If there is no such data set, or an id was never in it.
    """
    if not (folder / METADATA_FILE).is_file():
        raise DataFormatError(f"No data set in our own format: {folder} has no {METADATA_FILE}.")
    wanted = set(marked)
    found: dict[str, Mapping[str, Any]] = {
        own: line for line in read_lines(folder / METADATA_FILE) if (own := _own_id(line)) is not None and own in wanted
    }
    gone = {_own_id(line) for line in read_lines(folder / DECISIONS_FILE) if line.get("reason") == DROPPED}
    gone |= {own for own, reason in read_left_out(folder / LEFT_OUT_FILE) if reason == DROPPED}
    unknown = [one for one in marked if one not in found and one not in gone]
    if unknown:
        raise DataFormatError(
            f"Unknown picture id {unknown[0]!r}: {len(unknown)} of {len(wanted)} marked ids are not in "
            f"{folder / METADATA_FILE}. Pass the list of a contact sheet of this data set."
        )
    return found


def drop_pictures(folder: Path, found: Mapping[str, Mapping[str, Any]]) -> None:
    """Drop pictures from all tables, `metadata.jsonl` last, then delete their files.

    Files are deleted only where headimpact built the folder, so that nobody's only copy of a picture goes.

    Args:
        folder: A folder with `metadata.jsonl`.
        found: What `find_marked` gave.

    Raises:
        DataFormatError: If a table is broken, or a listed file would lie outside the folder.
        RunFailedError: If the file system refuses.
    """
    info = next(iter(read_lines(folder / INFO_FILE, whole=True)), {})
    files = _own_files(folder, found, info) if str(info.get("made_by", "")).startswith("headimpact") else []

    def leave_out(text: str, line: Mapping[str, Any]) -> str:
        return "" if _own_id(line) in found else text

    _rewrite(folder / DECISIONS_FILE, lambda text, line: _dropped(line) if _own_id(line) in found else text)
    _rewrite(folder / QUESTIONS_FILE, leave_out)
    _rewrite_table(folder / ATTRIBUTION_FILE, without=found)
    _rewrite_table(folder / LEFT_OUT_FILE, without=found, more=[(one, DROPPED) for one in found])
    _rewrite(folder / METADATA_FILE, leave_out)
    for path in files:
        path.unlink(missing_ok=True)


def _own_id(line: Mapping[str, Any]) -> str | None:
    """Give a line's picture id, which is its file name where it has none."""
    return read_id(line["image_id"] if line.get("image_id") is not None else line.get("file_name"))


def _own_files(folder: Path, found: Mapping[str, Mapping[str, Any]], info: Mapping[str, Any]) -> list[Path]:
    """List masks and, where they lie inside, pictures."""
    root = folder.resolve()
    names = []
    for line in found.values():
        blocks = [line, *(line.get("key_objects") or [])]
        names += [block["mask_file_name"] for block in blocks if block.get("mask_file_name")]
        names += [line["file_name"]] if info.get("pictures") != "reference" else []
    return [resolve_inside(root, root, name) for name in names]


def _dropped(line: Mapping[str, Any]) -> str:
    """Write the decision on a dropped picture; what spoke for it stays."""
    says = "Left out: a person marked it as bad."
    return json.dumps({**line, "reason": DROPPED, "says": says, "key_objects": []}, ensure_ascii=False) + "\n"


def _rewrite(path: Path, change: Callable[[str, Mapping[str, Any]], str]) -> None:
    """Write a table again, each line as `change` gives it; one that is missing stays so."""
    if not path.is_file():
        return
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for line in read_lines(path):
            file.write(change(json.dumps(line, ensure_ascii=False) + "\n", line))


def _rewrite_table(path: Path, *, without: Collection[str], more: Sequence[Sequence[str]] = ()) -> None:
    """Write a table again without some pictures and with more rows; one that is missing stays so."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row and row[0] not in without]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([*rows, *more])
    with atomic_file(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
