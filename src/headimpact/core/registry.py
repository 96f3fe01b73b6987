"""Tables from a name to code that is imported only when it is asked for."""

import difflib
import importlib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from headimpact.core.errors import UnknownNameError


class Registry(Mapping[str, str]):
    """A table `name -> "module:attribute"`; importing the table imports none of its entries.

    Iterating gives the names in the order of the table, so lists in help texts keep their order.
    """

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        """Make a table.

        Args:
            kind: What a name stands for, as used in messages ("score", "metric").
            entries: Name to `"package.module:attribute"`.
        """
        self.kind = kind
        self._entries = MappingProxyType(dict(entries))

    def __getitem__(self, name: str) -> str:
        """Give the path behind a name without importing it.

        Raises:
            UnknownNameError: If the name is not in the table.
        """
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownNameError(unknown_name_message(self.kind, name, self._entries)) from None

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names in table order."""
        return iter(self._entries)

    def __len__(self) -> int:
        """Count the names."""
        return len(self._entries)

    def load(self, name: str) -> Any:
        """Import and return what a name stands for.

        Raises:
            UnknownNameError: If the name is not in the table.
        """
        module, _, attribute = self[name].partition(":")
        return getattr(importlib.import_module(module), attribute)


def unknown_name_message(kind: str, name: str, known: Iterable[str]) -> str:
    """Say that a name is unknown, with the nearest known ones first.

    Example:
        >>> unknown_name_message("score", "head_imapct", ["head_impact", "auroc"])
        "Unknown score 'head_imapct'. Did you mean 'head_impact'? Known: head_impact, auroc."
    """
    names = list(known)
    return f"Unknown {kind} {name!r}.{near_names_hint(name, names)} Known: {', '.join(names)}."


def near_names_hint(name: str, known: Iterable[str]) -> str:
    """Ask whether one of the nearest known names was meant; empty where none is near.

    Example:
        >>> near_names_hint("head_imapct", ["head_impact", "auroc"])
        " Did you mean 'head_impact'?"
    """
    near = difflib.get_close_matches(name, list(known), n=2, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
