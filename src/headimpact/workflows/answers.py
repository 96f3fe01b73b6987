"""What a command says at its end: results to stdout, as text or as JSON."""

import json
import sys
from collections.abc import Mapping
from typing import Any


def print_answer(lines: list[str], content: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a command's answer.

    Args:
        lines: The answer for people.
        content: The same for programs, JSON-serialisable.
        as_json: Print `content` instead of `lines`.
    """
    text = json.dumps(content, indent=1, ensure_ascii=False) if as_json else "\n".join(lines)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
