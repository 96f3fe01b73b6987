"""Refuses what an annotation file lists twice."""

from collections.abc import Hashable

from headimpact.core.errors import DataFormatError


class Repeats:
    """Where each thing of a list was met first."""

    def __init__(self) -> None:
        """Begin with an empty list."""
        self._places: dict[Hashable, str] = {}

    def refuse(self, thing: Hashable, place: str, what: str) -> None:
        """Note a thing, or refuse it where it was listed before.

        Args:
            thing: What is the same if it is the same thing.
            place: Place of this mention; no two mentions share one.
            what: The thing in words, for the message.

        Raises:
            DataFormatError: If it was noted at another place.
        """
        first = self._places.setdefault(thing, place)
        if first != place:
            raise DataFormatError(f"Duplicate entry: {what} is also in {first}. Leave one out.")
