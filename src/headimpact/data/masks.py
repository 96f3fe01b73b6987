"""Polygons, run lengths and PNG files to bool masks, and what is measured on a mask."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from jaxtyping import Bool, Float
from pycocotools import mask as coco_mask

from headimpact.core.errors import DataFormatError
from headimpact.core.shapes import ObjectMask
from headimpact.data.pictures import MASK_MODES, PIXEL_LIMIT, open_whole

SizeHW = tuple[int, int]


class MaskSource(Protocol):
    """A mask that is decoded when asked for, in the frame in which it was stored."""

    @property
    def size_hw(self) -> SizeHW:
        """Height and width of the mask as stored."""
        ...

    def decode(self) -> np.ndarray:
        """Give the bool mask `[height, width]` in its stored frame."""
        ...


@dataclass(frozen=True)
class RleMask:
    """A mask kept as COCO's compressed run lengths.

    Attributes:
        size_hw: Height and width.
        counts: Run lengths down the columns, compressed; sound, as made by this module.
    """

    size_hw: SizeHW
    counts: bytes

    @classmethod
    def from_mask(cls, mask: ObjectMask) -> Self:
        """Compress a bool mask."""
        encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
        return cls((int(mask.shape[0]), int(mask.shape[1])), bytes(encoded["counts"]))

    @property
    def area(self) -> int:
        """Number of pixels of the object."""
        return int(coco_mask.area(self._encoded()))

    def decode(self) -> ObjectMask:
        """Give the bool mask `[height, width]`."""
        return np.ascontiguousarray(coco_mask.decode(self._encoded()), dtype=bool)

    def _encoded(self) -> dict[str, Any]:
        """Give the form that pycocotools reads."""
        return {"size": list(self.size_hw), "counts": self.counts}


@dataclass(frozen=True)
class PngMask:
    """A mask kept as a picture file of one channel; every pixel that is not 0 belongs to the object.

    Attributes:
        path: The file.
        size_hw: Height and width.
    """

    path: Path
    size_hw: SizeHW

    def decode(self) -> ObjectMask:
        """Give the bool mask `[height, width]`.

        Raises:
            DataFormatError: If the file cannot be read any more or has changed its size.
        """
        mask = read_mask_file(self.path)
        if mask.shape != self.size_hw:
            raise DataFormatError(
                f"Mask has changed since the folder was checked: {self.path} was {_size(self.size_hw)}, "
                f"is {_size(mask.shape)}. Run again."
            )
        return mask


def read_mask_file(path: Path) -> ObjectMask:
    """Read a mask from a picture file of one channel.

    Args:
        path: 1-bit, 8-bit or 16-bit grey, or palette file; in a palette file index 0 is "no object".

    Returns:
        True where the stored value is not 0. EXIF data of the mask file itself are ignored.

    Raises:
        DataFormatError: If the file is missing, broken, too large, or has colour or alpha channels.
    """
    image = open_whole(path)
    if image.mode not in MASK_MODES:
        raise DataFormatError(
            f"Mask has several channels: {path} is of mode {image.mode}, expected one channel (grey or 1-bit), "
            "0 outside the object. Save it as an 8-bit grey PNG."
        )
    return np.ascontiguousarray(np.asarray(image) != 0)


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
        raise DataFormatError(f"Mask too large: {_size(size_hw)}; expected at most {PIXEL_LIMIT} pixels.")
    if segmentation is None or isinstance(segmentation, list):
        return _rle_from_polygons(segmentation or [], size_hw)
    if not isinstance(segmentation, dict) or "counts" not in segmentation:
        raise DataFormatError(
            f"Unknown segmentation: {_short(segmentation)}; expected a list of polygons or run lengths "
            "{'size': ..., 'counts': ...}."
        )
    counts = segmentation["counts"]
    runs = _expand_counts(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(_is_count(run) for run in runs):
        raise DataFormatError(f"Broken run lengths: counts are {_short(counts)}; expected whole numbers from 0 up.")
    if sum(runs) != size_hw[0] * size_hw[1]:
        raise DataFormatError(
            f"Broken run lengths: the counts add up to {sum(runs)} pixels, expected {_size(size_hw)} = "
            f"{size_hw[0] * size_hw[1]}."
        )
    return _rle_from_runs(runs, size_hw)


def mask_area(mask: ObjectMask) -> int:
    """Count the pixels of a mask."""
    return int(np.count_nonzero(mask))


def mask_box(mask: ObjectMask) -> tuple[int, int, int, int] | None:
    """Give the smallest box (x0, y0, x1, y1) around a mask in pixels, x1 and y1 exclusive; None if empty.

    Example:
        >>> mask_box(np.array([[False, True, True], [False, False, False]]))
        (1, 0, 3, 1)
    """
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def unite_masks(masks: Sequence[ObjectMask]) -> ObjectMask:
    """Give the pixels that belong to any of the masks.

    Args:
        masks: At least one mask; all of one size.

    Raises:
        DataFormatError: If there is no mask, or the sizes differ.
    """
    if len({mask.shape for mask in masks}) != 1:
        sizes = ", ".join(_size(mask.shape) for mask in masks) or "none"
        raise DataFormatError(f"Cannot unite masks: sizes {sizes}; expected at least one mask, all of one size.")
    return np.logical_or.reduce(masks)


def resize_to_plane(mask: Bool[np.ndarray, "height width"], size: int = 64) -> Float[np.ndarray, "rows columns"]:
    """Give the share of each cell that a mask covers, on a square grid over the whole picture.

    The grid stands for the image plane without pixels: masks of differently sized pictures become
    comparable and are laid on another picture by shares of width and height. Cells that cut pixels count
    the cut part exactly, so the mean over the grid is the mask's share of the picture.

    Args:
        mask: Bool mask.
        size: Cells along each side, at least 1.

    Returns:
        Coverage in [0, 1], `[size, size]`.

    Example:
        >>> resize_to_plane(np.array([[True, False, False]]), size=2).tolist()
        [[0.6666666666666666, 0.0], [0.6666666666666666, 0.0]]
    """
    height, width = mask.shape
    coverage = _cell_shares(height, size) @ mask.astype(np.float64) @ _cell_shares(width, size).T
    return np.clip(coverage, 0.0, 1.0)


def _cell_shares(pixels: int, cells: int) -> np.ndarray:
    """Give the share of each cell's length that each pixel takes along one axis, `[cells, pixels]`."""
    edges = np.arange(cells + 1) * (pixels / cells)
    starts = np.arange(pixels)
    overlap = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    return np.clip(overlap, 0.0, None) * (cells / pixels)


def _rle_from_polygons(parts: list[Any], size_hw: SizeHW) -> RleMask:
    """Draw every part and unite them."""
    height, width = size_hw
    drawable = []
    for part in parts:
        _refuse_broken_polygon(part, size_hw)
        if len(part) >= 6:  # pycocotools takes four numbers for a box
            drawable.append([float(value) for value in part])
    if not drawable:
        return _rle_from_runs([height * width], size_hw)
    encoded = coco_mask.merge(coco_mask.frPyObjects(drawable, height, width))
    return RleMask(size_hw, bytes(encoded["counts"]))


def _refuse_broken_polygon(part: object, size_hw: SizeHW) -> None:
    """Refuse a part that is no list of number pairs near the frame."""
    values = np.asarray(part) if isinstance(part, list) and not _is_nested(part) else None
    if values is None or len(values) % 2 or (len(values) and values.dtype.kind not in "iuf"):
        raise DataFormatError(f"Broken polygon: {_short(part)}; expected numbers x, y, x, y, ...")
    height, width = size_hw
    xs, ys = values[0::2], values[1::2]
    near = (xs >= -width) & (xs <= 2 * width) & (ys >= -height) & (ys <= 2 * height)  # False for NaN
    if not near.all():
        worst = int(np.argmin(near))
        raise DataFormatError(
            f"Broken polygon: point ({xs[worst]}, {ys[worst]}) is far outside the picture of {_size(size_hw)}; "
            "expected pixel coordinates."
        )


def _is_nested(part: list[Any]) -> bool:
    """Tell whether a list holds anything but plain numbers."""
    return any(isinstance(value, (list, dict, str, bool)) or value is None for value in part)


def _rle_from_runs(runs: list[int], size_hw: SizeHW) -> RleMask:
    """Compress run lengths that are known to be sound."""
    height, width = size_hw
    encoded = coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)
    return RleMask(size_hw, bytes(encoded["counts"]))


def _expand_counts(text: str) -> list[int]:
    """Read COCO's compressed run lengths: five bits a character, every run after the third as a difference.

    Checked here because pycocotools trusts them.

    Source: cocodataset/cocoapi, `rleFrString`.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise DataFormatError(f"Broken run lengths: {character!r} in compressed counts {_short(text)}.")
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise DataFormatError(f"Broken run lengths: compressed counts {_short(text)} end in the middle of a number.")
    return runs


def _is_count(value: object) -> bool:
    """Tell whether a value is a whole number from 0 up."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _size(size_hw: Sequence[int]) -> str:
    """Write a size as in messages: height x width."""
    return " x ".join(str(n) for n in size_hw)


def _short(value: object) -> str:
    """Show a value in at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
