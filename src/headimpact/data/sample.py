"""One picture with its key objects and captions: validated value objects that load on demand."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from headimpact.core.errors import DataFormatError
from headimpact.core.shapes import ObjectMask
from headimpact.data.closed_questions import ClosedQuestion
from headimpact.data.masks import MaskSource, unite_masks
from headimpact.data.origins import CaptionOrigin, MaskOrigin
from headimpact.data.pictures import load_upright_rgb, turn_mask, upright_size


@dataclass(frozen=True)
class KeyObject:
    """An object that the caption should be about.

    Attributes:
        category: Its category, in the words of the data set.
        names: Words that count as naming it, the category first.
        mask: Its pixels, decoded when asked for.
        origin: How models made the mask; None where they did not.
    """

    category: str
    names: tuple[str, ...]
    mask: MaskSource
    origin: MaskOrigin | None = None

    def __post_init__(self) -> None:
        """Check the names.

        Raises:
            DataFormatError: If the category is empty or is not the first name.
        """
        if not self.category or self.names[:1] != (self.category,):
            raise DataFormatError(
                f"Key object without a name: category {self.category!r}, names {list(self.names)}; "
                "expected the category as the first name."
            )


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One picture, the mask of what matters in it, and what is said about it.

    Attributes:
        image_id: Identifier, unique in its data set.
        image_path: Picture file.
        size_hw: Height and width of the upright picture (after EXIF turning).
        key_objects: At least one.
        captions: At least one, without stray blanks or control characters.
        captions_original: The captions as they were given, where the data set keeps them; not cleaned.
        split: Name of the split, or None where the folder has no splits.
        prompt: The task's prompt, or None.
        licence: Licence of the picture, or None.
        orientation: EXIF orientation of the picture file, 1 to 8.
        caption_origin: How a model made the captions; None where it did not.
        categories: Categories of all annotated objects; None where the folder lists the key objects alone.
        questions: Closed questions about it; empty until they are read (`formats.questions`).
    """

    image_id: str
    image_path: Path
    size_hw: tuple[int, int]
    key_objects: tuple[KeyObject, ...]
    captions: tuple[str, ...]
    captions_original: tuple[str, ...] = ()
    split: str | None = None
    prompt: str | None = None
    licence: str | None = None
    orientation: int = 1
    caption_origin: CaptionOrigin | None = None
    categories: tuple[str, ...] | None = None
    questions: tuple[ClosedQuestion, ...] = ()

    def __post_init__(self) -> None:
        """Check that the sample says something and its masks fit.

        Raises:
            DataFormatError: If there is no key object or caption, or a mask has neither the stored nor the
                upright size of the picture.
        """
        if not self.key_objects or not self.captions:
            raise DataFormatError(
                f"Empty sample {self.image_id!r}: {len(self.key_objects)} key objects, {len(self.captions)} captions; "
                "expected at least one of each."
            )
        for key_object in self.key_objects:
            if key_object.mask.size_hw not in {self.stored_hw, self.size_hw}:
                raise DataFormatError(
                    f"Mask of another size in sample {self.image_id!r}: mask {key_object.mask.size_hw}, "
                    f"picture {self.size_hw} (height, width). Store the mask in the picture's size."
                )

    @property
    def stored_hw(self) -> tuple[int, int]:
        """Height and width of the picture as stored, before turning."""
        return upright_size(self.size_hw, self.orientation)

    @property
    def names(self) -> tuple[str, ...]:
        """All words that count as naming a key object, without repeats."""
        return tuple(dict.fromkeys(name for key_object in self.key_objects for name in key_object.names))

    def load_image(self) -> Image.Image:
        """Load the picture as upright RGB.

        Raises:
            DataFormatError: If the file cannot be read any more or has changed its size.
        """
        image = load_upright_rgb(self.image_path)
        if (image.height, image.width) != self.size_hw:
            raise DataFormatError(
                f"Picture has changed since the folder was checked: {self.image_path} was {self.size_hw}, "
                f"is {(image.height, image.width)} (height, width). Run again."
            )
        return image

    def load_mask(self) -> ObjectMask:
        """Load the union of the key objects' masks in the frame of the upright picture.

        Raises:
            DataFormatError: If a mask file cannot be read any more or has changed its size.
        """
        return unite_masks([self.upright_mask(key_object.mask) for key_object in self.key_objects])

    def upright_mask(self, mask: MaskSource) -> ObjectMask:
        """Decode a mask of this picture in the frame of the upright picture.

        A mask of the stored size turns with the picture; one of the upright size stays. Where both sizes
        are the same (a square picture, one turned by 180 degrees or mirrored) the mask counts as stored.

        Args:
            mask: A mask of this picture.

        Returns:
            Bool mask `[height, width]` of `size_hw`.

        Raises:
            DataFormatError: If a mask file cannot be read any more or has changed its size.
        """
        decoded: np.ndarray = mask.decode()
        return turn_mask(decoded, self.orientation) if mask.size_hw == self.stored_hw else decoded
