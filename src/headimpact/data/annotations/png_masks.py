"""Masks as picture files: `masks/1.png` for `1.jpg`, or `masks/dog/1.png` where the folder names the object.

Whoever paints masks paints what matters, so all of them are key objects.
"""

from collections import defaultdict
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from headimpact.core.errors import DataFormatError
from headimpact.data.annotations.drawing import list_object
from headimpact.data.annotations.pictures import PictureIndex, list_pictures
from headimpact.data.entries import Fault, Frames, ObjectEntry, ReadMask
from headimpact.data.masks import PngMask, mask_area, read_mask_file, refuse_other_frame


def read_png_masks(path: Path, pictures: PictureIndex, faults: list[Fault]) -> dict[str, list[ObjectEntry]]:
    """List the masks of a folder; no file is opened.

    Args:
        path: Folder of masks; a mask has the path of its picture but for the ending, alone or below a folder that
            is named after the object.
        pictures: The pictures; the word for a mask that is in no such folder is in their `categories`.
        faults: List that takes up what is wrong.

    Returns:
        The masked objects, by name of the picture.

    Raises:
        DataFormatError: If there is no mask in the folder.
    """
    found: dict[str, list[ObjectEntry]] = defaultdict(list)
    for name, mask_path in list_pictures(path, faults).paths.items():
        file = f"{path.name}/{name}"
        try:
            picture, category = _belongs_to(PurePosixPath(name), pictures)
            entry = list_object(category, file=file, where="", read_mask=partial(_read_mask, mask_path))
            found[picture].append(replace(entry, is_key=True))
        except DataFormatError as error:
            faults.append(Fault(file, "", str(error)))
    return found


def _belongs_to(name: PurePosixPath, pictures: PictureIndex) -> tuple[str, str]:
    """Give the picture of a mask, and the word for the object.

    Raises:
        DataFormatError: If there is no such picture, or nothing says what the object is.
    """
    picture = pictures.find_stem(name)
    if picture is not None:
        if picture not in pictures.categories:
            raise DataFormatError(
                f"Mask without a word for its object: nothing says what is seen in {picture!r}. Put the mask into a "
                "folder that is named after it, give the captions file a field 'category', or pass --category."
            )
        return picture, pictures.categories[picture]
    below = pictures.find_stem(PurePosixPath(*name.parts[1:])) if len(name.parts) > 1 else None
    if below is None:
        raise DataFormatError(
            f"Mask of no picture: no picture has the name {name.with_suffix('').as_posix()!r} (any ending). Rename it."
        )
    return below, name.parts[0]


def _read_mask(path: Path, frames: Frames) -> ReadMask:
    """Read a mask file.

    Raises:
        DataFormatError: If its size is not the picture's, or it is empty.
    """
    mask = read_mask_file(path)
    size_hw = (mask.shape[0], mask.shape[1])
    refuse_other_frame(size_hw, frames)
    area = mask_area(mask)
    if not area:
        raise DataFormatError(
            f"Empty mask: every pixel of {path.name} is 0; expected other values on the object. Paint it, or take the "
            "file out."
        )
    return ReadMask(PngMask(path, size_hw), area)
