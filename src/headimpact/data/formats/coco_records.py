"""Group the records of a pair of COCO lists by picture without making Python values of them.

`formats.coco` reads a folder to use it; this is for lists of any length, of which a data set is built. A record stays
text in the file, which is mapped into memory, until a picture needs it; what is held is its place, and its ids.

Comes in: the two files. Goes out: `CocoRecords`, with every fault of the lists themselves: what cannot be read, ids
that come twice or point nowhere. What is wrong inside a picture's records shows when they are read (`build`).
"""

import codecs
import mmap
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from headimpact.data.entries import Fault, id_order
from headimpact.data.folder_files import read_id
from headimpact.data.texts import clean_text

_BLOCK = 1 << 24
_BYTE = re.compile(r"\(byte (\d+)\)")
_KIND = re.compile(r"(?:Expected `(\w+)`, )?[gG]ot `(\w+)`")


class PictureRecord(msgspec.Struct, gc=False):
    """What is read of a record of `images`; nothing in it is checked."""

    id: Any = None
    file_name: Any = None
    height: Any = None
    width: Any = None
    license: Any = None
    flickr_url: Any = None
    coco_url: Any = None


class _Ids(msgspec.Struct, gc=False):
    """The ids of an annotation or a caption."""

    id: Any = None
    image_id: Any = None
    category_id: Any = None


class _Named(msgspec.Struct, gc=False):
    """A record of `categories` or `licenses`."""

    id: Any = None
    name: Any = None
    url: Any = None


@dataclass(frozen=True)
class Grouped:
    """Records of one list by picture.

    Attributes:
        records: Text of the records, in the order of the file.
        order: Places of the records, those of a picture side by side and in the order of the file.
        starts: Where those of each picture start in `order`, and the end.
    """

    records: list[msgspec.Raw]
    order: np.ndarray
    starts: np.ndarray

    def of(self, picture: int) -> list[bytes]:
        """Give the records of a picture by its place."""
        places = self.order[self.starts[picture] : self.starts[picture + 1]]
        return [bytes(self.records[place]) for place in places.tolist()]


@dataclass(frozen=True, kw_only=True)
class CocoRecords:
    """A pair of COCO lists, grouped by picture.

    Attributes:
        pictures: Records of the pictures in the order of their ids.
        objects: Their annotated objects.
        captions: Their captions.
        categories: Category id, as text, to its name.
        licences: Licence id, as text, to its name and address.
        info: The block `info` of the instances.
        faults: Everything that is wrong with the lists.
    """

    pictures: list[PictureRecord]
    objects: Grouped
    captions: Grouped
    categories: Mapping[str, str]
    licences: Mapping[str, tuple[str, str]]
    info: Mapping[str, Any] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()


def read_coco_records(instances: Path, captions: Path) -> CocoRecords:
    """Read a pair of lists.

    Args:
        instances: File with pictures, categories and annotated objects.
        captions: File with captions.

    Returns:
        Their records; where there are faults they are not all there.
    """
    faults: list[Fault] = []
    listed, spoken = _open_lists(instances, faults), _open_lists(captions, faults)
    records, ids = _list_pictures(_take(listed, "images", instances, faults), instances, faults)
    places = {image_id: place for place, image_id in enumerate(ids)}
    categories = _list_named(listed, "categories", instances, faults)
    raws = [_take(lists, "annotations", path, faults) for lists, path in ((listed, instances), (spoken, captions))]
    if not (listed and spoken and places and categories):
        raws = [[], []]  # what points into a list that could not be read is no fault of its own
    return CocoRecords(
        pictures=records,
        objects=_group(raws[0], places, categories, instances, faults),
        captions=_group(raws[1], places, None, captions, faults),
        categories={key: name for key, (name, _) in categories.items()},
        licences=_list_named(listed, "licenses", instances, faults) if "licenses" in listed else {},
        info=_read_info(listed),
        faults=tuple(faults),
    )


def _open_lists(path: Path, faults: list[Fault]) -> dict[str, msgspec.Raw]:
    """Map a file into memory and find the values of its one JSON object, unread."""
    try:
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        _refuse_other_text(data)
        return msgspec.json.decode(
            data[3:] if bytes(data[:3]) == codecs.BOM_UTF8 else data, type=dict[str, msgspec.Raw]
        )
    except msgspec.ValidationError as error:
        faults.append(Fault(path.name, "", f"Found a JSON {_given(error)}, expected an object {{...}}."))
    except msgspec.DecodeError as error:
        faults.append(Fault(path.name, _line_of(error, data), f"Unreadable JSON: {error}. Fetch or write it again."))
    except (OSError, UnicodeDecodeError, ValueError) as error:  # an empty file cannot be mapped: ValueError
        faults.append(Fault(path.name, "", f"Unreadable file: {error}. Expected JSON in UTF-8."))
    return {}


def _refuse_other_text(data: memoryview) -> None:
    """Refuse what is no UTF-8, block by block.

    Raises:
        UnicodeDecodeError: If it is not.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(data), _BLOCK):
        block = bytes(data[start : start + _BLOCK])
        if not block.isascii() or decoder.getstate()[0]:
            decoder.decode(block)
    decoder.decode(b"", final=True)


def _line_of(error: msgspec.DecodeError, data: memoryview) -> str:
    """Say in which line a fault lies, the last one where the text ends too early."""
    found = _BYTE.search(str(error))
    end = int(found.group(1)) if found else len(data)
    breaks = sum(bytes(data[start : min(end, start + _BLOCK)]).count(b"\n") for start in range(0, end, _BLOCK))
    return f"line {breaks + 1}"


def _take(lists: Mapping[str, msgspec.Raw], key: str, path: Path, faults: list[Fault]) -> list[msgspec.Raw]:
    """Take a list of unread records out of a file's values."""
    if key not in lists:
        if lists:
            faults.append(Fault(path.name, "", f"List {key!r} is missing; expected a list of objects."))
        return []
    try:
        return msgspec.json.decode(lists[key], type=list[msgspec.Raw])
    except msgspec.DecodeError as error:
        what = f"List {key!r} is a JSON {_given(error)}; expected a list of objects."
        faults.append(Fault(path.name, "", what))
        return []


def _list_pictures(raws: list[msgspec.Raw], path: Path, faults: list[Fault]) -> tuple[list[PictureRecord], list[str]]:
    """Read the pictures' records, in the order of their ids, and these ids."""
    found: dict[str, PictureRecord] = {}
    for index, record in _read_records(raws, PictureRecord, "images", path, faults):
        image_id = read_id(record.id)
        if image_id is None:
            faults.append(_bad_id(path, f"images[{index}]", record.id))
        elif image_id in found:
            what = "Duplicate id: listed twice. Give every picture its own."
            faults.append(Fault(path.name, f"image {image_id}", what))
        else:
            found[image_id] = record
    ids = sorted(found, key=id_order)
    return [found[image_id] for image_id in ids], ids


def _list_named(
    lists: Mapping[str, msgspec.Raw], key: str, path: Path, faults: list[Fault]
) -> dict[str, tuple[str, str]]:
    """Read names and addresses by id."""
    found: dict[str, tuple[str, str]] = {}
    for index, record in _read_records(_take(lists, key, path, faults), _Named, key, path, faults):
        own = read_id(record.id)
        where = f"{key}[{index}]" if own is None else f"{key} {own}"
        if own is None:
            faults.append(_bad_id(path, where, record.id))
        elif own in found:
            faults.append(Fault(path.name, where, "Duplicate id: listed twice. Give each its own."))
        elif not isinstance(record.name, str) or not clean_text(record.name):
            faults.append(Fault(path.name, where, f"Field 'name' is {record.name!r}, expected a text."))
        else:
            address = str(record.url or "").replace("\\/", "/")  # COCO escapes the slash twice
            found[own] = clean_text(record.name), clean_text(address)
    return found


def _group(
    raws: list[msgspec.Raw],
    places: Mapping[str, int],
    categories: Mapping[str, Any] | None,
    path: Path,
    faults: list[Fault],
) -> Grouped:
    """Group records by the picture that they name; those of objects must name a category too."""
    pictures = np.full(len(raws), -1, dtype=np.int64)
    keys = {_id_key(image_id): place for image_id, place in places.items()}
    known = None if categories is None else {_id_key(category_id) for category_id in categories}
    seen: set[int | str] = set()
    for index, record in _read_records(raws, _Ids, "annotations", path, faults):
        own, image, category = _id_key(record.id), _id_key(record.image_id), _id_key(record.category_id)
        if image in keys and own not in seen and own is not None and (known is None or category in known):
            pictures[index] = keys[image]
            seen.add(own)
            continue
        where = f"annotations[{index}]" if own is None else f"annotation {own}"
        if own is None and record.id is not None:
            faults.append(_bad_id(path, where, record.id))
        elif own in seen:
            faults.append(Fault(path.name, where, "Duplicate id: listed twice. Give every annotation its own."))
        if image in keys:
            pictures[index] = keys[image]
        else:
            faults.append(_dangling(path, where, "image_id", record.image_id, "images"))
        if known is not None and category not in known:
            faults.append(_dangling(path, where, "category_id", record.category_id, "categories"))
    order = np.argsort(pictures, kind="stable")
    return Grouped(raws, order, np.searchsorted(pictures[order], np.arange(len(places) + 1)))


def _read_records(
    raws: list[msgspec.Raw], kind: type[Any], key: str, path: Path, faults: list[Fault]
) -> Iterator[tuple[int, Any]]:
    """Read records of a kind, with their places; what is no object is noted and left out.

    Yields:
        Place and record.
    """
    decoder = msgspec.json.Decoder(kind)
    for index, raw in enumerate(raws):
        try:
            yield index, decoder.decode(raw)
        except msgspec.DecodeError as error:
            faults.append(Fault(path.name, f"{key}[{index}]", f"Is a JSON {_given(error)}, expected an object."))


def _id_key(value: Any) -> int | str | None:
    """Give an id so that 12 and "12" are the same one, as for `read_id`; None for what is no id."""
    if type(value) is int:
        return value
    text = read_id(value)
    return int(text) if text is not None and text.isascii() and text.isdigit() and str(int(text)) == text else text


def _read_info(lists: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    """Read the block `info`; one that is no object says nothing."""
    info = msgspec.json.decode(lists["info"]) if "info" in lists else {}
    return dict(info) if isinstance(info, dict) else {}


def _given(error: Exception) -> str:
    """Say what kind of value was found, in JSON's words."""
    found = _KIND.search(str(error))
    return found.group(2) if found else "value"


def _bad_id(path: Path, where: str, value: object) -> Fault:
    """Say that an id is none."""
    return Fault(path.name, where, f"Field 'id' is {value!r}, expected a whole number or a clean text.")


def _dangling(path: Path, where: str, key: str, value: object, listed_in: str) -> Fault:
    """Say that an id points nowhere."""
    return Fault(path.name, where, f"Points nowhere: {key} {value!r} is not in the list {listed_in!r}.")
