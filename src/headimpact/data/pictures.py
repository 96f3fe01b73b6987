"""Open picture files safely: whole, upright, RGB."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from headimpact.core.errors import DataFormatError

PIXEL_LIMIT = 89_478_485
"""Most pixels a picture may have (Pillow's own threshold for a decompression bomb, here always an error)."""

PICTURE_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000")
"""Formats that are opened, in Pillow's words; EPS and the like, which start other programs, are not."""

SIXTEEN_BIT_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
MASK_MODES = ("1", "L", "P", *SIXTEEN_BIT_MODES)

EXIF_ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation to the turn that sets the picture upright; 1 and unknown values need none."""


@dataclass(frozen=True, kw_only=True)
class PictureFacts:
    """What a picture file says of itself once it has been read to its end.

    Attributes:
        stored_hw: Height and width of the pixels as stored.
        orientation: EXIF orientation, 1 to 8; 1 where the file has none.
    """

    stored_hw: tuple[int, int]
    orientation: int

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the upright picture."""
        return upright_size(self.stored_hw, self.orientation)


def upright_size(stored_hw: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Give height and width after turning by an EXIF orientation.

    Example:
        >>> upright_size((3, 4), 6)
        (4, 3)
    """
    height, width = stored_hw
    return (width, height) if orientation >= 5 else (height, width)


def turn_mask(mask: np.ndarray, orientation: int) -> np.ndarray:
    """Turn a mask of the stored picture upright, as the picture itself is turned.

    Args:
        mask: `[height, width]` of the stored picture.
        orientation: EXIF orientation of the picture, 1 to 8.

    Returns:
        The mask in the frame of the upright picture.

    Source: EXIF 2.3, tag 0x0112; the same turns as Pillow's `ImageOps.exif_transpose`.

    Example:
        >>> turn_mask(np.array([[1, 2, 3]]), 3).tolist()
        [[3, 2, 1]]
    """
    turned = {
        2: lambda: mask[:, ::-1],
        3: lambda: mask[::-1, ::-1],
        4: lambda: mask[::-1],
        5: lambda: mask.T,
        6: lambda: np.rot90(mask, -1),
        7: lambda: mask[::-1, ::-1].T,
        8: lambda: np.rot90(mask),
    }
    return np.ascontiguousarray(turned[orientation]()) if orientation in turned else mask


def unturn_mask(mask: np.ndarray, orientation: int) -> np.ndarray:
    """Turn a mask of the upright picture back into the frame of the stored one: undoes `turn_mask`.

    Example:
        >>> unturn_mask(turn_mask(np.array([[1, 2, 3]]), 6), 6).tolist()
        [[1, 2, 3]]
    """
    return turn_mask(mask, {6: 8, 8: 6}.get(orientation, orientation))


def read_picture_facts(path: Path) -> PictureFacts:
    """Read a picture to its end and say how large it is and how it is turned.

    Args:
        path: Picture file.

    Returns:
        Stored size and EXIF orientation.

    Raises:
        DataFormatError: If the file is missing, is no picture of a known format, is truncated or broken,
            has more pixels than `PIXEL_LIMIT`, or has float pixels.
    """
    image = open_whole(path)
    _refuse_float(image, path)
    return PictureFacts(stored_hw=(image.height, image.width), orientation=_orientation(image))


def read_picture_header(path: Path) -> PictureFacts:
    """Read what a picture says of itself at its beginning; its pixels are not decoded and may be broken.

    Args:
        path: Picture file.

    Returns:
        Stored size and EXIF orientation.

    Raises:
        DataFormatError: If the file is missing, is no picture of a known format, or has more pixels than
            `PIXEL_LIMIT`.
    """
    image = _open(path, whole=False)
    return PictureFacts(stored_hw=(image.height, image.width), orientation=_orientation(image))


def load_upright_rgb(path: Path) -> Image.Image:
    """Load a picture as upright RGB.

    Grey, 1-bit, palette and CMYK pictures are converted as Pillow does; 16-bit grey keeps its upper eight
    bits; transparent pixels are laid on white; of several frames the first is taken.

    Args:
        path: Picture file.

    Returns:
        A picture of mode `RGB`, turned by its EXIF orientation.

    Raises:
        DataFormatError: If the file is missing, is no picture of a known format, is truncated or broken,
            has more pixels than `PIXEL_LIMIT`, or has float pixels.
    """
    image = open_whole(path)
    _refuse_float(image, path)
    orientation = _orientation(image)
    upright = _convert_to_rgb(image)
    return upright.transpose(TURNS[orientation]) if orientation in TURNS else upright


def open_whole(path: Path) -> Image.Image:
    """Open a picture and load all its pixels, as stored.

    Args:
        path: Picture file.

    Returns:
        The loaded picture in its own mode, not turned.

    Raises:
        DataFormatError: If the file is missing, is no picture of a known format, is truncated or broken,
            or has more pixels than `PIXEL_LIMIT`.
    """
    return _open(path, whole=True)


def _open(path: Path, *, whole: bool) -> Image.Image:
    """Open a picture, with its pixels or without.

    Raises:
        DataFormatError: As `open_whole` and `read_picture_header` say.
    """
    if not path.is_file():
        found = "is not a file" if path.exists() else "does not exist"
        raise DataFormatError(f"Cannot open picture: {path} {found}. Restore it or take it off the list.")
    try:
        with Image.open(path, formats=PICTURE_FORMATS) as image:
            if image.width * image.height > PIXEL_LIMIT:
                raise DataFormatError(_bomb_message(path, f"{image.width} x {image.height} pixels"))
            if not whole:
                _orientation(image)  # read while the file is open
                return image
            image.load()
            return image.copy() if image.format == "GIF" else image
    except DataFormatError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataFormatError(_bomb_message(path, str(error))) from error
    except UnidentifiedImageError as error:
        known = ", ".join(PICTURE_FORMATS)
        raise DataFormatError(f"Cannot read picture: {path} is broken or not one of {known}. Replace it.") from error
    except Exception as error:  # decoders of broken files raise whatever they stumble over
        raise DataFormatError(
            f"Cannot read picture: {path} is truncated or broken ({error or type(error).__name__}). "
            "Fetch the file again or take it off the list."
        ) from error


def _convert_to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode but float to RGB, transparent pixels on white."""
    if image.mode in SIXTEEN_BIT_MODES:
        grey = (np.clip(np.asarray(image).astype(np.int64), 0, 65535) >> 8).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _refuse_float(image: Image.Image, path: Path) -> None:
    """Refuse pixels without a fixed range.

    Raises:
        DataFormatError: If the pixels are floats.
    """
    if image.mode == "F":
        raise DataFormatError(
            f"Cannot show picture: {path} has float pixels, whose range is unknown. Save it with 8 bits a channel."
        )


def _orientation(image: Image.Image) -> int:
    """Read the EXIF orientation; 1 where the file has none, an unknown one, or broken EXIF data."""
    try:
        value = image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:  # broken EXIF data does not make a picture unreadable
        return 1
    return value if isinstance(value, int) and value in TURNS else 1


def _bomb_message(path: Path, found: str) -> str:
    """Say that a picture is too large to open."""
    return (
        f"Picture too large, maybe a decompression bomb: {path} has {found}; "
        f"expected at most {PIXEL_LIMIT} pixels. Scale it down or take it off the list."
    )
