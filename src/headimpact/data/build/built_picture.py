"""What the building of a data set gives for one picture, as values and as the lines that go into its tables.

Every way to build (from COCO, from one's own pictures) makes these; `tables` writes the files of a folder from them.
"""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from headimpact.core.errors import DataFormatError

Record = Mapping[str, Any]

ATTRIBUTION_FIELDS = ("image_id", "file_name", "licence", "source")
"""Columns of `attribution.csv`; `source` is where the picture comes from, an address."""


@dataclass(frozen=True, kw_only=True)
class BuiltPicture:
    """What became of a picture; masks and pictures that it names lie in the folder already.

    Attributes:
        decision: Its line of `decisions.jsonl`: `image_id`, `reason`, `says`, and what speaks for and against.
        entry: Its line of `metadata.jsonl` without the split; `category` and `area_share` are what splits are
            stratified by. None where the picture was left out.
        source: Its row of `attribution.csv`, of `ATTRIBUTION_FIELDS`; empty where it was left out.
        questions: Its lines of `questions.jsonl`, without the split.
    """

    decision: Record
    entry: Record | None = None
    source: Record | None = None
    questions: tuple[Record, ...] = ()

    def lines(self) -> "PictureLines":
        """Write everything down."""
        entry = self.entry or {}
        return PictureLines(
            image_id=str(self.decision["image_id"]),
            category=str(entry.get("category", "")),
            area_share=float(entry.get("area_share", 0.0)),
            decision=_line(self.decision),
            entry=_line(entry) if entry else "",
            source=_row(self.source) if self.source else "",
            questions=tuple(map(_line, self.questions)),
        )


@dataclass(frozen=True, kw_only=True)
class PictureLines:
    """A built picture as text, ready to be copied into the tables; made where the picture was built.

    Attributes:
        image_id: Identifier.
        category: What splits are stratified by, with the next; empty where the picture was left out.
        area_share: Share of the picture that its key objects cover.
        decision: Line of `decisions.jsonl`.
        entry: Line of `metadata.jsonl` without the split; empty where the picture was left out.
        source: Line of `attribution.csv`; empty where there is none.
        questions: Lines of `questions.jsonl` without the split.
    """

    image_id: str
    category: str
    area_share: float
    decision: str
    entry: str
    source: str
    questions: tuple[str, ...]


_LINE = json.JSONEncoder(ensure_ascii=False)
_LINES = msgspec.json.Decoder(PictureLines)


def pack_lines(lines: PictureLines) -> str:
    """Write a picture's lines as one line of a part."""
    return msgspec.json.encode(lines).decode("utf-8")


def unpack_lines(text: str) -> PictureLines:
    """Read what `pack_lines` wrote.

    Raises:
        DataFormatError: If the text is something else.
    """
    try:
        return _LINES.decode(text)
    except msgspec.DecodeError as error:
        raise DataFormatError(f"Broken line of a part: {error}. Build again with --overwrite.") from error


def with_split(line: str, split: str) -> str:
    """Add the split to a line of JSON.

    Example:
        >>> with_split('{"a": 1}', "test")
        '{"a": 1, "split": "test"}'
    """
    return f'{line[:-1]}, "split": {_quoted(split)}}}'


@lru_cache(maxsize=64)
def _quoted(text: str) -> str:
    """Write a text as JSON."""
    return json.dumps(text, ensure_ascii=False)


def _line(record: Record) -> str:
    """Write a record as a line of JSON."""
    return _LINE.encode(dict(record))


def _row(source: Record) -> str:
    """Write a row of `attribution.csv`."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([source.get(name) or "" for name in ATTRIBUTION_FIELDS])
    return text.getvalue()
