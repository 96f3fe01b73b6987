"""Rows of words in the report: the best head over each kind, beside chance; none where there is nothing to tell."""

import dataclasses

import numpy as np

from headimpact.report.sections.several_scores import several_scores
from headimpact.report.sections.words import word_section
from tests.unit.report.builders import head_scores
from tests.unit.report.test_several_scores import renamed


def run(*, function=0.1):
    """Make a run whose best head, 0 of layer 1, has 0.6 over key words and `function` over function words."""
    others = {}
    for kind, value in (("key_words", 0.6), ("function_words", function)):
        own = np.full((3, 4), 0.06)
        own[1, 0] = value
        others[f"head_impact_{kind}"] = renamed(head_scores(own=own), f"head_impact_{kind}")
    return dataclasses.replace(head_scores(), others=others)


def test_the_best_head_over_each_kind():
    section = word_section(run())
    assert section is not None
    assert section.findings[0].startswith(
        "Head 0 of layer 1, the best over all rows, has a Head Impact of 0.60 over words that name the key object and "
        "0.10 over function words (negative control)."
    )
    cells = {row.name: row.cells for row in section.tables[0].rows}
    rows = {name: [cell.value for cell in found] for name, found in cells.items()}
    assert list(rows) == ["all words", "words that name the key object", "function words (negative control)"]
    assert rows["all words"][:3] == ["40 of 40", "0.500", "0.050"]
    assert rows["words that name the key object"][:3] == ["40 of 40", "0.600", "0.050"]
    assert cells["words that name the key object"][-1].range == "1 of 12 beyond chance"
    assert {len(cells) + 1 for cells in rows.values()} == {len(section.tables[0].head)}


def test_a_word_against_its_own_object_and_the_others():
    found = run()
    for kind, value in (("own_object", 0.55), ("other_objects", 0.2)):
        own = np.full((3, 4), 0.06)
        own[1, 0] = value
        part = renamed(head_scores(own=own), f"head_impact_{kind}")
        counts = {**part.counts, "with_score": 7}
        found.others[f"head_impact_{kind}"] = dataclasses.replace(part, counts=counts)
    section = word_section(found)
    assert section is not None
    assert section.findings[1] == (
        "Where a word names one of several key objects (in 7 of 40 pictures), that head has 0.55 against the named "
        "object and 0.20 against the others of the same picture."
    )
    cells = [[cell.value for cell in row.cells[:2]] for row in section.tables[0].rows[-2:]]
    assert cells == [["7 of 40", "0.550"], ["7 of 40", "0.200"]]
    empty = renamed(head_scores(own=np.full((3, 4), np.nan)), "head_impact_own_object")
    section = word_section(dataclasses.replace(run(), others={**run().others, "head_impact_own_object": empty}))
    assert section is not None
    assert "pictures with several key objects" in section.findings[1]
    assert len(section.tables[0].rows) == 3


def test_pictures_without_such_words_leave_dashes():
    section = word_section(run(function=np.nan))
    assert section is not None
    assert "\u2013 over function words" in section.findings[0]


def test_a_run_without_words_has_no_such_section():
    assert word_section(head_scores()) is None
    assert several_scores(run(), None) is None
    assert word_section(dataclasses.replace(run(), values=head_scores(own=np.full((3, 4), np.nan)).values)) is None
