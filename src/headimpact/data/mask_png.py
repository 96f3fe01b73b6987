"""Write masks as PNG files: grey of one bit, white on the object, black elsewhere."""

import struct
import zlib
from pathlib import Path

import numpy as np

from headimpact.core.shapes import ObjectMask
from headimpact.data.masks import RleMask
from headimpact.data.pictures import EXIF_ORIENTATION

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _DEFLATE, _ADAPTIVE, _PLAIN = 0, 0, 0, 0


def write_mask_file(mask: ObjectMask | RleMask, path: Path) -> None:
    """Write a mask; `headimpact.data.masks.read_mask_file` reads it."""
    path.write_bytes(encode_mask(mask))


def encode_mask(mask: ObjectMask | RleMask, *, orientation: int = 1) -> bytes:
    """Encode a mask as a PNG file, the same bytes for the same mask and zlib.

    One bit a pixel, since there is nothing more to say: with eight, zlib has eight times as much to read, and the file
    is no smaller. Rows are not filtered and only runs are looked for, since a mask is hardly anything else.

    Args:
        mask: Which pixels belong to the object; at least one row and column.
        orientation: EXIF orientation that the file says it has, 1 to 8.

    Returns:
        The file's content.

    Source: W3C, "Portable Network Graphics (PNG) Specification", sections 4.1 (header), 6 (filter type 0) and, in its
    third edition, 11.3.3.6 (`eXIf`).
    """
    height, width = mask.size_hw if isinstance(mask, RleMask) else mask.shape
    packed = mask.pack() if isinstance(mask, RleMask) else np.packbits(mask, axis=1)
    rows = np.zeros((height, 1 + packed.shape[1]), dtype=np.uint8)  # every row begins with its filter type
    rows[:, 1:] = packed
    packer = zlib.compressobj(level=1, strategy=zlib.Z_RLE)
    header = struct.pack(">IIBBBBB", width, height, 1, _GREY, _DEFLATE, _ADAPTIVE, _PLAIN)
    turned = b"" if orientation == 1 else _chunk(b"eXIf", _exif(orientation))
    pixels = packer.compress(rows.data) + packer.flush()
    return _SIGNATURE + _chunk(b"IHDR", header) + turned + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _exif(orientation: int) -> bytes:
    """Write EXIF data that hold an orientation and nothing else: a TIFF header and one entry."""
    entry = struct.pack("<HHIHH", EXIF_ORIENTATION, 3, 1, orientation, 0)  # a short number, once
    return b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)


def _chunk(kind: bytes, content: bytes) -> bytes:
    """Frame a chunk with its length and checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
