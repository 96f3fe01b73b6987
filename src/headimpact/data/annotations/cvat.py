"""CVAT's XML for images: polygons and boxes, read as a stream with the line of each.

Source: CVAT's manual, "CVAT for image 1.1": `annotations / image (name, width, height) / polygon (label, points) or
box (label, xtl, ytl, xbr, ybr)`.
"""

from collections import defaultdict
from pathlib import Path
from xml.parsers import expat

from headimpact.core.errors import DataFormatError
from headimpact.data.annotations.drawing import Part, box_part, list_object, polygons
from headimpact.data.annotations.pictures import PictureIndex
from headimpact.data.annotations.repeats import Repeats
from headimpact.data.entries import Fault, ObjectEntry
from headimpact.data.masks import SizeHW, shorten

SHAPES = ("polygon", "box")
OTHER_SHAPES = frozenset({"polyline", "points", "ellipse", "cuboid", "skeleton", "mask"})
"""Elements of an image that are no polygon and no box."""


def read_cvat(path: Path, pictures: PictureIndex, faults: list[Fault]) -> dict[str, list[ObjectEntry]]:
    """Read an XML file of CVAT.

    Args:
        path: The file.
        pictures: The pictures that it may name.
        faults: List that takes up what is wrong.

    Returns:
        The objects, by name of the picture.
    """
    stream = _Stream(path.name, pictures, faults)
    try:
        with path.open("rb") as file:
            stream.parser.ParseFile(file)
    except expat.ExpatError as error:
        what = f"Unreadable XML: {expat.ErrorString(error.code)}. Export the file again."
        faults.append(Fault(path.name, f"line {error.lineno}", what))
    except DataFormatError as error:
        faults.append(Fault(path.name, f"line {stream.parser.CurrentLineNumber}", str(error)))
    except OSError as error:
        faults.append(Fault(path.name, "", f"Unreadable file: {error}."))
    else:
        if not stream.is_cvat:
            faults.append(
                Fault(path.name, "", "No CVAT file: expected <annotations> with an <image> for each picture.")
            )
    return stream.found


class _Stream:
    """Takes up the elements as they come."""

    def __init__(self, file: str, pictures: PictureIndex, faults: list[Fault]) -> None:
        """Begin before the first element."""
        self.found: dict[str, list[ObjectEntry]] = defaultdict(list)
        self.is_cvat = False
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.EntityDeclHandler = self._refuse_entity
        self._file, self._pictures, self._faults = file, pictures, faults
        self._repeats = Repeats()
        self._picture: str | None = None
        self._size_hw: SizeHW | None = None

    def _start(self, element: str, values: dict[str, str]) -> None:
        """Take up the beginning of an element; a fault in it is noted."""
        where = f"line {self.parser.CurrentLineNumber}"
        try:
            if element == "image":
                self.is_cvat = True
                self._start_image(values, where)
            elif self._picture is not None and element in {*SHAPES, *OTHER_SHAPES}:
                draw = polygons([_read_shape(element, values)], self._size_hw)
                self.found[self._picture].append(
                    list_object(values.get("label"), file=self._file, where=where, read_mask=draw)
                )
        except DataFormatError as error:
            if element == "image" or self._picture is None:
                self._faults.append(Fault(self._file, where, str(error)))
            else:
                self._faults.append(self._pictures.fault(self._picture, self._file, where, error))

    def _start_image(self, values: dict[str, str], where: str) -> None:
        """Take up an image."""
        self._picture, self._size_hw = None, None
        name = self._pictures.find(values.get("name"))
        self._repeats.refuse(name, where, repr(name))
        self._size_hw = _claimed_size(values)
        self._picture = name

    def _end(self, element: str) -> None:
        """Leave an image."""
        if element == "image":
            self._picture = None

    @staticmethod
    def _refuse_entity(*_: object) -> None:
        """Refuse what can blow a small file up.

        Raises:
            DataFormatError: Always.
        """
        raise DataFormatError("XML with entities of its own: not read, since they can hide anything. Export it again.")


def _claimed_size(values: dict[str, str]) -> SizeHW | None:
    """Give the size that the file says a picture has.

    Raises:
        DataFormatError: If it is no size.
    """
    height, width = values.get("height"), values.get("width")
    if height is None and width is None:
        return None
    if not all(value and value.isascii() and value.isdigit() and int(value) for value in (height, width)):
        raise DataFormatError(f"Size is {height!r} x {width!r}, expected whole numbers above 0.")
    return int(str(height)), int(str(width))


def _read_shape(element: str, values: dict[str, str]) -> Part:
    """Read the outline of one shape.

    Raises:
        DataFormatError: If it is of a kind that is not read.
    """
    if element not in SHAPES:
        raise DataFormatError(f"Shape of kind {element!r}: expected {' or '.join(SHAPES)}. Draw the object as one.")
    return _read_polygon(values) if element == "polygon" else _read_box(values)


def _read_polygon(values: dict[str, str]) -> Part:
    """Read the points of a polygon: `x,y;x,y;...`.

    Raises:
        DataFormatError: If they are no numbers.
    """
    points = values.get("points", "")
    try:
        pairs = [tuple(map(float, pair.split(","))) for pair in points.split(";")]
    except ValueError:
        pairs = [()]
    if any(len(pair) != 2 for pair in pairs):
        raise DataFormatError(f"Broken polygon: points are {shorten(points)}; expected 'x,y;x,y;...'.")
    return [value for pair in pairs for value in pair]


def _read_box(values: dict[str, str]) -> Part:
    """Read the corners of a box.

    Raises:
        DataFormatError: If they are no numbers, or the box is turned or has no area.
    """
    corners = [values.get(name, "") for name in ("xtl", "ytl", "xbr", "ybr")]
    try:
        x0, y0, x1, y1 = map(float, corners)
        rotation = float(values.get("rotation", 0))
    except ValueError:
        raise DataFormatError(f"Broken box: corners are {corners}; expected numbers xtl, ytl, xbr, ybr.") from None
    if rotation:
        raise DataFormatError(f"Turned box: rotation is {rotation}; expected an upright one. Draw it as a polygon.")
    return box_part(x0, y0, x1, y1)
