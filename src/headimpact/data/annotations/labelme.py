"""LabelMe's JSON files, one a picture: polygons and rectangles."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from headimpact.core.errors import DataFormatError
from headimpact.data.annotations.drawing import Part, box_part, list_object, polygons
from headimpact.data.annotations.pictures import PictureIndex
from headimpact.data.annotations.repeats import Repeats
from headimpact.data.entries import Fault, ObjectEntry
from headimpact.data.folder_files import Record, list_records, read_json_object
from headimpact.data.masks import SizeHW, shorten

SHAPES = ("polygon", "rectangle")
"""Kinds of shape that enclose an area and are read."""


def read_labelme(path: Path, pictures: PictureIndex, faults: list[Fault]) -> dict[str, list[ObjectEntry]]:
    """Read LabelMe's files; the pictures that they may hold are passed over, no other is opened.

    Shapes of one label and one `group_id` are parts of one object.

    Args:
        path: One JSON file, or a folder of them.
        pictures: The pictures that their `imagePath` may name.
        faults: List that takes up what is wrong.

    Returns:
        The objects, by name of the picture.
    """
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    found: dict[str, list[ObjectEntry]] = {}
    repeats = Repeats()
    for file in files:
        name = f"{path.name}/{file.relative_to(path).as_posix()}" if path.is_dir() else path.name
        content = read_json_object(file, name, faults)
        content.pop("imageData", None)  # the picture itself, often many megabytes
        if not content:
            continue
        try:
            picture = pictures.find_from(file.parent, content.get("imagePath"))
            repeats.refuse(picture, name, repr(picture))
            size_hw = _claimed_size(content)
        except DataFormatError as error:
            faults.append(Fault(name, "", str(error)))
            continue
        of_shapes: list[Fault] = []
        found[picture] = _read_shapes(content, name, size_hw, of_shapes)
        faults += [replace(fault, image_id=pictures.image_ids.get(picture, picture)) for fault in of_shapes]
    return found


def _read_shapes(content: Record, name: str, size_hw: SizeHW | None, faults: list[Fault]) -> list[ObjectEntry]:
    """Read the objects of one file."""
    objects: dict[tuple[object, ...], tuple[str, list[Part]]] = defaultdict(lambda: ("", []))
    for index, shape in enumerate(list_records(content, "shapes", name, faults)):
        where = f"shapes[{index}]"
        try:
            part = _read_shape(shape)
        except DataFormatError as error:
            faults.append(Fault(name, where, str(error)))
            continue
        group = shape.get("group_id")
        key = (str(shape.get("label")), index if group is None else -1, str(group))
        first, parts = objects[key]
        objects[key] = (first or where, [*parts, part])
    entries = []
    for (label, _, _), (where, parts) in objects.items():
        try:
            entries.append(list_object(label, file=name, where=where, read_mask=polygons(parts, size_hw)))
        except DataFormatError as error:
            faults.append(Fault(name, where, str(error)))
    return entries


def _read_shape(shape: Record) -> Part:
    """Read the outline of one shape.

    Raises:
        DataFormatError: If it is of a kind that encloses no area or its points are none.
    """
    kind = shape.get("shape_type", "polygon")
    if kind not in SHAPES:
        raise DataFormatError(
            f"Shape of kind {kind!r}: expected {' or '.join(SHAPES)}. Draw the object as one of them."
        )
    if not isinstance(shape.get("label"), str):
        raise DataFormatError(f"Field 'label' is {shape.get('label')!r}, expected the word for the object.")
    points = shape.get("points")
    if not isinstance(points, list) or not all(_is_point(point) for point in points):
        raise DataFormatError(f"Broken polygon: points are {shorten(points)}; expected [[x, y], ...].")
    values = [float(value) for point in points for value in point]
    if kind == "rectangle" and len(points) == 2:
        x0, y0, x1, y1 = values
        return box_part(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    return values


def _is_point(point: object) -> bool:
    """Tell whether a value is a pair of numbers."""
    return (
        isinstance(point, list)
        and len(point) == 2
        and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in point)
    )


def _claimed_size(content: Record) -> SizeHW | None:
    """Give the size that a file says its picture has.

    Raises:
        DataFormatError: If it is no size.
    """
    height, width = content.get("imageHeight"), content.get("imageWidth")
    if height is None and width is None:
        return None
    if not isinstance(height, int) or not isinstance(width, int) or min(height, width) < 1:
        raise DataFormatError(f"Size is {height!r} x {width!r}, expected whole numbers above 0.")
    return height, width
