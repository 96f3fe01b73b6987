"""Masks that are decoded on demand, from run lengths or PNG files, and what is measured on a mask."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float
from pycocotools import mask as coco_mask

from headimpact.core.errors import DataFormatError
from headimpact.core.shapes import ObjectMask
from headimpact.data.pictures import MASK_MODES, open_whole

SizeHW = tuple[int, int]

LOSSY_FORMATS = frozenset({"JPEG", "MPO", "JPEG2000"})
"""Formats that may change pixels: a mask comes back wider than it was drawn."""


@runtime_checkable
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

    @staticmethod
    def from_mask(mask: ObjectMask) -> "RleMask":
        """Compress a bool mask."""
        encoded = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
        return RleMask((int(mask.shape[0]), int(mask.shape[1])), bytes(encoded["counts"]))

    @staticmethod
    def union(masks: Sequence["RleMask"]) -> "RleMask":
        """Give the pixels that belong to any of the masks: at least one, all of one size."""
        return masks[0] if len(masks) == 1 else _merge(tuple(masks))

    @cached_property
    def area(self) -> int:
        """Number of pixels of the object."""
        return int(coco_mask.area(self._encoded()))

    def decode(self) -> ObjectMask:
        """Give the bool mask `[height, width]`; pycocotools' own `decode` warns with every call under numpy 2."""
        mask = np.zeros(self.size_hw, dtype=np.bool_)
        first, columns = self._lay_out(1)
        mask[:, first : first + len(columns)] = columns[:, 0].view(np.bool_).T
        return mask

    def pack(self) -> np.ndarray:
        """Give what `numpy.packbits` makes of the rows, straight from the run lengths: it takes half the time."""
        height, width = self.size_hw
        packed = np.zeros((height, -(-width // 8)), dtype=np.uint8)
        first, columns = self._lay_out(8)
        bits = columns[:, 0].copy()
        for place in range(1, 8):
            bits += bits
            bits |= columns[:, place]
        packed[:, first : first + len(bits)] = bits.T
        return packed

    def _lay_out(self, size: int) -> tuple[int, np.ndarray]:
        """Give the columns between the first and the last pixel, 0 and 1, as `[groups, size, height]`.

        Groups are counted from the left; the first one's number comes first, the last may reach beyond the picture.
        """
        pixels = size * self.size_hw[0]
        runs = _expand(self.counts)
        if len(runs) < 2:
            return 0, np.zeros((0, size, self.size_hw[0]), dtype=np.uint8)
        if len(runs) % 2 == 0:
            runs = np.append(runs, 0)
        end = int(runs[:-1].sum())
        first, last = int(runs[0]) // pixels, -(-end // pixels)
        runs[0] -= first * pixels
        runs[-1] = last * pixels - end
        values = np.zeros(len(runs), dtype=np.uint8)
        values[1::2] = 1
        return first, values.repeat(runs).reshape(last - first, size, self.size_hw[0])

    def _encoded(self) -> dict[str, Any]:
        """Give the form that pycocotools reads."""
        return {"size": list(self.size_hw), "counts": self.counts}


@lru_cache(maxsize=64)  # the rule, the questions and the mask files of a picture ask for the same ones
def _merge(masks: tuple[RleMask, ...]) -> RleMask:
    """Unite masks of one size."""
    return RleMask(masks[0].size_hw, bytes(coco_mask.merge([mask._encoded() for mask in masks])["counts"]))


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
                f"Mask has changed since the folder was checked: {self.path} was {format_size(self.size_hw)}, "
                f"is {format_size(mask.shape)}. Run again."
            )
        return mask


def read_mask_file(path: Path) -> ObjectMask:
    """Read a mask from a picture file of one channel.

    Args:
        path: 1-bit, 8-bit or 16-bit grey, or palette file; in a palette file index 0 is "no object".

    Returns:
        True where the stored value is not 0. EXIF data of the mask file itself are ignored.

    Raises:
        DataFormatError: If the file is missing, broken, too large, of a lossy format, or has colour or alpha channels.
    """
    image = open_whole(path)
    if image.format in LOSSY_FORMATS:
        raise DataFormatError(
            f"Mask in a lossy format: {path} is {image.format}, which may leave values that are not 0 around the "
            "object; expected PNG. Save the mask anew as PNG from where it was drawn."
        )
    if image.mode not in MASK_MODES:
        raise DataFormatError(
            f"Mask has several channels: {path} is of mode {image.mode}, expected one channel (grey or 1-bit), "
            "0 outside the object. Save it as an 8-bit grey PNG."
        )
    return np.ascontiguousarray(np.asarray(image) != 0)


def refuse_other_frame(size_hw: SizeHW, frames: Sequence[SizeHW]) -> None:
    """Refuse a mask whose size is none of those that its picture allows.

    Args:
        size_hw: Height and width of the mask.
        frames: Stored and upright size of the picture; empty where they are unknown, which allows all.

    Raises:
        DataFormatError: If the mask has another size.
    """
    if frames and size_hw not in frames:
        expected = " or ".join(dict.fromkeys(format_size(frame) for frame in frames))
        raise DataFormatError(
            f"Mask of another size: {format_size(size_hw)} (height x width), the picture is {expected}. "
            "Store the mask in the picture's size."
        )


def mask_area(mask: ObjectMask) -> int:
    """Count the pixels of a mask."""
    return int(np.count_nonzero(mask))


def mask_share(mask: ObjectMask) -> float:
    """Give the share of its picture that a mask covers, in [0, 1], with the digits that data sets keep.

    Example:
        >>> mask_share(np.array([[False, True, True]]))
        0.666667
    """
    return round(mask_area(mask) / mask.size, 6)


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


def unite_masks(masks: Sequence[np.ndarray]) -> ObjectMask:
    """Give the pixels that belong to any of the masks.

    Args:
        masks: At least one bool mask `[height, width]`; all of one size.

    Raises:
        DataFormatError: If there is no mask, or the sizes differ.
    """
    if len({mask.shape for mask in masks}) != 1:
        sizes = ", ".join(format_size(mask.shape) for mask in masks) or "none"
        raise DataFormatError(f"Cannot unite masks: sizes {sizes}; expected at least one mask, all of one size.")
    united: np.ndarray = np.logical_or.reduce(masks)
    return united


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
    shares: np.ndarray = np.clip(coverage, 0.0, 1.0)
    return shares


def _cell_shares(pixels: int, cells: int) -> np.ndarray:
    """Give the share of each cell's length that each pixel takes along one axis, `[cells, pixels]`."""
    edges = np.arange(cells + 1) * (pixels / cells)
    starts = np.arange(pixels)
    overlap = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    shares: np.ndarray = np.clip(overlap, 0.0, None) * (cells / pixels)
    return shares


def format_size(size_hw: Sequence[int]) -> str:
    """Write a size as in messages: height x width."""
    return " x ".join(str(n) for n in size_hw)


def expand_counts(text: str) -> list[int]:
    """Read COCO's compressed run lengths: five bits a character, every run after the third as a difference.

    Checked here because pycocotools trusts what it is given.

    Raises:
        DataFormatError: If the text is not made of such numbers.

    Source: cocodataset/cocoapi, `rleFrString`.
    """
    wrong = next((character for character in text if not "0" <= character < "p"), None)
    if wrong is not None:
        raise DataFormatError(f"Broken run lengths: {wrong!r} in compressed counts {shorten(text)}.")
    if text and ord(text[-1]) - 48 & 0x20:
        raise DataFormatError(f"Broken run lengths: compressed counts {shorten(text)} end in the middle of a number.")
    if re.search("[P-o]{12}", text):
        raise DataFormatError(f"Broken run lengths: a number in compressed counts {shorten(text)} is too long.")
    runs: list[int] = _expand(text.encode("ascii")).tolist()
    return runs


def _expand(counts: bytes) -> np.ndarray:
    """Read sound compressed run lengths into whole numbers."""
    codes = np.frombuffer(counts, dtype=np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero(codes < 0x20)  # elsewhere the number goes on
    starts = np.zeros_like(ends)
    starts[1:] = ends[:-1] + 1
    places = np.arange(len(codes)) - np.repeat(starts, ends - starts + 1)
    runs: np.ndarray = np.add.reduceat((codes & 0x1F) << 5 * places, starts) if len(codes) else codes
    runs -= (codes[ends] & 0x10 != 0).astype(np.int64) << 5 * (places[ends] + 1)
    for first in (1, 2):
        runs[first::2] = np.cumsum(runs[first::2])
    return runs


def shorten(value: object) -> str:
    """Show a value in at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
