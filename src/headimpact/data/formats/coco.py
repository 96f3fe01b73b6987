"""Read a folder in COCO's format: pictures, annotated objects, captions.

Beyond COCO's own fields it understands `split` of a picture, `is_key_object` and `names` of an annotation,
and `prompt` of the info block, as in the scenes that this package makes.
"""

from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from headimpact.core.errors import DataFormatError
from headimpact.data.entries import Fault, FolderContent, Frames, ObjectEntry, PictureEntry, ReadMask, id_order
from headimpact.data.folder_files import (
    Record,
    list_records,
    optional_bool,
    optional_text,
    read_id,
    read_json_object,
    resolve_inside,
    text_list,
)
from headimpact.data.formats.coco_layout import CocoLayout, find_coco_layout
from headimpact.data.masks import SizeHW, refuse_other_frame
from headimpact.data.segmentations import rle_from_segmentation, segmentation_size
from headimpact.data.synonyms import category_names
from headimpact.data.texts import clean_prompt, clean_text, is_clean


def read_coco(root: Path, *, images: Path | None = None) -> FolderContent:
    """Read the lists of a COCO folder; no picture is opened.

    Args:
        root: The data folder.
        images: Folder of the pictures; looked for in the data folder if left out.

    Returns:
        Its pictures in the order of their ids, with every fault of the lists.

    Raises:
        DataFormatError: If there is no pair of lists or more than one.
    """
    layout = find_coco_layout(root)
    instances_name, captions_name = layout.name(layout.instances), layout.name(layout.captions)
    faults: list[Fault] = []
    instances = read_json_object(layout.instances, instances_name, faults)
    captions = read_json_object(layout.captions, captions_name, faults)
    if not instances or not captions:
        return FolderContent(entries=(), faults=tuple(faults))
    listed = _list_pictures(instances, captions, layout, faults)
    objects = _group_objects(instances, listed, instances_name, faults)
    texts = _group_captions(captions, listed, captions_name, faults)
    info = _read_info(instances, instances_name, faults)
    paths = _picture_paths(layout, listed, images, faults)
    licences = _licences(instances)
    entries = [
        PictureEntry(
            image_id=image_id,
            path=paths[image_id],
            file=instances_name,
            where=f"image {image_id}",
            objects=tuple(objects[image_id]),
            captions=tuple(texts[image_id]),
            split=_read_split(record, instances_name, image_id, faults),
            prompt=info.get("prompt"),
            licence=licences.get(str(record.get("license"))),
            claimed_hw=_claimed_size(record, instances_name, image_id, faults),
            categories=tuple(sorted({one.category for one in objects[image_id]})),
        )
        for image_id, record in listed.items()
        if image_id in paths
    ]
    return FolderContent(entries=tuple(entries), faults=tuple(faults), info=info)


def _list_pictures(instances: Record, captions: Record, layout: CocoLayout, faults: list[Fault]) -> dict[str, Record]:
    """List the pictures of both files by id, in the order of the ids."""
    listed: dict[str, Record] = {}
    from_captions = captions if "images" in captions else {"images": []}
    for path, content in ((layout.instances, instances), (layout.captions, from_captions)):
        own: dict[str, Record] = {}
        name = layout.name(path)
        for index, record in enumerate(list_records(content, "images", name, faults)):
            image_id = read_id(record.get("id"))
            if image_id is None:
                faults.append(_bad_id(name, f"images[{index}]", record))
            elif image_id in own:
                faults.append(
                    Fault(name, f"image {image_id}", "Duplicate id: listed twice. Give every picture its own.")
                )
            else:
                own[image_id] = record
        for image_id in [image_id for image_id in own if image_id in listed]:
            first, second = listed[image_id].get("file_name"), own[image_id].get("file_name")
            if first != second:
                what = f"File name is {second!r}, but {first!r} in {layout.name(layout.instances)}. Make them agree."
                faults.append(Fault(name, f"image {image_id}", what))
        listed = {**own, **listed}
    return {image_id: listed[image_id] for image_id in sorted(listed, key=id_order)}


def _picture_paths(
    layout: CocoLayout, listed: Mapping[str, Record], images: Path | None, faults: list[Fault]
) -> dict[str, Path]:
    """Find the picture files; names that leave the folder, or that two pictures share, are faults."""
    name, root = layout.name(layout.instances), layout.root.resolve()
    names = [record.get("file_name") for record in listed.values()]
    files = [file for file in names if isinstance(file, str) and is_clean(file)]
    folder = layout.picture_folder(files) if images is None else images.resolve()
    root = root if images is None else folder
    if not folder.resolve().is_relative_to(root):
        what = f"Path leaves the data folder: it is a link to {str(folder.resolve())!r}. Put the pictures inside."
        faults.append(Fault(layout.name(folder), "", what))
        return {}
    paths: dict[str, Path] = {}
    owners: dict[Path, str] = {}
    for image_id, record in listed.items():
        try:
            path = resolve_inside(root, folder, record.get("file_name"))
        except DataFormatError as error:
            faults.append(Fault(name, f"image {image_id}", str(error)))
            continue
        if path in owners:
            what = f"Same picture file as image {owners[path]}: {record['file_name']!r}. List every file once."
            faults.append(Fault(name, f"image {image_id}", what))
            continue
        owners[path] = image_id
        paths[image_id] = path
    return paths


def _group_objects(
    instances: Record, listed: Mapping[str, Record], name: str, faults: list[Fault]
) -> dict[str, list[ObjectEntry]]:
    """Group the annotated objects by picture, in the order of the file."""
    categories = _read_categories(instances, name, faults)
    grouped: dict[str, list[ObjectEntry]] = defaultdict(list)
    seen: set[str] = set()
    for index, record in enumerate(list_records(instances, "annotations", name, faults)):
        where = _annotation_place(record, index)
        image_id, category = read_id(record.get("image_id")), categories.get(str(read_id(record.get("category_id"))))
        _note_duplicate(record, where, name, seen, faults)
        if image_id is None or image_id not in listed:
            faults.append(_dangling(name, where, "image_id", record))
        if category is None:
            faults.append(_dangling(name, where, "category_id", record))
        if image_id is None or image_id not in listed or category is None:
            continue
        try:
            grouped[image_id].append(_read_object(record, category, where, listed[image_id]))
        except DataFormatError as error:
            faults.append(Fault(name, where, str(error)))
    return grouped


def _read_object(record: Record, category: str, where: str, picture: Record) -> ObjectEntry:
    """Read one annotation."""
    extra = [clean_text(name) for name in text_list(record, "names")]
    names = tuple(dict.fromkeys((category, *filter(None, extra)))) if extra else category_names(category)
    size = _size_of(picture)
    return ObjectEntry(
        category=category,
        names=names,
        where=where,
        read_mask=partial(_read_mask, record.get("segmentation"), size) if size else _no_frame,
        is_crowd=bool(optional_bool(record, "iscrowd")),
        is_key=optional_bool(record, "is_key_object"),
    )


def _read_mask(segmentation: object, picture_hw: SizeHW, frames: Frames) -> ReadMask:
    """Read a segmentation if its frame fits the picture."""
    size_hw = segmentation_size(segmentation, picture_hw=picture_hw)
    refuse_other_frame(size_hw, frames)
    mask = rle_from_segmentation(segmentation, size_hw=size_hw)
    return ReadMask(mask, mask.area)


def _no_frame(_frames: Frames) -> ReadMask:
    """Stand in for the masks of a picture that is listed without a size.

    Raises:
        DataFormatError: Always.
    """
    raise DataFormatError("Cannot place the mask: the picture is listed without height and width.")


def _group_captions(
    captions: Record, listed: Mapping[str, Record], name: str, faults: list[Fault]
) -> dict[str, list[str]]:
    """Group the captions by picture, in the order of the file; blank ones are left out."""
    grouped: dict[str, list[str]] = defaultdict(list)
    seen: set[str] = set()
    for index, record in enumerate(list_records(captions, "annotations", name, faults)):
        where = _annotation_place(record, index)
        image_id, text = read_id(record.get("image_id")), record.get("caption")
        _note_duplicate(record, where, name, seen, faults)
        if image_id is None or image_id not in listed:
            faults.append(_dangling(name, where, "image_id", record))
        elif not isinstance(text, str):
            faults.append(Fault(name, where, f"Field 'caption' is {text!r}, expected a text."))
        elif cleaned := clean_text(text):
            grouped[image_id].append(cleaned)
    return grouped


def _read_categories(instances: Record, name: str, faults: list[Fault]) -> dict[str, str]:
    """Read category names by id."""
    categories: dict[str, str] = {}
    for index, record in enumerate(list_records(instances, "categories", name, faults)):
        category_id, category = read_id(record.get("id")), record.get("name")
        where = f"categories[{index}]" if category_id is None else f"category {category_id}"
        if category_id is None:
            faults.append(_bad_id(name, where, record))
        elif category_id in categories:
            faults.append(Fault(name, where, "Duplicate id: listed twice. Give every category its own."))
        elif not isinstance(category, str) or not clean_text(category):
            faults.append(Fault(name, where, f"Field 'name' is {category!r}, expected the word for the object."))
        else:
            categories[category_id] = clean_text(category)
    return categories


def _read_info(instances: Record, name: str, faults: list[Fault]) -> Record:
    """Read the info block, its prompt made harmless."""
    info = instances.get("info") or {}
    if not isinstance(info, dict):
        faults.append(Fault(name, "info", f"Is a {type(info).__name__}, expected an object."))
        return {}
    try:
        prompt = optional_text(info, "prompt")
    except DataFormatError as error:
        faults.append(Fault(name, "info", str(error)))
        return {}
    return {**info, "prompt": clean_prompt(prompt)} if prompt else dict(info)


def _read_split(record: Record, name: str, image_id: str, faults: list[Fault]) -> str | None:
    """Read the extra field `split` of a picture."""
    try:
        split = optional_text(record, "split")
    except DataFormatError as error:
        faults.append(Fault(name, f"image {image_id}", str(error)))
        return None
    return clean_text(split) or None if split else None


def _claimed_size(record: Record, name: str, image_id: str, faults: list[Fault]) -> SizeHW | None:
    """Read the size in a picture's record."""
    size = _size_of(record)
    if size is None:
        found = f"height {record.get('height')!r}, width {record.get('width')!r}"
        faults.append(Fault(name, f"image {image_id}", f"Size is {found}, expected whole numbers above 0."))
    return size


def _size_of(record: Record) -> SizeHW | None:
    """Give height and width of a picture's record if they are sound."""
    height, width = record.get("height"), record.get("width")
    sound = all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in (height, width))
    return (int(str(height)), int(str(width))) if sound else None


def _licences(instances: Record) -> dict[str, str]:
    """Read licence names with their addresses, by id; a folder may do without."""
    licences = {}
    records = instances.get("licenses")
    for record in records if isinstance(records, list) else ():
        if isinstance(record, dict) and isinstance(record.get("name"), str):
            address = str(record.get("url") or "").replace("\\/", "/")  # COCO escapes the slash twice
            licences[str(record.get("id"))] = clean_text(f"{record['name']} ({address})" if address else record["name"])
    return licences


def _annotation_place(record: Record, index: int) -> str:
    """Name an annotation by its id, else by its place in the list."""
    own = read_id(record.get("id"))
    return f"annotations[{index}]" if own is None else f"annotation {own}"


def _note_duplicate(record: Record, where: str, name: str, seen: set[str], faults: list[Fault]) -> None:
    """Note an annotation id that came before or is none; annotations without an id pass."""
    if record.get("id") is None:
        return
    own = read_id(record["id"])
    if own is None:
        faults.append(_bad_id(name, where, record))
    elif own in seen:
        faults.append(Fault(name, where, "Duplicate id: listed twice. Give every annotation its own."))
    else:
        seen.add(own)


def _bad_id(name: str, where: str, record: Record) -> Fault:
    """Say that an id is none."""
    return Fault(name, where, f"Field 'id' is {record.get('id')!r}, expected a whole number or a clean text.")


def _dangling(name: str, where: str, key: str, record: Record) -> Fault:
    """Say that an id points nowhere."""
    listed_in = "categories" if key == "category_id" else "images"
    return Fault(name, where, f"Points nowhere: {key} {record.get(key)!r} is not in the list {listed_in!r}.")
