"""Captions to tokens: a stated tokenizer in Python, or the PTB tokenizer that needs Java.

In: captions as text. Out: lower-case tokens without punctuation, joined by single blanks, as the
scorers of pycocoevalcap expect them. Both drop the punctuation that pycocoevalcap drops.
"""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from headimpact.core.errors import MissingExtraError, RunFailedError
from headimpact.core.registry import Registry
from headimpact.evaluation.java import NO_JAVA, find_java, package_folder, run_java

PUNCTUATION = frozenset(
    ["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"]
)
"""Tokens dropped. Brackets stay, as there: lower-casing comes first and makes them `-lrb-`."""

TOKENIZERS = Registry(
    "tokenizer",
    {
        "python": "headimpact.evaluation.tokenizers:tokenize_python",
        "ptb": "headimpact.evaluation.tokenizers:tokenize_ptb",
    },
)
"""`python` needs nothing else and is the default; `ptb` needs Java and matches published scores."""

_CHARACTERS = str.maketrans(
    {
        "\u201c": '"',
        "\u201d": '"',
        "\u2018": "`",
        "\u2019": "'",
        "\u2026": "...",
        "\u2013": "--",
        "\u2014": "--",
        "\u00bd": "1/2",
        "\u00bc": "1/4",
    }
)
_ABBREVIATIONS = (
    "mr|mrs|ms|dr|st|etc|jr|sr|vs|inc|co|ltd|mt|ft|ave|blvd|rd|no|prof|gen|gov|rev|sgt|capt|lt|col|corp|dept|est"
)
_SPLIT_WORDS = {
    "cannot": "can not",
    "gonna": "gon na",
    "wanna": "wan na",
    "gimme": "gim me",
    "lemme": "lem me",
    "gotta": "got ta",
    "'tis": "'t is",
    "'twas": "'t was",
}
_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_TOKEN = re.compile(
    rf"""
      https?://\S+ | www\.\S+ | [\w.+-]+@[\w-]+\.[\w.]+       # addresses stay whole
    | (?:{_ABBREVIATIONS})\.(?!\w)                  # mr. st. etc.
    | (?:[^\W\d_]\.){{2,}} | (?:[^\W\d_]\.)+[^\W\d_](?!\w)    # u.s. p.m. e.g.
    | '(?:tis|twas)\b | '\d0s\b | 'n'\B                      # 'tis, the '90s, rock 'n' roll
    | \d+(?:[.,:]\d+)+ | \d+/\d+                              # 3.5 1,000 10:30 1/2
    | [^\W_]+(?:(?:[-_/&']|(?<!\d)\.)[^\W\d_][^\W_]*|[-_/&][^\W_]+)*  # words, also with hyphens or an apostrophe
    | -{{2,}} | \.{{2,}} | [!?]{{2,}} | '' | \S               # everything else is a token by itself
    """,
    re.VERBOSE,
)
_CLITIC = re.compile(r"^(.+?)(n't|'s|'m|'d|'re|'ve|'ll)$")


@runtime_checkable
class Tokenizer(Protocol):
    """Turns captions into tokens joined by blanks, one line per caption."""

    def __call__(self, captions: Sequence[str], /) -> list[str]:
        """Tokenise captions in order."""
        ...


def tokenize_python(captions: Sequence[str]) -> list[str]:
    """Tokenise like the PTB tokenizer, without Java.

    Lower-cases; splits clitics (`man 's`, `do n't`, `can not`); keeps hyphenated words, numbers, addresses and
    common abbreviations whole; names brackets (`-lrb-`); drops `PUNCTUATION`. How far the scores move against
    the PTB tokenizer on COCO captions is measured in the tests.

    Args:
        captions: Captions in any case, with punctuation.

    Returns:
        Tokens joined by single blanks, one text per caption; empty where nothing but punctuation was there.

    Source: imitates edu.stanford.nlp.process.PTBTokenizer 3.4.1 with -lowerCase and the punctuation list of
        pycocoevalcap 1.2, tokenizer/ptbtokenizer.py.

    Example:
        >>> tokenize_python(["A man's dog doesn't like the black-and-white cat."])
        ["a man 's dog does n't like the black-and-white cat"]
    """
    return [" ".join(_tokens(caption)) for caption in captions]


def tokenize_ptb(captions: Sequence[str]) -> list[str]:
    """Tokenise with the Stanford PTB tokenizer that pycocoevalcap brings; needs Java.

    The same jar, flags and punctuation list as pycocoevalcap's `PTBTokenizer`, read as UTF-8 and without its
    temporary file inside the installed package.

    Args:
        captions: Captions in any case, with punctuation; line breaks count as blanks.

    Returns:
        Tokens joined by single blanks, one text per caption.

    Raises:
        MissingExtraError: If there is no `java` on the path.
        RunFailedError: If the tokenizer fails or returns another number of lines.

    Source: pycocoevalcap 1.2, tokenizer/ptbtokenizer.py.
    """
    if not captions:
        return []
    if find_java() is None:
        raise MissingExtraError(f"Tokenizer 'ptb' needs Java: {NO_JAVA}, or use the tokenizer 'python'.")
    lines = [" ".join(caption.split()) for caption in captions]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "captions.txt"
        source.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="replace")
        options = ["-preserveLines", "-lowerCase", "-encoding", "UTF-8", str(source)]
        program = ["-cp", str(_ptb_jar()), "edu.stanford.nlp.process.PTBTokenizer"]
        found = run_java([*program, *options], needed_by="Tokenizer 'ptb'").split("\n")[: len(lines)]
    if len(found) != len(lines):
        raise RunFailedError(
            f"Tokenizer 'ptb' failed: {len(lines)} captions in, {len(found)} lines out. Check the Java installation, "
            "or use the tokenizer 'python'."
        )
    return [" ".join(token for token in line.split() if token not in PUNCTUATION) for line in found]


def _ptb_jar() -> Path:
    """Find the jar inside the installed pycocoevalcap, without importing it.

    Raises:
        MissingExtraError: If it is not there.
    """
    folder = package_folder("pycocoevalcap.tokenizer")
    found = sorted(folder.glob("stanford-corenlp-*.jar")) if folder else []
    if found:
        return found[0]
    raise MissingExtraError(
        "Tokenizer 'ptb' needs the Stanford jar of pycocoevalcap, which was not found. "
        "Install it again with: pip install --force-reinstall pycocoevalcap"
    )


def _tokens(caption: str) -> list[str]:
    """Split one caption."""
    found: list[str] = []
    for match in _TOKEN.finditer(caption.translate(_CHARACTERS).lower()):
        found.extend(_split(match.group()))
    return [token for token in found if token not in PUNCTUATION and token != '"']


def _split(token: str) -> list[str]:
    """Split clitics and fused words off one token, and name brackets."""
    if token in _SPLIT_WORDS:
        return _SPLIT_WORDS[token].split()
    clitic = _CLITIC.match(token)
    if clitic:
        return [*_split(clitic.group(1)), clitic.group(2)]
    if set(token) <= {".", "-"} and len(token) > 1:
        return []
    return [_BRACKETS.get(token, token)]
