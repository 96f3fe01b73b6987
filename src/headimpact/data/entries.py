"""What a reader of a format hands over before any picture is opened: entries and the faults found so far."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headimpact.data.masks import MaskSource, SizeHW
from headimpact.data.origins import CaptionOrigin, MaskOrigin

Frames = tuple[SizeHW, ...]
"""Sizes that a mask of a picture may have; empty where the picture could not be read."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a data folder.

    Attributes:
        file: File that holds it, as written in the folder.
        where: Place in the file: an id or a line; may be empty.
        what: What is wrong, what was expected, what to do.
        image_id: Picture that is at fault alone, so that leaving it out would help; None for all others.
    """

    file: str
    where: str
    what: str
    image_id: str | None = None

    def __str__(self) -> str:
        """Give one line: file, place, fault."""
        return ": ".join(part for part in (self.file, self.where, self.what) if part)


@dataclass(frozen=True)
class ReadMask:
    """A mask that has been read once.

    Attributes:
        source: Where to decode it from again.
        area: Its pixels, counted.
    """

    source: MaskSource
    area: int


@dataclass(frozen=True, kw_only=True)
class ObjectEntry:
    """An annotated object as listed.

    Attributes:
        category: Category in the words of the folder.
        names: Words that count as naming it, the category first.
        where: Place in the list, for messages.
        read_mask: Reads the mask given the frames it may be in; raises DataFormatError.
        is_crowd: Whether it stands for a group whose members are not told apart.
        is_key: Whether the folder calls it a key object; None where it does not say.
        file: File that lists it, for messages; the picture's where left out.
        origin: How models made its mask; None where they did not.
    """

    category: str
    names: tuple[str, ...]
    where: str
    read_mask: Callable[[Frames], ReadMask]
    is_crowd: bool = False
    is_key: bool | None = None
    file: str | None = None
    origin: MaskOrigin | None = None


@dataclass(frozen=True, kw_only=True)
class PictureEntry:
    """A picture as listed, with everything that the lists say about it.

    Attributes:
        image_id: Identifier.
        path: Picture file, inside the folder.
        file: File that lists it, for messages.
        where: Place in that file, for messages.
        objects: Annotated objects.
        captions: Cleaned captions.
        captions_original: The captions as they were given, where the folder keeps them.
        split: Name of the split, if any.
        prompt: The task's prompt, if any.
        licence: Licence, if known.
        claimed_hw: Size that the list gives, if it must.
        caption_origin: How a model made the captions; None where it did not.
        categories: Categories of everything annotated; None where the list holds the key objects alone.
    """

    image_id: str
    path: Path
    file: str
    where: str
    objects: tuple[ObjectEntry, ...] = ()
    captions: tuple[str, ...] = ()
    captions_original: tuple[str, ...] = ()
    split: str | None = None
    prompt: str | None = None
    licence: str | None = None
    claimed_hw: SizeHW | None = None
    caption_origin: CaptionOrigin | None = None
    categories: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class FolderContent:
    """All that a reader found.

    Attributes:
        entries: Pictures in the order of their ids.
        faults: Faults of the lists themselves.
        info: What the folder says of itself.
    """

    entries: tuple[PictureEntry, ...]
    faults: tuple[Fault, ...] = ()
    info: Mapping[str, Any] = field(default_factory=dict)


def id_order(image_id: str) -> tuple[int, int, str]:
    """Order picture ids: whole numbers by value, then everything else by text.

    Example:
        >>> sorted(["b", "10", "9"], key=id_order)
        ['9', '10', 'b']
    """
    if image_id.isascii() and image_id.isdigit() and len(image_id) <= 18:
        return 0, int(image_id), image_id
    return 1, 0, image_id
