"""What models made survives its line of JSON."""

import json

import pytest

from headimpact.annotation.describing import MadeDescription
from headimpact.annotation.masks_from_text import LeftOut, MadeMask, PictureMasks
from headimpact.annotation.phrases import Phrase
from headimpact.annotation.records import caption_record, masks_record, read_caption, read_masks
from headimpact.core.errors import DataFormatError
from headimpact.data.masks import RleMask
from headimpact.data.origins import CaptionOrigin
from tests.builders import mask

MADE = MadeMask(Phrase("dog", 2, 5), (0.5, 1.0, 3.25, 3.0), 0.375, None, RleMask.from_mask(mask("..##", ".#.#")))
RESULTS = (
    PictureMasks((), (LeftOut("no_phrase"),)),
    PictureMasks((MADE,), (LeftOut("not_found", Phrase("cat", 8, 11)),)),
)
DESCRIPTION = MadeDescription(
    text="A \N{SNOWMAN}.", is_complete=True, model="vlm", revision="1a", adapter=None, prompt="Say\n", max_new_tokens=5
)


def test_masks():
    line = json.loads(json.dumps(masks_record("7", (2, 4), RESULTS, models=["a@1", "b"])))
    assert read_masks(line) == (MADE,)
    assert (line["image_id"], line["size"], line["models"]) == ("7", [2, 4], ["a@1", "b"])
    assert line["left_out"] == [
        {"caption": 0, "reason": "no_phrase", "phrase": None},
        {"caption": 1, "reason": "not_found", "phrase": "cat"},
    ]


def test_caption():
    line = json.loads(json.dumps(caption_record("7", DESCRIPTION)))
    assert read_caption(line) == (
        "A \N{SNOWMAN}.",
        CaptionOrigin(model="vlm@1a", prompt="Say\n", is_complete=True),
    )


@pytest.mark.parametrize("record", [{}, {"masks": [{}]}, {"masks": 7}], ids=str)
def test_broken_masks(record):
    with pytest.raises(DataFormatError, match=r"Broken line: .*--overwrite"):
        read_masks(record)


@pytest.mark.parametrize("record", [{}, {"caption": "A.", "model": 1, "prompt": "", "is_complete": True}], ids=str)
def test_broken_caption(record):
    with pytest.raises(DataFormatError, match=r"Broken line|Field 'caption_origin'"):
        read_caption(record)
