"""Choose the key objects of a picture by a simple rule."""

from collections.abc import Sequence

from headimpact.data.entries import ObjectEntry, ReadMask
from headimpact.data.synonyms import is_named

MaskedObject = tuple[ObjectEntry, ReadMask]


def choose_key_objects(objects: Sequence[MaskedObject], captions: Sequence[str]) -> list[MaskedObject]:
    """Choose which annotated objects the captions should be about.

    Where the folder marks key objects, those. Else the largest object that a caption names by its category
    or a synonym; else the largest. Crowds and objects without a pixel are passed over; sizes are counted
    pixels, not the `area` field; of two equally large ones the first listed is taken.

    Args:
        objects: Annotated objects with their masks, in the order of the list.
        captions: Captions of the picture.

    Returns:
        The key objects; empty where there is none. One without a pixel only where no other can be had.
    """
    if any(entry.is_key is not None for entry, _ in objects):
        return [(entry, mask) for entry, mask in objects if entry.is_key]
    single = [(entry, mask) for entry, mask in objects if not entry.is_crowd]
    visible = [(entry, mask) for entry, mask in single if mask.area]
    named = [(entry, mask) for entry, mask in visible if is_named(captions, entry.names)]
    candidates = named or visible or single
    return [max(candidates, key=lambda candidate: candidate[1].area)] if candidates else []
