"""One's own pictures: a folder of them, what is said about them, and what people drew on them.

Comes in: a folder of pictures; a captions file; masks or annotations in one of `ANNOTATION_FORMATS`. Goes out:
`FolderContent`, as from a data folder, with every fault. A format is one file and one line of the table.
"""

import dataclasses
from pathlib import Path

from headimpact.core.errors import DataFormatError
from headimpact.core.registry import Registry
from headimpact.data.annotations.captions import SaidOfPicture, read_captions
from headimpact.data.annotations.pictures import PICTURE_SUFFIXES, list_pictures
from headimpact.data.annotations.repeats import Repeats
from headimpact.data.entries import Fault, FolderContent, ObjectEntry, PictureEntry, id_order

ANNOTATION_FORMATS = Registry(
    "annotation format",
    {
        "png": "headimpact.data.annotations.png_masks:read_png_masks",
        "coco": "headimpact.data.annotations.coco_objects:read_coco_objects",
        "labelme": "headimpact.data.annotations.labelme:read_labelme",
        "cvat": "headimpact.data.annotations.cvat:read_cvat",
        "boxes": "headimpact.data.annotations.boxes:read_boxes",
    },
)
"""Format to its reader: a function from the path, the pictures and a list for faults to objects by picture."""

FORMAT_OF_SUFFIX = {".json": "coco", ".xml": "cvat", ".csv": "boxes", ".jsonl": "boxes"}


def read_pictures(
    images: Path,
    *,
    captions: Path | None = None,
    masks: Path | None = None,
    masks_format: str = "auto",
    category: str | None = None,
) -> FolderContent:
    """List a folder of pictures with what is said about them and drawn on them; no picture is opened.

    Args:
        images: Folder of pictures.
        captions: JSONL or CSV file; pictures that it does not name have no caption.
        masks: Folder of mask PNGs or LabelMe files, or a file of annotations.
        masks_format: A name of `ANNOTATION_FORMATS`, or `auto`: by what the folder holds or how the file ends.
        category: Word for the object of every mask PNG that has none of its own.

    Returns:
        The pictures in the order of their ids, with every fault of the lists.

    Raises:
        DataFormatError: If a folder or file is missing or empty, or its format cannot be told.
        UnknownNameError: If there is no such annotation format.
    """
    faults: list[Fault] = []
    pictures = list_pictures(images, faults, without=masks)
    said = read_captions(captions, pictures, faults) if captions is not None else {}
    own_words = {name: about.facts["category"] for name, about in said.items() if "category" in about.facts}
    words = {**(dict.fromkeys(pictures.paths, category) if category else {}), **own_words}
    ids = {name: about.facts["image_id"] for name, about in said.items() if "image_id" in about.facts}
    pictures = dataclasses.replace(pictures, categories=words, image_ids=ids)
    objects: dict[str, list[ObjectEntry]] = {}
    if masks is not None:
        name = detect_annotation_format(masks, images=images) if masks_format == "auto" else masks_format
        objects = ANNOTATION_FORMATS.load(name)(masks, pictures, faults)
    entries = [
        _entry(f"{images.name}/{name}", path, name, said.get(name), objects.get(name, []))
        for name, path in pictures.paths.items()
    ]
    repeats = Repeats()
    for entry in entries:
        try:
            repeats.refuse(entry.image_id, entry.file, f"image_id {entry.image_id!r}")
        except DataFormatError as error:
            faults.append(Fault(entry.file, "", str(error)))
    return FolderContent(
        entries=tuple(sorted(entries, key=lambda entry: id_order(entry.image_id))), faults=tuple(faults)
    )


def detect_annotation_format(path: Path, *, images: Path | None = None) -> str:
    """Say in which format masks are: a folder by what it holds, a file by its ending.

    Args:
        path: Folder or file.
        images: Folder of the pictures; where it is the same one, the pictures in it are no masks.

    Returns:
        A name of `ANNOTATION_FORMATS`.

    Raises:
        DataFormatError: If there is nothing there or it cannot be told.
    """
    if path.is_dir():
        suffixes = {file.suffix.lower() for file in path.rglob("*") if file.is_file() and not file.name.startswith(".")}
        masks = frozenset() if images is not None and path.resolve() == images.resolve() else PICTURE_SUFFIXES
        found = [name for name, own in (("labelme", {".json"}), ("png", masks)) if suffixes & own]
        if len(found) == 1:
            return found[0]
        raise DataFormatError(
            f"Cannot tell the format of {path}: it holds {', '.join(sorted(suffixes)) or 'nothing'}; expected mask "
            "PNGs or LabelMe's JSON files. Pass --masks-format."
        )
    if path.is_file() and path.suffix.lower() in FORMAT_OF_SUFFIX:
        return FORMAT_OF_SUFFIX[path.suffix.lower()]
    found_there = f"ends in {path.suffix!r}" if path.is_file() else "does not exist"
    raise DataFormatError(
        f"No masks: {path} {found_there}; expected a folder of PNGs or LabelMe files, a COCO .json, a CVAT .xml, or a "
        ".csv or .jsonl of boxes. Pass --masks-format if it is one of them."
    )


def _entry(file: str, path: Path, name: str, said: SaidOfPicture | None, objects: list[ObjectEntry]) -> PictureEntry:
    """Put together what is known of a picture."""
    facts = said.facts if said is not None else {}
    return PictureEntry(
        image_id=facts.get("image_id", name),
        path=path,
        file=file,
        where="",
        objects=tuple(objects),
        captions=tuple(said.captions) if said is not None else (),
        split=facts.get("split"),
        prompt=facts.get("prompt"),
        licence=facts.get("licence"),
    )
