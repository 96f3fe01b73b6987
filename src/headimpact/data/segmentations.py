"""Polygons and run lengths of COCO's format to masks; nothing in them is trusted."""

import math
from typing import Any

from pycocotools import mask as coco_mask

from headimpact.core.errors import DataFormatError
from headimpact.data.masks import RleMask, SizeHW, expand_counts, format_size, shorten
from headimpact.data.pictures import PIXEL_LIMIT


def segmentation_size(segmentation: object, *, picture_hw: SizeHW) -> SizeHW:
    """Say which frame a COCO segmentation is in: its own `size` for run lengths, the picture's for polygons.

    Args:
        segmentation: A COCO segmentation: polygons or run lengths.
        picture_hw: Height and width in the picture's COCO record.

    Returns:
        Height and width.

    Raises:
        DataFormatError: If run lengths carry no sound `size`.
    """
    if not isinstance(segmentation, dict):
        return picture_hw
    size = segmentation.get("size")
    if not (isinstance(size, list) and len(size) == 2 and all(_is_count(n) and n > 0 for n in size)):
        raise DataFormatError(f"Broken run lengths: size is {size!r}, expected [height, width].")
    return size[0], size[1]


def rle_from_segmentation(segmentation: object, *, size_hw: SizeHW) -> RleMask:
    """Turn a COCO segmentation into a mask.

    All parts of an object are drawn one by one and united: taken as one outline they would enclose the
    space between them. Polygons are drawn by pycocotools. Parts of fewer than three points enclose
    nothing. None and an empty list are an empty mask.

    Args:
        segmentation: Polygons `[[x, y, x, y, ...], ...]`, run lengths `{"size": [height, width], "counts":
            [...]}`, or compressed run lengths, `counts` then being text.
        size_hw: Frame, as given by `segmentation_size`.

    Returns:
        The compressed mask.

    Raises:
        DataFormatError: If the frame has more than `PIXEL_LIMIT` pixels, or the segmentation is neither of
            these, has odd or unreal coordinates, or runs that do not fill the frame.

    Source: cocodataset/cocoapi, `annToRLE`.

    Example:
        >>> rle_from_segmentation([[1, 0, 3, 0, 3, 2, 1, 2]], size_hw=(2, 4)).decode().astype(int).tolist()
        [[0, 1, 1, 0], [0, 1, 1, 0]]
    """
    if size_hw[0] * size_hw[1] > PIXEL_LIMIT:
        raise DataFormatError(f"Mask too large: {format_size(size_hw)}; expected at most {PIXEL_LIMIT} pixels.")
    if segmentation is None or isinstance(segmentation, list):
        return _rle_from_polygons(segmentation or [], size_hw)
    if not isinstance(segmentation, dict) or "counts" not in segmentation:
        raise DataFormatError(
            f"Unknown segmentation: {shorten(segmentation)}; expected a list of polygons or run lengths "
            "{'size': ..., 'counts': ...}."
        )
    counts = segmentation["counts"]
    runs = expand_counts(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(_is_count(run) for run in runs):
        raise DataFormatError(f"Broken run lengths: counts are {shorten(counts)}; expected whole numbers from 0 up.")
    if sum(runs) != size_hw[0] * size_hw[1]:
        raise DataFormatError(
            f"Broken run lengths: the counts add up to {sum(runs)} pixels, expected {format_size(size_hw)} = "
            f"{size_hw[0] * size_hw[1]}."
        )
    return _rle_from_runs(runs, size_hw)


def _rle_from_polygons(parts: list[Any], size_hw: SizeHW) -> RleMask:
    """Draw every part and unite them."""
    height, width = size_hw
    drawable = []
    for part in parts:
        _refuse_broken_polygon(part, size_hw)
        if len(part) >= 6:  # pycocotools takes four numbers for a box
            drawable.append(part)
    if not drawable:
        return _rle_from_runs([height * width], size_hw)
    drawn = coco_mask.frPyObjects(drawable, height, width)
    return RleMask(size_hw, bytes((drawn[0] if len(drawn) == 1 else coco_mask.merge(drawn))["counts"]))


def _refuse_broken_polygon(part: object, size_hw: SizeHW) -> None:
    """Refuse a part that is no list of number pairs near the frame.

    Raises:
        DataFormatError: If it is not.
    """
    if not isinstance(part, list) or len(part) % 2 or not set(map(type, part)) <= {int, float}:
        raise DataFormatError(f"Broken polygon: {shorten(part)}; expected numbers x, y, x, y, ...")
    if not part or _lie_near(part, min(size_hw)):
        return
    height, width = size_hw
    xs, ys = part[0::2], part[1::2]
    if _lie_near(xs, width) and _lie_near(ys, height):
        return
    x, y = next((x, y) for x, y in zip(xs, ys, strict=True) if not (_lie_near([x], width) and _lie_near([y], height)))
    raise DataFormatError(
        f"Misplaced outline: point ({x}, {y}) is far outside the picture of {format_size(size_hw)}; "
        "expected pixel coordinates."
    )


def _lie_near(values: list[float | int], side: int) -> bool:
    """Tell whether coordinates lie in the picture or within its width or height of it; not a number does not."""
    return -side <= min(values) and max(values) <= 2 * side and not math.isnan(sum(values))


def _rle_from_runs(runs: list[int], size_hw: SizeHW) -> RleMask:
    """Compress run lengths that are known to be sound."""
    height, width = size_hw
    encoded = coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    return RleMask(size_hw, bytes(encoded["counts"]))


def _is_count(value: object) -> bool:
    """Tell whether a value is a whole number from 0 up."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
