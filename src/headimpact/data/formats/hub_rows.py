"""Write the rows of a data set of the hub as pictures, masks and lines of our own format."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image

from headimpact.core.errors import DataFormatError
from headimpact.data.closed_questions import ClosedQuestion
from headimpact.data.formats.hub_columns import require_datasets
from headimpact.data.formats.questions import question_line
from headimpact.data.pictures import PICTURE_FORMATS
from headimpact.data.texts import is_clean

KEPT_COLUMNS = (
    "image_id", "captions_original", "split", "prompt", "licence", "license", "area_share", "caption_origin",
)  # fmt: skip
"""Columns that are taken as they are."""

KEPT_OF_MASK = ("names", "mask_origin")
"""The same, beside the mask of a single object."""

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class HubColumns:
    """Which column is what.

    Attributes:
        image: The picture.
        captions: Captions, a text or a list; None where there are none.
        mask: A mask; None where there is none, or `key_objects` holds them.
        category: Word for the object under the mask.
        word: The word where no column has one.
    """

    image: str
    captions: str | None
    mask: str | None
    category: str | None
    word: str | None = None


def has_questions(features: Mapping[str, Any]) -> bool:
    """Tell whether a data set lists questions as ours do."""
    inner = getattr(features.get("questions"), "feature", None)
    return isinstance(inner, dict) and {field.name for field in fields(ClosedQuestion)} <= set(inner)


def has_key_objects(features: Mapping[str, Any]) -> bool:
    """Tell whether a data set lists key objects as ours do."""
    inner = getattr(features.get("key_objects"), "feature", None)
    return isinstance(inner, dict) and {"category", "mask"} <= set(inner)


class RowWriter:
    """Writes the rows of one split."""

    def __init__(
        self,
        folder: Path,
        columns: HubColumns,
        features: Mapping[str, Any],
        root: Path | None,
        stems: set[str],
        split: str,
        *,
        is_only: bool,
    ) -> None:
        """Begin; `stems` holds the names that other splits have taken."""
        self._folder, self._columns, self._features, self._stems = folder, columns, features, stems
        self._root = None if root is None else root.resolve()
        self._split = split
        self._default_split = None if is_only and split == "train" else split

    def write(self, row: Row, number: int) -> dict[str, Any]:
        """Write picture and masks of a row, and give its line.

        Raises:
            DataFormatError: If a value is none.
        """
        where = f"split {self._split!r} row {number}"
        content, name = self._file(row[self._columns.image], where)
        name = name if name and is_clean(name) else None
        stem = self._free_stem(PurePosixPath(name).stem if name else f"{self._split}_{number:06d}")
        file_name = f"images/{stem}{_suffix(content, name, where)}"
        (self._folder / file_name).write_bytes(content)
        line: dict[str, Any] = {
            "image_id": f"{self._split}/{number}",
            "file_name": file_name,
            "captions": _texts(row.get(self._columns.captions or ""), where),
        }
        kept = {name: row[name] for name in KEPT_COLUMNS if row.get(name) is not None}
        categories = row.get("categories")
        if isinstance(categories, list) and all(isinstance(name, str) for name in categories):
            kept["categories"] = categories
        line |= {"split": self._default_split} if "split" not in self._features else {}
        return {**line, **kept, **self._masks(row, stem, where)}

    def questions(self, row: Row, line: Mapping[str, Any]) -> Iterator[str]:
        """Give the lines of the questions about a row's picture.

        Args:
            row: The row.
            line: What `write` gave for it.

        Yields:
            A line of `questions.jsonl`.

        Raises:
            DataFormatError: If a question or all its answers are missing.
        """
        for record in (row["questions"] or ()) if has_questions(self._features) else ():
            question = ClosedQuestion(
                question_id=record["question_id"] or "",
                question=record["question"] or "",
                kind=record["kind"],
                **{name: tuple(record[name] or ()) for name in ("answers", "choices", "categories")},
            )
            yield question_line(question, image_id=str(line["image_id"]), split=line.get("split"))

    def _masks(self, row: Row, stem: str, where: str) -> dict[str, Any]:
        """Write the masks of a row, and give their part of the line."""
        if has_key_objects(self._features):
            objects = [
                {
                    "category": one.get("category"),
                    "names": list(one.get("names") or []),
                    "mask_file_name": self._mask(one.get("mask"), f"masks/{stem}.{number}.png", where),
                    **({"mask_origin": one["mask_origin"]} if one.get("mask_origin") else {}),
                }
                for number, one in enumerate(row["key_objects"] or ())
            ]
            return {"key_objects": objects}
        if self._columns.mask is None or row[self._columns.mask] is None:
            return {}
        name = self._mask(row[self._columns.mask], f"masks/{stem}.png", where)
        kept = {column: row[column] for column in KEPT_OF_MASK if row.get(column) is not None}
        return {"mask_file_name": name, "category": self._category(row), **kept}

    def _mask(self, value: Any, name: str, where: str) -> str:
        """Write a mask file and give its name."""
        content, _ = self._file(value, where)
        (self._folder / name).write_bytes(content)
        return name

    def _category(self, row: Row) -> str | None:
        """Give the word for the object of a row; a class is given by its name."""
        column = self._columns.category
        value = row.get(column) if column is not None else None
        feature: Any = self._features[column] if column is not None else None
        if isinstance(value, int) and hasattr(feature, "int2str"):
            return str(feature.int2str(value))
        return self._columns.word if value is None else str(value)

    def _file(self, value: Any, where: str) -> tuple[bytes, str | None]:
        """Give the bytes and the name of a picture.

        Raises:
            DataFormatError: If there is none, or its file lies outside the data set's folder.
        """
        content = value.get("bytes") if isinstance(value, Mapping) else None
        path = value.get("path") if isinstance(value, Mapping) else None
        if content is not None:
            return bytes(content), PurePosixPath(path).name if path else None
        if path is None:
            raise DataFormatError(f"No picture in {where}: found {str(value)[:60]!r}; expected a picture or a mask.")
        if self._root is not None and not Path(path).resolve().is_relative_to(self._root):
            raise DataFormatError(f"Path leaves the data folder: {path!r} in {where}. Copy the file into the folder.")
        try:
            with self._open(path) as file:
                return file.read(), PurePosixPath(path.split("::")[0]).name
        except OSError as error:
            raise DataFormatError(f"Cannot read the picture of {where}: {error}. Fetch the data set again.") from error

    def _open(self, path: str) -> Any:
        """Open a file of the folder, or of the hub."""
        if self._root is not None:
            return Path(path).open("rb")
        return require_datasets().utils.file_utils.xopen(path, "rb")

    def _free_stem(self, stem: str) -> str:
        """Give a file stem that is not taken, upper and lower case alike."""
        free, number = stem, 0
        while free.casefold() in self._stems:
            number += 1
            free = f"{stem}_{number}"
        self._stems.add(free.casefold())
        return free


def _texts(value: Any, where: str) -> list[str]:
    """Give captions as a list.

    Raises:
        DataFormatError: If they are no texts.
    """
    texts = [] if value is None else [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DataFormatError(f"No captions in {where}: found {str(value)[:60]!r}. Pass --captions-column.")
    return texts


def _suffix(content: bytes, name: str | None, where: str) -> str:
    """Give a picture's ending: that of its name, else what its bytes say.

    Raises:
        DataFormatError: If the bytes are no picture.
    """
    if name and PurePosixPath(name).suffix:
        return PurePosixPath(name).suffix
    try:
        with Image.open(io.BytesIO(content), formats=PICTURE_FORMATS) as image:
            return f".{str(image.format).lower()}"
    except Exception as error:  # decoders of broken files raise whatever they stumble over
        raise DataFormatError(f"Cannot read the picture of {where}: {error}. Fetch the data set again.") from error
