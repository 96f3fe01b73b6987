"""Read a data set in the hub's formats into a folder of our own: Parquet, imagefolder, or whatever `datasets` opens.

Rows are streamed, pictures and masks are copied as the bytes they are, and the folder is then checked like any other.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headimpact.core.errors import DataFormatError
from headimpact.data.formats.hub_card import COMPANIONS, FOLDER_FILES, copy_companions, write_card
from headimpact.data.formats.hub_columns import require_datasets
from headimpact.data.formats.hub_rows import HubColumns, Row, RowWriter, has_key_objects
from headimpact.data.formats.jsonl import METADATA_FILE
from headimpact.data.formats.questions import LINES_FILE

CAPTION_COLUMNS = ("captions", "caption", "text", "sentences")
"""Columns that are taken for captions, the first that is there."""

CATEGORY_COLUMNS = ("category", "label")


def open_hub_dataset(source: str, *, revision: str | None = None) -> Mapping[str, Any]:
    """Open a folder or a data set of the hub, without decoding pictures and without a copy.

    Args:
        source: Folder, or hub id (`owner/name`).
        revision: Branch, tag or commit on the hub.

    Returns:
        Split name to its rows.

    Raises:
        DataFormatError: If there is nothing of that name or it cannot be opened.
        MissingExtraError: If `datasets` is not installed.
    """
    library = require_datasets()
    is_folder = Path(source).is_dir()
    if not is_folder and (source.count("/") != 1 or source.startswith((".", "/", "~"))):
        raise DataFormatError(f"No data set: {source!r} is not a folder; expected one, or a hub id (owner/name).")
    try:
        opened = library.load_dataset(source, revision=None if is_folder else revision, streaming=True)
        return {str(split): rows.decode(False) for split, rows in opened.items()}
    except Exception as error:  # whatever a broken file or the network raises
        raise DataFormatError(f"Cannot open {source!r} as a data set: {' '.join(str(error).split())}") from error


def find_columns(
    features: Mapping[str, Any], wanted: Mapping[str, str | None], *, word: str | None = None
) -> HubColumns:
    """Find out which column is what.

    Args:
        features: Name of a column to its feature of `datasets`.
        wanted: `image`, `captions`, `mask`, `category` to the column that the user names, or None.
        word: Word for the object under a mask where no column has one.

    Returns:
        The columns.

    Raises:
        DataFormatError: If a column that the user names is not there, or the picture cannot be told.
    """
    library = require_datasets()
    for what, name in wanted.items():
        if name is not None and name not in features:
            raise DataFormatError(
                f"No column {name!r} for --{what}-column: the data set has {', '.join(features)}. Name one of them."
            )
    pictures = [name for name, feature in features.items() if isinstance(feature, library.Image)]
    image = wanted["image"] or ("image" if "image" in pictures else pictures[0] if len(pictures) == 1 else None)
    if image is None:
        found = f"pictures in {', '.join(pictures)}" if pictures else f"columns {', '.join(features)}, none a picture"
        raise DataFormatError(f"Cannot tell which column is the picture: {found}. Pass --image-column.")
    return HubColumns(
        image=image,
        captions=wanted["captions"] or next((name for name in CAPTION_COLUMNS if name in features), None),
        mask=wanted["mask"] or ("mask" if "mask" in pictures and not has_key_objects(features) else None),
        category=wanted["category"] or next((name for name in CATEGORY_COLUMNS if name in features), None),
        word=word,
    )


def copy_rows(
    splits: Mapping[str, Any], folder: Path, *, columns: Mapping[str, HubColumns], root: Path | None
) -> Iterator[str]:
    """Write all rows as a folder of our own format.

    Args:
        splits: What `open_hub_dataset` gave.
        folder: Empty folder.
        columns: For each split which column is what.
        root: Folder that picture files must be in; None for a data set of the hub.

    Yields:
        Id of each picture that is written.

    Raises:
        DataFormatError: If a row cannot be read; the message names split and row.
    """
    (folder / "images").mkdir()
    (folder / "masks").mkdir()
    with (
        (folder / METADATA_FILE).open("w", encoding="utf-8", newline="\n") as file,
        (folder / LINES_FILE).open("w", encoding="utf-8", newline="\n") as asked,
    ):
        stems: set[str] = set()
        for split, rows in splits.items():
            writer = RowWriter(folder, columns[split], rows.features, root, stems, split, is_only=len(splits) == 1)
            for number, row in _numbered(rows, split):
                line = writer.write(row, number)
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                asked.writelines(f"{question}\n" for question in writer.questions(row, line))
                yield str(line["image_id"])
        has_questions = bool(asked.tell())
    if not has_questions:
        (folder / LINES_FILE).unlink()
    if root is not None:
        copy_companions(root, folder, names=(*COMPANIONS, LINES_FILE))
    write_card(folder, data_files=FOLDER_FILES, lines=["# Pictures with masks of their key objects"], source=root)


def _numbered(rows: Any, split: str) -> Iterator[tuple[int, Row]]:
    """Go through the rows of a split.

    Yields:
        Number of a row, from 0, and the row.

    Raises:
        DataFormatError: If it cannot be read on.
    """
    number = -1
    iterator = iter(rows)
    while True:
        try:
            row = next(iterator)
        except StopIteration:
            return
        except Exception as error:  # whatever a broken file raises
            raise DataFormatError(
                f"Cannot read split {split!r} after row {number}: {' '.join(str(error).split())}. Fetch it again."
            ) from error
        number += 1
        yield number, row
