"""Objects from a file in COCO's format that lies beside one's own pictures; its captions, if any, are elsewhere."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from headimpact.core.errors import DataFormatError
from headimpact.data.annotations.drawing import list_object, refuse_empty
from headimpact.data.annotations.pictures import PictureIndex
from headimpact.data.annotations.repeats import Repeats
from headimpact.data.entries import Fault, Frames, ObjectEntry, ReadMask
from headimpact.data.folder_files import Record, list_records, optional_bool, read_id, read_json_object
from headimpact.data.masks import SizeHW, refuse_other_frame
from headimpact.data.segmentations import rle_from_segmentation, segmentation_size

Value = TypeVar("Value")
Listed = dict[str, tuple[str, SizeHW]]
"""Id of a picture to its name and listed size."""


def read_coco_objects(path: Path, pictures: PictureIndex, faults: list[Fault]) -> dict[str, list[ObjectEntry]]:
    """Read the annotations of a file in COCO's format.

    Args:
        path: File with the lists `images`, `categories` and `annotations`.
        pictures: The pictures that its `file_name`s may name.
        faults: List that takes up what is wrong.

    Returns:
        The objects, by name of the picture.
    """
    content = read_json_object(path, path.name, faults)
    if not content:
        return {}
    listed = _read_images(content, path.name, pictures, faults)
    categories = _read_categories(content, path.name, faults)
    found: dict[str, list[ObjectEntry]] = defaultdict(list)
    repeats = Repeats()
    for index, record in enumerate(list_records(content, "annotations", path.name, faults)):
        own = read_id(record.get("id"))
        where = f"annotations[{index}]" if own is None else f"annotation {own}"
        try:
            if own is not None:
                repeats.refuse(own, f"annotations[{index}]", f"id {own}")
            name, size_hw = _look_up(listed, record, "image_id", "images")
            category = _look_up(categories, record, "category_id", "categories")
        except DataFormatError as error:
            faults.append(Fault(path.name, where, str(error)))
            continue
        try:
            found[name].append(_read_object(record, category, size_hw, path.name, where))
        except DataFormatError as error:
            faults.append(pictures.fault(name, path.name, where, error))
    return found


def _read_images(content: Record, file: str, pictures: PictureIndex, faults: list[Fault]) -> Listed:
    """Read which pictures are listed."""
    listed: Listed = {}
    ids, names = Repeats(), Repeats()
    for index, record in enumerate(list_records(content, "images", file, faults)):
        image_id = read_id(record.get("id"))
        where = f"images[{index}]" if image_id is None else f"image {image_id}"
        try:
            name = pictures.find(record.get("file_name"))
            ids.refuse(image_id, f"images[{index}]", f"id {image_id}")
            names.refuse(name, f"images[{index}]", repr(name))
            listed[str(image_id)] = (name, _listed_size(record))
        except DataFormatError as error:
            faults.append(Fault(file, where, str(error)))
    return listed


def _listed_size(record: Record) -> SizeHW:
    """Give the size that a picture is listed with.

    Raises:
        DataFormatError: If it is none, or the picture has no id.
    """
    height, width = record.get("height"), record.get("width")
    if read_id(record.get("id")) is None:
        raise DataFormatError(f"Field 'id' is {record.get('id')!r}, expected a whole number or a clean text.")
    if not (type(height) is int and type(width) is int and height > 0 and width > 0):
        raise DataFormatError(f"Size is {height!r} x {width!r}, expected whole numbers above 0.")
    return height, width


def _read_categories(content: Record, file: str, faults: list[Fault]) -> dict[str, object]:
    """Read category names by id."""
    categories: dict[str, object] = {}
    for index, record in enumerate(list_records(content, "categories", file, faults)):
        category_id = read_id(record.get("id"))
        if category_id is None or category_id in categories:
            what = f"Field 'id' is {record.get('id')!r}; expected an id of its own for every category."
            faults.append(Fault(file, f"categories[{index}]", what))
        else:
            categories[category_id] = record.get("name")
    return categories


def _look_up(known: Mapping[str, Value], record: Record, key: str, where: str) -> Value:
    """Give what an id points to.

    Raises:
        DataFormatError: If it points nowhere.
    """
    pointer = read_id(record.get(key))
    if pointer is None or pointer not in known:
        raise DataFormatError(f"Points nowhere: {key} {record.get(key)!r} is not in the list {where!r}.")
    return known[pointer]


def _read_object(record: Record, category: object, size_hw: SizeHW, file: str, where: str) -> ObjectEntry:
    """Read one annotation.

    Raises:
        DataFormatError: If it has no outline, or one of too few points.
    """
    segmentation = record.get("segmentation")
    parts = segmentation if isinstance(segmentation, list) else []
    if not segmentation or any(isinstance(part, list) and len(part) < 6 for part in parts):
        raise DataFormatError(f"Degenerate polygon: {segmentation!r:.60}; expected parts of three points or more.")
    entry = list_object(category, file=file, where=where, read_mask=partial(_read_mask, segmentation, size_hw))
    is_crowd, is_key = bool(optional_bool(record, "iscrowd")), optional_bool(record, "is_key_object")
    return replace(entry, is_crowd=is_crowd, is_key=is_key)


def _read_mask(segmentation: object, picture_hw: SizeHW, frames: Frames) -> ReadMask:
    """Decode a segmentation if its frame fits the picture."""
    size_hw = segmentation_size(segmentation, picture_hw=picture_hw)
    refuse_other_frame(size_hw, frames)
    mask = rle_from_segmentation(segmentation, size_hw=size_hw)
    return refuse_empty(ReadMask(mask, mask.area), segmentation)
