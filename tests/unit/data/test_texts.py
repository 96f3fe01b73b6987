"""Texts from files made harmless."""

import re
import sys

import pytest

from headimpact.data import texts
from headimpact.data.texts import clean_prompt, clean_text, is_clean


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("A dog.", "A dog.", id="clean"),
        pytest.param("  A dog. \n", "A dog.", id="outer-blanks"),
        pytest.param("A  dog", "A  dog", id="inner-blanks-stay"),
        pytest.param("A\r\n dog", "A dog", id="line-break"),
        pytest.param("\x1b[2JA dog\x00", "[2JA dog", id="escape"),
        pytest.param("A\u2028dog\u202e", "A dog", id="separator-and-direction"),
        pytest.param("A\ud800dog", "A dog", id="half-a-pair"),
        pytest.param("犬 🐕\u200d🦺 é", "犬 🐕\u200d🦺 é", id="other-writing-stays"),
        pytest.param(" \x00 ", "", id="nothing-left"),
    ],
)
def test_clean_text(text, expected):
    assert clean_text(text) == expected
    assert clean_text(expected) == expected
    clean_text(text).encode("utf-8")


def test_prompt_keeps_its_layout():
    assert clean_prompt("Look:\n\tWhat?\x1b\ud800 ") == "Look:\n\tWhat?   "


@pytest.mark.parametrize(("text", "expected"), [("a", True), ("", False), (" a", False), ("a\nb", False)])
def test_is_clean(text, expected):
    assert is_clean(text) is expected


def test_nothing_harmful_is_printable():
    """A printable text is not searched: no character of all there are may be harmful and printable."""
    harmful = re.compile(f"[{texts._HARMFUL}]")
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    found = harmful.findall(everything)
    assert len(found) > 2000
    assert not any(map(str.isprintable, found))
    assert all(clean_text(f"a{one}b") == "a b" for one in found)
