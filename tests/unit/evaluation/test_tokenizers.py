import os
import shutil
import stat

import pytest

from headimpact.core.errors import MissingExtraError, RunFailedError, UnknownNameError
from headimpact.evaluation.tokenizers import PUNCTUATION, TOKENIZERS, tokenize_ptb, tokenize_python
from tests.unit.evaluation.makers import golden

CASES = {
    "clitics": ("A man's dog doesn't like it.", "a man 's dog does n't like it"),
    "more clitics": ("I'm you're they've he'd she'll can't won't", "i 'm you 're they 've he 'd she 'll ca n't wo n't"),
    "fused words": ("cannot gonna wanna gimme lemme gotta", "can not gon na wan na gim me lem me got ta"),
    "possessive plural": ("the dogs' bowl", "the dogs bowl"),
    "brackets are named": ("(red) [blue] {x}", "-lrb- red -rrb- -lsb- blue -rsb- -lcb- x -rcb-"),
    "hyphens stay, dashes go": ("a black-and-white t-shirt -- new - old", "a black-and-white t-shirt new old"),
    "quotes go": ("of \"two\" 'things' ``q''", "of two things q"),
    "typographic quotes": ("\u201ccurly\u201d it\u2019s \u2014 dash \u2026 end", "curly it 's dash end"),
    "numbers": ("$5 100% #1 1/2 3.5 1,000 10:30", "$ 5 100 % # 1 1/2 3.5 1,000 10:30"),
    "abbreviations": ("Mr. Fox at 5 p.m. on Main St. in the U.S.", "mr. fox at 5 p.m. on main st. in the u.s."),
    "no blank after comma": ("a dog ,a cat .and a bird", "a dog a cat and a bird"),
    "end punctuation": ("wow... end. yes! no? so: a; b,", "wow end yes no so a b"),
    "inner period": ("sentence one.Another one", "sentence one.another one"),
    "doubled marks stay": ("hello!! what?!", "hello !! what ?!"),
    "address": ("see www.site.com or foo@bar.com", "see www.site.com or foo@bar.com"),
    "apostrophe inside": ("o'clock ma'am rock 'n' roll", "o'clock ma'am rock 'n' roll"),
    "accents": ("Caf\u00e9 na\u00efve", "caf\u00e9 na\u00efve"),
    "blanks and breaks": ("  a\tdog\n runs ", "a dog runs"),
    "nothing": ("", ""),
    "only punctuation": (" . , !", ""),
}
needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="no java on the path")


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES.keys())
def test_python_tokens(text, expected):
    assert tokenize_python([text]) == [expected]


@needs_java
def test_ptb_agrees_on_every_case_of_the_table():
    texts = [text for text, _ in CASES.values()]
    assert tokenize_ptb(texts) == [expected for _, expected in CASES.values()]


@needs_java
def test_python_equals_ptb_on_the_golden_captions():
    predictions, _ = golden()
    texts = [text for p in predictions for text in (p.prediction, *p.references)]
    differing = [
        text
        for text, ours, theirs in zip(texts, tokenize_python(texts), tokenize_ptb(texts), strict=True)
        if ours != theirs
    ]
    assert len(texts) > 2000
    assert differing == []


@needs_java
def test_ptb_equals_pycocoevalcaps_wrapper(capfd):
    from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS, PTBTokenizer

    predictions, _ = golden()
    captions = {p.image_id: [{"caption": text} for text in p.references] for p in predictions[:40]}
    theirs = PTBTokenizer().tokenize(captions)
    capfd.readouterr()
    ours = tokenize_ptb([text for p in predictions[:40] for text in p.references])
    assert ours == [line for p in predictions[:40] for line in theirs[p.image_id]]
    assert set(PUNCTUATIONS) == PUNCTUATION
    assert capfd.readouterr() == ("", "")


@needs_java
def test_ptb_keeps_empty_lines_in_place():
    assert tokenize_ptb(["", "a dog", "", "."]) == ["", "a dog", "", ""]
    assert tokenize_ptb([]) == []


def test_ptb_without_java_says_how_to_get_it(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingExtraError, match=r"no program 'java'.*use the tokenizer 'python'"):
        tokenize_ptb(["a dog"])


def test_ptb_with_a_broken_java_gives_its_words(monkeypatch, tmp_path):
    fake = tmp_path / "java"
    fake.write_text("#!/bin/sh\necho 'no such class' >&2\nexit 3\n")
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(RunFailedError, match="exit code 3 and said: no such class"):
        tokenize_ptb(["a dog"])


def test_unknown_tokenizer_names_the_known():
    with pytest.raises(UnknownNameError, match="Did you mean 'ptb'"):
        TOKENIZERS.load("ptbb")
