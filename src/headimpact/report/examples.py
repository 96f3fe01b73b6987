"""The `examples/` folder of a scoring run: a few pictures with all heads' attention, so that a report needs no model.

Out goes a folder with `examples.json` (ids, texts, file names), `examples.safetensors` (`<n>.boxes`, `<n>.maps`, and
`<n>.sinks` where they were looked for), and for each picture `<n>.png` (thumbnail) and `<n>.mask.png` (key objects,
white on black).
"""

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

from headimpact.core.artifacts import atomic_folder, read_json, read_tensors, write_json, write_tensors
from headimpact.core.errors import DataFormatError
from headimpact.core.shapes import ObjectMask, TokenBoxes

SCHEMA = "examples/1"
THUMBNAIL_SIDE = 224
"""Longest side of a thumbnail in pixels."""

_JSON, _TENSORS = "examples.json", "examples.safetensors"


@dataclasses.dataclass(frozen=True)
class ExamplePicture:
    """One scored picture with what every head looked at.

    Attributes:
        image_id: Id in the data set.
        thumbnail: The EXIF-turned picture in RGB, its longest side at most `THUMBNAIL_SIDE`.
        mask: Key objects at the thumbnail's size.
        response: The text whose tokens looked.
        key_object: Names of the key objects, as shown to a reader.
        boxes: Each image token's rectangle in shares of width and height; no area for padding.
        maps: Attention to each image token, float16 or float32; NaN for a head that sees no image.
        sinks: Which image tokens are sinks; None where they were not looked for.
    """

    image_id: str
    thumbnail: Image.Image
    mask: ObjectMask
    response: str
    key_object: str
    boxes: TokenBoxes
    maps: Float[np.ndarray, "layers heads image_tokens"]
    sinks: Bool[np.ndarray, " image_tokens"] | None = None

    def __post_init__(self) -> None:
        """Check that the parts belong together.

        Raises:
            DataFormatError: If the thumbnail is too large or not RGB, or if the mask, boxes and maps do not fit.
        """
        width, height = self.thumbnail.size
        if self.thumbnail.mode != "RGB" or max(width, height) > THUMBNAIL_SIDE:
            given = f"thumbnail {self.thumbnail.mode} {width} x {height}"
            raise DataFormatError(_misfit(self, given, f"RGB up to {THUMBNAIL_SIDE} pixels"))
        if self.mask.shape != (height, width) or self.mask.dtype != np.bool_:
            raise DataFormatError(_misfit(self, f"mask {self.mask.dtype} {self.mask.shape}", f"bool {(height, width)}"))
        tokens = self.boxes.shape[0]
        if self.boxes.shape != (tokens, 4) or self.maps.ndim != 3 or self.maps.shape[2] != tokens:
            raise DataFormatError(
                _misfit(self, f"boxes {self.boxes.shape}, maps {self.maps.shape}", "as many map entries as boxes")
            )
        if self.sinks is not None and self.sinks.shape != (tokens,):
            raise DataFormatError(_misfit(self, f"sinks {self.sinks.shape}", "one for each box"))
        if self.maps.dtype not in {np.dtype(np.float16), np.dtype(np.float32)}:
            raise DataFormatError(_misfit(self, f"maps of {self.maps.dtype}", "float16 or float32"))


def make_thumbnail(picture: Image.Image, mask: ObjectMask) -> tuple[Image.Image, ObjectMask]:
    """Shrink a picture and its mask to a thumbnail; small pictures keep their size.

    Args:
        picture: The EXIF-turned picture, any mode.
        mask: Key objects at the picture's size.

    Returns:
        RGB thumbnail with its longest side at most `THUMBNAIL_SIDE`, and the mask at its size. A mask that
        covers something still covers at least one pixel.

    Raises:
        DataFormatError: If mask and picture differ in size.
    """
    width, height = picture.size
    if mask.shape != (height, width):
        raise DataFormatError(
            f"Mask and picture differ in size: mask {mask.shape[1]} x {mask.shape[0]}, picture {width} x {height}. "
            "Pass the mask in the EXIF-turned picture's frame."
        )
    factor = min(1.0, THUMBNAIL_SIDE / max(width, height))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    if size == picture.size:
        return picture.convert("RGB"), mask.astype(np.bool_)
    shares = np.asarray(Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BOX))
    small = shares >= 0.5
    if not small.any():
        small = (shares > 0) & (shares == shares.max())
    return picture.convert("RGB").resize(size, Image.Resampling.LANCZOS), small


def write_examples(folder: Path, examples: Sequence[ExamplePicture], *, overwrite: bool = False) -> None:
    """Write example pictures, whole or not at all, with the same bytes for the same input.

    Args:
        folder: The folder to make, `examples/` of a scoring run.
        examples: Pictures in the order to show them; none is allowed.
        overwrite: Replace what is there.

    Raises:
        OutputInUseError: If `folder` already holds something and `overwrite` is off.
        RunFailedError: If the file system refuses.
    """
    with atomic_folder(folder, overwrite=overwrite) as room:
        tensors: dict[str, np.ndarray] = {}
        listed: list[dict[str, Any]] = []
        for index, example in enumerate(examples):
            name = f"{index:03d}"
            (room / f"{name}.png").write_bytes(png_bytes(example.thumbnail))
            (room / f"{name}.mask.png").write_bytes(png_bytes(Image.fromarray(example.mask)))
            tensors[f"{name}.boxes"] = example.boxes.astype(np.float32)
            tensors[f"{name}.maps"] = example.maps
            if example.sinks is not None:
                tensors[f"{name}.sinks"] = example.sinks.astype(np.uint8)
            texts = {"image_id": example.image_id, "key_object": example.key_object, "response": example.response}
            listed.append({"name": name, **texts})
        write_tensors(room / _TENSORS, tensors)
        write_json(room / _JSON, {"examples": listed}, schema=SCHEMA)


def read_examples(folder: Path) -> tuple[ExamplePicture, ...]:
    """Read the pictures that `write_examples` wrote, in its order.

    Args:
        folder: The `examples/` folder of a scoring run.

    Returns:
        The example pictures.

    Raises:
        DataFormatError: If a file is missing, unreadable, of another schema, or does not fit the others.
    """
    content = read_json(folder / _JSON, schema=SCHEMA)
    tensors = read_tensors(folder / _TENSORS)
    try:
        return tuple(_read_one(folder, entry, tensors) for entry in content["examples"])
    except (KeyError, TypeError, AttributeError) as error:
        raise DataFormatError(
            f"Broken examples folder: {folder} lacks {error}. Expected what `headimpact score` writes; score again."
        ) from error


def png_bytes(picture: Image.Image) -> bytes:
    """Encode a picture as PNG without any metadata."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _read_one(folder: Path, entry: dict[str, Any], tensors: dict[str, np.ndarray]) -> ExamplePicture:
    """Read one example; its files are named by its index, never by a text of the data set.

    Raises:
        DataFormatError: If its name is not its index, or a part is missing or does not fit.
    """
    name = entry["name"]
    if not (isinstance(name, str) and name.isdigit()):
        raise DataFormatError(f"Broken examples folder: {folder} names a file {name!r}, expected digits. Score again.")
    return ExamplePicture(
        image_id=str(entry["image_id"]),
        thumbnail=_open(folder / f"{name}.png").convert("RGB"),
        mask=np.asarray(_open(folder / f"{name}.mask.png").convert("L")) > 127,
        response=str(entry["response"]),
        key_object=str(entry["key_object"]),
        boxes=tensors[f"{name}.boxes"],
        maps=tensors[f"{name}.maps"],
        sinks=tensors[f"{name}.sinks"].astype(np.bool_) if f"{name}.sinks" in tensors else None,
    )


def _open(path: Path) -> Image.Image:
    """Read a small picture fully.

    Raises:
        DataFormatError: If it cannot be read or is larger than a thumbnail.
    """
    try:
        with Image.open(path) as picture:
            if max(picture.size) > THUMBNAIL_SIDE:
                raise DataFormatError(
                    f"Example picture too large: {path} is {picture.size}, expected up to {THUMBNAIL_SIDE}."
                )
            picture.load()
            return picture.copy()
    except OSError as error:
        raise DataFormatError(f"Cannot read example picture {path}: {error}. Score again to rewrite it.") from error


def _misfit(example: ExamplePicture, given: str, expected: str) -> str:
    """Say that parts of an example do not fit."""
    return f"Example picture {example.image_id!r} does not fit together: {given}; expected {expected}. Score again."
