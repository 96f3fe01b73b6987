"""Find the licences that a user names among those of a list."""

import re
from collections.abc import Mapping, Sequence

from headimpact.core.errors import UnknownNameError
from headimpact.core.registry import unknown_name_message

_CREATIVE_COMMONS = re.compile(r"creativecommons\.org/licenses/([a-z-]+)/([0-9.]+)")


def find_licences(licences: Mapping[str, tuple[str, str]], wanted: Sequence[str]) -> frozenset[str]:
    """Give the ids of the licences that are named.

    Args:
        licences: Licence id to name and address.
        wanted: Ids, names, or short forms of Creative Commons licences, in any case.

    Returns:
        Ids of all that are meant by one of the words.

    Raises:
        UnknownNameError: If a word names no licence.

    Example:
        >>> listed = {"4": ("By", "http://creativecommons.org/licenses/by/2.0/"), "7": ("No known", "")}
        >>> sorted(find_licences(listed, ["CC-BY-2.0", "no known"]))
        ['4', '7']
    """
    names: dict[str, set[str]] = {}
    for licence_id, (name, address) in licences.items():
        for word in filter(None, (licence_id, name, short_form(address))):
            names.setdefault(word.lower(), set()).add(licence_id)
    for word in wanted:
        if word.lower() not in names:
            known = [short_form(address) or name for name, address in licences.values()]
            raise UnknownNameError(unknown_name_message("licence", word, known))
    return frozenset(one for word in wanted for one in names[word.lower()])


def short_form(address: str) -> str:
    """Give the short form of a Creative Commons licence by its address; nothing for others.

    Example:
        >>> short_form("http://creativecommons.org/licenses/by-nc-sa/2.0/")
        'cc-by-nc-sa-2.0'
    """
    found = _CREATIVE_COMMONS.search(address)
    return f"cc-{found.group(1)}-{found.group(2)}" if found else ""
