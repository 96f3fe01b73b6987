"""Plain boxes in a table: `file_name`, `category`, and the corners `x0`, `y0`, `x1`, `y1` or `box`, in pixels."""

import math
from collections import defaultdict
from pathlib import Path

from headimpact.core.errors import DataFormatError
from headimpact.data.annotations.drawing import Part, box_part, list_object, polygons
from headimpact.data.annotations.pictures import PictureIndex
from headimpact.data.annotations.repeats import Repeats
from headimpact.data.annotations.rows import read_rows
from headimpact.data.entries import Fault, ObjectEntry
from headimpact.data.folder_files import Record

BOX_FIELDS = ("file_name", "category", "x0", "y0", "x1", "y1")


def read_boxes(path: Path, pictures: PictureIndex, faults: list[Fault]) -> dict[str, list[ObjectEntry]]:
    """Read a table of boxes; the mask of an object is its whole box.

    Args:
        path: CSV or JSONL file, one box a line.
        pictures: The pictures that it may name.
        faults: List that takes up what is wrong.

    Returns:
        The objects, by name of the picture.
    """
    found: dict[str, list[ObjectEntry]] = defaultdict(list)
    repeats = Repeats()
    for where, record in read_rows(path, faults, fields=BOX_FIELDS, columns=BOX_FIELDS):
        try:
            name = pictures.find(record.get("file_name"))
        except DataFormatError as error:
            faults.append(Fault(path.name, where, str(error)))
            continue
        try:
            part = _read_box(record)
            repeats.refuse((name, str(record.get("category")), *part), where, "the same box")
            found[name].append(
                list_object(record.get("category"), file=path.name, where=where, read_mask=polygons([part], None))
            )
        except DataFormatError as error:
            faults.append(pictures.fault(name, path.name, where, error))
    return found


def _read_box(record: Record) -> Part:
    """Read the corners of a line.

    Raises:
        DataFormatError: If they are no numbers or have no area.
    """
    values = record.get("box", [record.get(name) for name in BOX_FIELDS[2:]])
    try:
        x0, y0, x1, y1 = (float(value) for value in values)
    except (TypeError, ValueError):
        raise DataFormatError(f"Broken box: {values!r}; expected four numbers x0, y0, x1, y1 in pixels.") from None
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        raise DataFormatError(f"Broken box: {values!r}; expected finite numbers.")
    return box_part(x0, y0, x1, y1)
