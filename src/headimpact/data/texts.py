"""Make texts from files harmless: no control characters, no stray blanks."""

import re

_HARMFUL = r"\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff"
_RUN_OF_CONTROLS = re.compile(rf"[^\S\n]*[{_HARMFUL}][\s{_HARMFUL}]*")
_CONTROLS_BUT_LAYOUT = re.compile(rf"(?![\n\t])[{_HARMFUL}]")


def clean_text(text: str) -> str:
    r"""Strip stray blanks and replace control characters by a blank.

    Control characters are line breaks, escape sequences' first character, marks that turn the direction
    of writing, and halves of surrogate pairs: what breaks a line-based file or a terminal.

    Example:
        >>> clean_text(" A dog\r\non a\x1b[31m mat. ")
        'A dog on a [31m mat.'
    """
    if not text.isprintable():  # all that is harmful is not, and most texts are
        text = _RUN_OF_CONTROLS.sub(" ", text)
    return text.strip()


def clean_prompt(text: str) -> str:
    r"""Replace control characters by a blank but keep line breaks, tabs and outer blanks: they are meant.

    Example:
        >>> clean_prompt("Answer:\n\x00")
        'Answer:\n '
    """
    return _CONTROLS_BUT_LAYOUT.sub(" ", text)


def is_clean(text: str) -> bool:
    """Tell whether a text has something in it, no control character and no outer blank."""
    return bool(text) and clean_text(text) == text
