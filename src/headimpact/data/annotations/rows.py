"""Read tables of one entry a line, JSONL or CSV, each line with its place."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from headimpact.data.entries import Fault
from headimpact.data.folder_files import Record, read_json_lines

TABLE_SUFFIXES = (".jsonl", ".csv")


def read_rows(
    path: Path, faults: list[Fault], *, fields: Sequence[str], columns: Sequence[str] = ("file_name",)
) -> Iterator[tuple[str, Record]]:
    """Read the lines of a table; faults are noted.

    Args:
        path: A file that ends in `.csv`, with a line of column names first, in any case, or else JSONL.
        faults: List that takes up what is wrong, such as a table without entries.
        fields: What a line may hold, for messages.
        columns: Those of them that a CSV file must have.

    Yields:
        Place of a line and its values; those of CSV are texts, empty ones left out.
    """
    is_csv, before, entries = path.suffix.lower() == ".csv", len(faults), 0
    rows = (
        _read_csv(path, faults, fields, columns) if is_csv else read_json_lines(path, path.name, faults, fields=fields)
    )
    for row in rows:
        entries += 1
        yield row
    if not entries and len(faults) == before:
        what = f"Holds no entry; expected {'a header, then ' if is_csv else ''}one a line, with "
        faults.append(Fault(path.name, "", f"{what}{_listed(fields, columns)}."))


def _read_csv(
    path: Path, faults: list[Fault], fields: Sequence[str], columns: Sequence[str]
) -> Iterator[tuple[str, Record]]:
    """Read a CSV file with a header, comma or semicolon between values.

    Yields:
        Place of a line and its values.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        faults.append(Fault(path.name, f"line {line}", f"Unreadable text: {error}. Expected UTF-8."))
        return
    except OSError as error:
        faults.append(Fault(path.name, "", f"Unreadable file: {error}."))
        return
    header_line = text.split("\n", 1)[0]
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=";" if ";" in header_line and "," not in header_line else ",",
        strict=True,
    )  # fmt: skip
    header: list[str] = []
    try:
        for row in reader:
            where = f"line {reader.line_num}"
            if not any(value.strip() for value in row):
                continue
            if not header:
                header = [name.strip().lower() for name in row]
                if missing := [name for name in columns if name not in header]:
                    what = f"Columns are {', '.join(header)[:80]!r}, without {', '.join(missing)}; expected "
                    faults.append(Fault(path.name, where, f"{what}{_listed(fields, columns)}."))
                    return
            elif len(row) != len(header):
                what = (
                    f"Has {len(row)} values, the header names {len(header)} columns. Put texts with commas in quotes."
                )
                faults.append(Fault(path.name, where, what))
            else:
                yield where, {name: value for name, value in zip(header, row, strict=True) if value.strip()}
    except csv.Error as error:
        faults.append(Fault(path.name, f"line {reader.line_num}", f"Broken CSV: {error}. Check its quotes."))


def _listed(fields: Sequence[str], columns: Sequence[str]) -> str:
    """List what a line must hold, and behind it what it may hold."""
    rest = [name for name in fields if name not in columns]
    return ", ".join(columns) + (f", and any of {', '.join(rest)}" if rest else "")
