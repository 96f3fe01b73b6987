"""Turns tyro's framed complaint about a command line into sentences that say what was given and what was expected."""

import dataclasses
import re
from collections.abc import Sequence

from headimpact.core.registry import near_names_hint

KINDS = {
    "INT": "a whole number",
    "FLOAT": "a number",
    "[INT [INT ...]]": "whole numbers",
    "[FLOAT [FLOAT ...]]": "numbers",
}
"""How tyro calls the kind of a value, in words."""


def explain_usage(box: str, words: Sequence[str], config_class: type) -> str:
    """Say in sentences what is wrong with a command line.

    Args:
        box: What tyro printed.
        words: What followed the command on the line.
        config_class: Dataclass of the command, for the options that it has.

    Returns:
        Sentences on one line.
    """
    said = []
    for section in _sections(box):
        text = " ".join(" ".join(section).split())
        if text.startswith("Missing from"):
            said.append(f"Missing: {', '.join(_missing(section[1:]))}.")
        elif text.startswith("Unrecognized options:"):
            found = text.removeprefix("Unrecognized options:").replace(",", " ").split()
            said.append(_unrecognised(found, words, config_class))
        elif text.startswith("Error parsing"):
            said.append(_wrong_value(text, box))
        elif text.startswith("Missing value"):
            name = text.split("'")[1]
            said.append(f"{name} has no value; expected one.")
    return " ".join(said)


def _sections(box: str) -> list[list[str]]:
    """Take the frame, of lines or of hyphens, and the title away and split at the rules; rows keep their indent."""
    sections: list[list[str]] = [[]]
    for row in re.sub(r"\x1b\[[0-9;]*m", "", box).splitlines()[1:]:
        content = row.strip("│╰╯").rstrip()
        if content and not content.strip(" ─-"):
            sections.append([])
        elif content:
            sections[-1].append(content)
    return sections


def _missing(rows: Sequence[str]) -> list[str]:
    """List the options that are missing, and of words without a flag what they mean."""
    indent = min(len(row) - len(row.lstrip()) for row in rows)
    found: list[list[str]] = []
    for row in rows:
        if len(row) - len(row.lstrip()) == indent:
            found.append([row.strip()])
        else:
            found[-1].append(row.strip())
    texts = [(name, " ".join(help_text).removesuffix("(required)").strip(" .")) for name, *help_text in found]
    return [name if name.startswith("-") or not text else f"{name} ({text})" for name, text in texts]


def _unrecognised(found: Sequence[str], words: Sequence[str], config_class: type) -> str:
    """Name options that the command does not have, with near ones, and words that belong to no option."""
    known = [field.name.replace("_", "-") for field in dataclasses.fields(config_class)]
    said, after_unknown = [], False
    for word in found:
        if word.startswith("-"):
            flag = word.partition("=")[0]
            near = re.sub(r"'(.+?)'", r"--\1", near_names_hint(flag.lstrip("-"), known))
            said.append(f"Unknown option {flag}.{near}")
            after_unknown = True
        elif not after_unknown:
            before = words[words.index(word) - 1] if word in words[1:] else ""
            is_flag = before.startswith("--") and before[2:] in known
            said.append(f"Unexpected {word!r}{f' after {before}, which takes no value' if is_flag else ''}.")
    return " ".join(said)


def _wrong_value(text: str, box: str) -> str:
    """Say which option has a value of the wrong kind."""
    name = text.split()[2].rstrip(":")
    values = re.findall(r"'([^']*)'", text)
    kind = re.search(rf"{re.escape(name)} ([A-Z\[][^│\n]*?) *│?\n", box)
    if not values or kind is None:
        return f"{text.rstrip('.')}."
    return f"{name} is {values[-1]!r}; expected {KINDS.get(kind[1], kind[1])}."
