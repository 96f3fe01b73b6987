"""The contact sheet: self-contained, texts escaped, nothing runs but its own script."""

import base64
import hashlib
import html
import json
import re

import numpy as np

from headimpact.data.masks import RleMask
from headimpact.data.sample import KeyObject, Sample
from headimpact.report.contact_sheet import Sheet, draw_sample, render_sheet
from tests.builders import picture, sample


def rendered(tmp_path, **fields):
    shown = draw_sample(sample(tmp_path, split="train", licence="By (http://a)", **fields))
    return render_sheet(Sheet(title="t", shown="s", pictures=(shown,), faults=("a <b> fault",)))


def test_nothing_is_loaded_and_nothing_foreign_runs(tmp_path):
    page = rendered(tmp_path)
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    (script,) = re.findall(r"<script>(.*)</script>", page, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert "default-src 'none'" in page
    assert not re.findall(r"\son\w+=", page)


def test_texts_are_escaped(tmp_path):
    evil = '"><script>alert(1)</script>'
    page = rendered(tmp_path, category=evil, captions=(evil,), image_id="1")
    assert "<script>alert" not in page
    (card,) = re.findall(r'data-categories="([^"]*)"', page)
    assert json.loads(html.unescape(card)) == [evil]
    assert "a &lt;b&gt; fault" in page


def test_a_picture_is_shown_with_its_mask_and_texts(tmp_path):
    shown = draw_sample(sample(tmp_path, captions=("One.", "Two."), split="train", licence="By (http://a)"))
    assert (shown.categories, shown.captions) == (("dog",), ("One.", "Two."))
    assert shown.note == "train \u00b7 covers 17% \u00b7 By"
    assert 'class="outline-over"' in shown.drawing
    assert "data:image/jpeg;base64," in shown.drawing


def test_a_turned_picture_is_shown_upright_with_its_mask(tmp_path):
    stored = np.zeros((3, 5), dtype=np.bool_)
    stored[0, 0] = True
    made = Sample(
        image_id="1",
        image_path=picture(tmp_path / "p.png", (3, 5), orientation=6),
        size_hw=(5, 3),
        key_objects=(KeyObject("dog", ("dog",), RleMask.from_mask(stored)),),
        captions=("A.",),
        orientation=6,
    )
    drawing = draw_sample(made).drawing
    assert 'viewBox="0 0 3 5"' in drawing
    assert 'd="M2 0h1M2 1h1M2 0v1M3 0v1"' in drawing


def test_the_filter_counts_pictures_by_category(tmp_path):
    pictures = tuple(
        draw_sample(sample(tmp_path, image_id=str(n), category=name)) for n, name in enumerate(("dog", "cat", "dog"))
    )
    assert Sheet(title="t", shown="s", pictures=pictures).categories == [("cat", 1), ("dog", 2)]
