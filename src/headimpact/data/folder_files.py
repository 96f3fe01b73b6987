"""Read the list files of a data folder without trusting them: JSON, ids, texts, paths."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from headimpact.core.errors import DataFormatError
from headimpact.data.entries import Fault
from headimpact.data.texts import is_clean

Record = dict[str, Any]

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")
"""A name that no system takes for absolute and that does not go up."""


def parse_json(text: str) -> Any:
    """Parse JSON; the message of a fault names line and column.

    Raises:
        DataFormatError: If the text is no JSON, is nested too deep, or has a number too long to read.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataFormatError(
            f"Unreadable JSON: line {error.lineno} column {error.colno}: {error.msg}. Write the file again."
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataFormatError(f"Unreadable JSON: {error}. Write the file again.") from error


def read_json_object(path: Path, name: str, faults: list[Fault]) -> Record:
    """Read a file that holds one JSON object; faults are noted and give an empty object.

    Args:
        path: The file.
        name: The file as named in messages.
        faults: List that takes up what is wrong.
    """
    try:
        content = parse_json(path.read_bytes().decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        faults.append(Fault(name, "", f"Unreadable file: {error}. Expected JSON in UTF-8."))
        return {}
    except DataFormatError as error:
        faults.append(Fault(name, "", str(error)))
        return {}
    if not isinstance(content, dict):
        faults.append(Fault(name, "", f"Found a JSON {type(content).__name__}, expected an object {{...}}."))
        return {}
    return content


def read_json_lines(
    path: Path, name: str, faults: list[Fault], *, fields: Sequence[str]
) -> Iterator[tuple[str, Record]]:
    """Read a file of one JSON object a line; blank lines are passed over, faults are noted.

    Args:
        path: The file.
        name: The file as named in messages.
        faults: List that takes up what is wrong.
        fields: What a line may hold, for messages.

    Yields:
        Place of a line and its object.
    """
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        faults.append(Fault(name, "", f"Unreadable file: {error}."))
        return
    for number, line in enumerate(lines, start=1):
        where = f"line {number}"
        if not line.strip():
            continue
        try:
            record = parse_json(line.decode("utf-8"))
        except UnicodeDecodeError as error:
            faults.append(Fault(name, where, f"Unreadable text: {error}. Expected UTF-8."))
        except DataFormatError as error:
            faults.append(Fault(name, where, str(error)))
        else:
            if isinstance(record, dict):
                yield where, record
            else:
                what = f"Found a JSON {type(record).__name__}, expected an object with {', '.join(fields)}."
                faults.append(Fault(name, where, what))


def list_records(content: Record, key: str, name: str, faults: list[Fault]) -> list[Record]:
    """Take a list of JSON objects out of a file's content; what is none is noted and left out.

    Args:
        content: The file's content.
        key: Name of the list.
        name: The file as named in messages.
        faults: List that takes up what is wrong.
    """
    value = content.get(key)
    if not isinstance(value, list):
        found = "is missing" if key not in content else f"is a {type(value).__name__}"
        faults.append(Fault(name, "", f"List {key!r} {found}; expected a list of objects."))
        return []
    for index, record in enumerate(value):
        if not isinstance(record, dict):
            faults.append(Fault(name, f"{key}[{index}]", f"Is a {type(record).__name__}, expected an object."))
    return [record for record in value if isinstance(record, dict)]


def read_id(value: object) -> str | None:
    """Give an id as text, or None for what is no id: only whole numbers and clean texts are.

    Example:
        >>> read_id(12), read_id("12"), read_id(1.5), read_id(True)
        ('12', '12', None, None)
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and is_clean(value) else None


def optional_text(record: Record, key: str) -> str | None:
    """Take a text that may be missing or null.

    Raises:
        DataFormatError: If the value is there but is no text.
    """
    value = record.get(key)
    if value is not None and not isinstance(value, str):
        raise DataFormatError(f"Field {key!r} is {value!r}, expected a text.")
    return value or None


def optional_bool(record: Record, key: str) -> bool | None:
    """Take true, false, 1 or 0 that may be missing or null.

    Raises:
        DataFormatError: If the value is there but is something else.
    """
    value = record.get(key)
    if value is None:
        return None
    if not isinstance(value, (bool, int)) or value not in {0, 1}:
        raise DataFormatError(f"Field {key!r} is {value!r}, expected true or false.")
    return bool(value)


def text_list(record: Record, key: str) -> list[str]:
    """Take a list of texts that may be missing or null; one text counts as a list of one.

    Raises:
        DataFormatError: If the value is there but is something else.
    """
    value = record.get(key)
    if value is None:
        return []
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DataFormatError(f"Field {key!r} is {value!r}, expected a list of texts.")
    return texts


def resolve_inside(root: Path, base: Path, name: object) -> Path:
    """Turn a listed file name into a path that certainly lies inside the data folder.

    Args:
        root: The data folder, resolved.
        base: Folder that the name is relative to.
        name: File name as listed.

    Returns:
        The path, links not followed; the file may be missing.

    Raises:
        DataFormatError: If the name is no text, is empty, holds control characters, is absolute, goes up by
            `..`, or leads out of the folder through a link.
    """
    if isinstance(name, str) and base == root and _PLAIN_NAME.fullmatch(name) and not _goes_through_link(root, name):
        return base / name
    if not isinstance(name, str) or not is_clean(name):
        raise DataFormatError(f"File name is {name!r}, expected a clean text.")
    windows = PureWindowsPath(name)
    if PurePosixPath(name).is_absolute() or windows.drive or windows.root:
        raise DataFormatError(f"Path leaves the data folder: {name!r} is absolute. Write it relative to the folder.")
    if ".." in PurePosixPath(name).parts or ".." in windows.parts:
        raise DataFormatError(f"Path leaves the data folder: {name!r} goes up by '..'. Move the file into the folder.")
    path = base / name
    try:
        target = path.resolve()
    except (OSError, RuntimeError) as error:
        raise DataFormatError(f"File name cannot be followed: {name!r} ({error}).") from error
    if not target.is_relative_to(root):
        raise DataFormatError(
            f"Path leaves the data folder: {name!r} is or goes through a link to {str(target)!r}. "
            "Copy or hard-link the file into the folder."
        )
    return path


def _goes_through_link(root: Path, name: str) -> bool:
    """Tell whether a name leads through a link below a resolved folder; quicker than resolving the path."""
    path = str(root)
    for part in name.split("/"):
        path = f"{path}/{part}"
        if os.path.islink(path):  # noqa: PTH114 - asked once a picture
            return True
    return False
