"""Read our own format: `metadata.jsonl`, pictures and mask PNGs, an imagefolder of Hugging Face datasets.

Every line is one picture: `file_name` (relative to the folder), `mask_file_name`, `captions` (or `text`),
`category`, and if wanted `names`, `image_id`, `split`, `prompt`, `licence`, `categories` (of all
objects). A picture with several key
objects lists them in `key_objects`, each with `category`, `names`, `mask_file_name`. `mask_origin` beside a mask and
`caption_origin` say how models made them; `captions_original` are the captions before they were cleaned. `area_share`
is for whoever reads the list itself: it is measured anew from the masks.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from headimpact.core.errors import DataFormatError
from headimpact.data.entries import Fault, FolderContent, Frames, ObjectEntry, PictureEntry, ReadMask, id_order
from headimpact.data.folder_files import (
    Record,
    optional_text,
    read_id,
    read_json_lines,
    read_json_object,
    resolve_inside,
    text_list,
)
from headimpact.data.masks import PngMask, mask_area, read_mask_file, refuse_other_frame
from headimpact.data.origins import CaptionOrigin, MaskOrigin
from headimpact.data.synonyms import category_names
from headimpact.data.texts import clean_prompt, clean_text

METADATA_FILE = "metadata.jsonl"
INFO_FILE = "info.json"
KNOWN_FIELDS = (
    "image_id", "file_name", "mask_file_name", "key_objects", "captions", "captions_original", "text", "category",
    "names", "split", "prompt", "licence", "mask_origin", "caption_origin", "area_share", "categories",
)  # fmt: skip


def read_jsonl(root: Path, *, images: Path | None = None) -> FolderContent:
    """Read the list of a folder in our own format; no picture is opened.

    Args:
        root: The data folder, with `metadata.jsonl`.
        images: Folder that the pictures' names are relative to; the data folder if left out.

    Returns:
        Its pictures in the order of their ids, with every fault of the list.

    Raises:
        DataFormatError: If the folder says that its pictures lie elsewhere, and `images` is left out.
    """
    faults: list[Fault] = []
    info = read_json_object(root / INFO_FILE, INFO_FILE, faults) if (root / INFO_FILE).exists() else {}
    if images is None and info.get("pictures") == "reference":
        raise DataFormatError(
            f"Pictures lie elsewhere: {root} only refers to them. Pass the folder that it was built from as --images."
        )
    resolved = root.resolve()
    pictures = resolved if images is None else images.resolve()
    by_id: dict[str, PictureEntry] = {}
    owners: dict[Path, str] = {}
    for where, record in read_json_lines(root / METADATA_FILE, METADATA_FILE, faults, fields=KNOWN_FIELDS):
        try:
            entry = _read_entry(resolved, pictures, where, record)
        except DataFormatError as error:
            faults.append(Fault(METADATA_FILE, where, str(error)))
            continue
        if entry.image_id in by_id:
            first = by_id[entry.image_id].where
            what = f"Duplicate id: image_id {entry.image_id!r} is also in {first}. Give all captions in one line."
            faults.append(Fault(METADATA_FILE, where, what))
        elif entry.path in owners:
            what = f"Same picture file as in {owners[entry.path]}: {record['file_name']!r}. List every file once."
            faults.append(Fault(METADATA_FILE, where, what))
        else:
            by_id[entry.image_id] = entry
            owners[entry.path] = where
    entries = tuple(by_id[image_id] for image_id in sorted(by_id, key=id_order))
    return FolderContent(entries=entries, faults=tuple(faults), info=info)


def _read_entry(root: Path, pictures: Path, where: str, record: Record) -> PictureEntry:
    """Read one line.

    Raises:
        DataFormatError: If a field is of the wrong kind or a path leaves the folder.
    """
    path = resolve_inside(pictures, pictures, record.get("file_name"))
    listed_id = record.get("image_id")
    image_id = read_id(record["file_name"] if listed_id is None else listed_id)
    if image_id is None:
        raise DataFormatError(f"Field 'image_id' is {listed_id!r}, expected a whole number or a clean text.")
    split, prompt = optional_text(record, "split"), optional_text(record, "prompt")
    licence = optional_text(record, "licence") or optional_text(record, "license")
    texts = text_list(record, "captions") or text_list(record, "text")
    return PictureEntry(
        image_id=image_id,
        path=path,
        file=METADATA_FILE,
        where=where,
        objects=tuple(_read_objects(root, where, record)),
        captions=tuple(filter(None, map(clean_text, texts))),
        captions_original=tuple(text_list(record, "captions_original")),
        split=clean_text(split) or None if split else None,
        prompt=clean_prompt(prompt) if prompt else None,
        licence=clean_text(licence) or None if licence else None,
        caption_origin=CaptionOrigin.from_record(made) if (made := record.get("caption_origin")) else None,
        categories=None if record.get("categories") is None else tuple(text_list(record, "categories")),
    )


def _read_objects(root: Path, where: str, record: Record) -> Iterator[ObjectEntry]:
    """Read the key objects of a line: `key_objects` if there, else the line's own mask.

    Yields:
        One entry per mask.

    Raises:
        DataFormatError: If a field is of the wrong kind, a mask has no category, or a path leaves the folder.
    """
    several = record.get("key_objects")
    if several is not None and not (isinstance(several, list) and all(isinstance(one, dict) for one in several)):
        raise DataFormatError(f"Field 'key_objects' is {several!r}, expected a list of objects.")
    for one in [record] if several is None else several:
        if one.get("mask_file_name") is None:
            continue
        mask_path = resolve_inside(root, root, one["mask_file_name"])
        category = clean_text(optional_text(one, "category") or "")
        if not category:
            raise DataFormatError("Field 'category' is missing; expected the word for the object under the mask.")
        extra = [clean_text(name) for name in text_list(one, "names")]
        names = tuple(dict.fromkeys((category, *filter(None, extra)))) if extra else category_names(category)
        yield ObjectEntry(
            category=category,
            names=names,
            where=where,
            read_mask=partial(_read_mask, mask_path),
            is_key=True,
            origin=MaskOrigin.from_record(made) if (made := one.get("mask_origin")) else None,
        )


def _read_mask(path: Path, frames: Frames) -> ReadMask:
    """Read a mask file if its size fits the picture."""
    mask = read_mask_file(path)
    size_hw = (mask.shape[0], mask.shape[1])
    refuse_other_frame(size_hw, frames)
    return ReadMask(PngMask(path, size_hw), mask_area(mask))
