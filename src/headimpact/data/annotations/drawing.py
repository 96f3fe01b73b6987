"""What people draw in annotation tools, polygons and boxes, as objects with masks drawn on demand."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from headimpact.core.errors import DataFormatError
from headimpact.data.entries import Frames, ObjectEntry, ReadMask
from headimpact.data.masks import RleMask, SizeHW, refuse_other_frame, shorten
from headimpact.data.segmentations import rle_from_segmentation
from headimpact.data.synonyms import category_names
from headimpact.data.texts import clean_text

Part = list[float]
"""One polygon: x, y, x, y, ... in pixels, x to the right and y down."""


def list_object(category: object, *, file: str, where: str, read_mask: Callable[[Frames], ReadMask]) -> ObjectEntry:
    """Make the entry of an object.

    Args:
        category: What the annotation file calls it.
        file: The file, for messages.
        where: Place in the file, for messages.
        read_mask: Reads its mask.

    Raises:
        DataFormatError: If the category is no word.
    """
    word = clean_text(category) if isinstance(category, str) else ""
    if not word:
        raise DataFormatError(f"Object without a category: found {category!r}; expected the word for the object.")
    return ObjectEntry(category=word, names=category_names(word), file=file, where=where, read_mask=read_mask)


def polygons(parts: Sequence[Part], claimed_hw: SizeHW | None) -> Callable[[Frames], ReadMask]:
    """Give what draws an object made of polygons.

    Args:
        parts: Its polygons.
        claimed_hw: Height and width of the picture as the annotation file has it; None where it does not say.

    Raises:
        DataFormatError: If a polygon has fewer than three points.
    """
    for part in parts:
        if len(part) < 6:
            raise DataFormatError(
                f"Degenerate polygon: {shorten(part)} has {len(part) // 2} points, expected 3 or more."
            )
    return partial(_draw, list(parts), claimed_hw)


def box_part(x0: float, y0: float, x1: float, y1: float) -> Part:
    """Give a box as a polygon.

    Args:
        x0: Left edge in pixels.
        y0: Upper edge.
        x1: Right edge.
        y1: Lower edge.

    Raises:
        DataFormatError: If it has no area.

    Example:
        >>> box_part(1.0, 0.0, 3.0, 2.0)
        [1.0, 0.0, 3.0, 0.0, 3.0, 2.0, 1.0, 2.0]
    """
    if not (x0 < x1 and y0 < y1):
        raise DataFormatError(
            f"Degenerate box: ({x0}, {y0}, {x1}, {y1}) has no area; expected (x0, y0, x1, y1) with x0 < x1 and y0 < y1."
        )
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def refuse_empty(mask: ReadMask, what: object) -> ReadMask:
    """Give a mask back if it has a pixel.

    Raises:
        DataFormatError: If it has none: it lies outside the picture, or encloses nothing.
    """
    if not mask.area:
        raise DataFormatError(
            f"Object without a pixel: {shorten(what)} lies outside the picture or encloses nothing; expected pixel "
            "coordinates within it. Draw it again or take it out."
        )
    return mask


def _draw(parts: list[Part], claimed_hw: SizeHW | None, frames: Frames) -> ReadMask:
    """Draw polygons in the size that the annotation file claims, else in that of the upright picture.

    Nothing is drawn where neither is known: then the picture could not be read, which is a fault already.

    Raises:
        DataFormatError: If the size is not that of the picture, or no pixel is enclosed.
    """
    size_hw = claimed_hw or (frames[-1] if frames else None)
    if size_hw is None:
        return ReadMask(RleMask.from_mask(np.zeros((1, 1), dtype=bool)), area=0)
    refuse_other_frame(size_hw, frames)
    mask = rle_from_segmentation(parts, size_hw=size_hw)
    return refuse_empty(ReadMask(mask, mask.area), parts[0])
