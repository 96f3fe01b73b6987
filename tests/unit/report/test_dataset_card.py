"""The data card: front matter that the hub reads, counts that are the tables', nothing that breaks out."""

import json
import re
import xml.etree.ElementTree as ET

import yaml

from headimpact.data.build.decisions import PICTURE_REASONS
from headimpact.data.build.statistics import DatasetStatistics
from headimpact.report.dataset_card import (
    MOST_CATEGORIES,
    area_rows,
    category_rows,
    front_matter,
    render_card,
    write_card,
)
from headimpact.report.figures.bars import render_bars

INFO = {
    "made_by": "headimpact 1, dataset build coco",
    "source": {"description": "COCO", "instances": "i.json", "captions": "c.json", "hashes": {"instances": "abc"}},
    "rule": {"named_weight": 0.4, "instances": "named"},
    "splits": {"train": 1.0},
    "seed": 3,
    "limit": None,
}


def statistics(**fields):
    values = {"pictures": 2, "decided": 5, "captions": 10, "words": 105, "splits": {"train": 2}, "info": INFO}
    counts = {"reasons": {"kept": 2, "crowd": 3}, "categories": {"dog": 2, "cat": 1}, "licences": {"By | <b>": 2}}
    return DatasetStatistics(**{**values, **counts, "questions": {"which (name)": 4, "count 1": 1}, **fields})


def test_front_matter_is_what_the_hub_reads():
    text = render_card(statistics())
    head = yaml.safe_load(text.split("---\n")[1])
    assert head == front_matter(statistics())
    assert head["license"] == "other"
    assert head["size_categories"] == ["n<1K"]
    assert front_matter(statistics(pictures=71_000))["size_categories"] == ["10K<n<100K"]


def test_a_card_says_what_the_counts_say():
    text = render_card(statistics())
    assert "2 pictures of 5 that were looked at" in text
    assert "| train | 2 |" in text
    assert f"| {PICTURE_REASONS['crowd']} | 3 |" in text
    assert "| `rule.named_weight` | 0.4 |" in text
    assert "| `seed` | 3 |" in text
    assert "`limit`" not in text
    assert "questions: 4 which, 1 count" in text
    assert "5.0 descriptions a picture, 10.5 words each" in text
    assert "not in this folder" not in text
    assert "not in this folder" in render_card(statistics(info={**INFO, "pictures": "reference"}))


def test_texts_of_a_data_set_do_not_break_out():
    text = render_card(statistics())
    assert "| By \\| &lt;b> | 2 |" in text
    assert "\n# x" not in render_card(statistics(info={**INFO, "source": {"description": "a\n# x"}}))


def test_a_card_speaks_only_of_what_is_there():
    plain = render_card(statistics(questions={}, info={}, licences={"(unknown)": 2}))
    assert [word for word in ("attribution.csv", "uestions", "annotations. Made", "_origin") if word in plain] == []
    assert yaml.safe_load(plain.split("---\n")[1])["license"] == "unknown"
    full = render_card(statistics(made={"masks": 2, "captions": 0}, has_attribution=True))
    assert "names its source: `attribution.csv`" in full
    assert "5 closed questions made from the annotations" in full
    assert "- masks made by models: 2 pictures" in full
    assert ("models made may be" in full, "a model wrote may" in full) == (True, False)
    assert "clear key object are left out" in full
    assert "clear key object are left out" not in render_card(statistics(info={"key_objects": "all"}))
    assert ("| `mask_origin` |" in full, "| `caption_origin` |" in full) == (True, False)


def test_a_card_of_a_folder_that_says_nothing_of_itself():
    text = render_card(DatasetStatistics(1, info={}))
    assert "How it was made" not in text
    assert "# Pictures with key objects" in text


def test_rows_of_the_plots():
    many = {f"c{n}": 100 - n for n in range(MOST_CATEGORIES + 3)}
    rows = category_rows(statistics(categories=many))
    assert len(rows) == MOST_CATEGORIES + 1
    assert rows[-1] == ("3 others", sum(list(many.values())[MOST_CATEGORIES:]))
    assert area_rows(statistics(area_steps={0: 1, 2: 5})) == [
        ("0.00 to 0.05", 1), ("0.05 to 0.10", 0), ("0.10 to 0.15", 5),
    ]  # fmt: skip
    assert area_rows(statistics()) == []


def test_plots_are_files_of_their_own(tmp_path):
    lines = [{"file_name": "a.png", "category": "<dog>", "captions": ["A."], "area_share": 0.3}]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    write_card(tmp_path)
    text = (tmp_path / "README.md").read_text()
    for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text):
        root = ET.fromstring((tmp_path / name).read_text())
        assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_the_longest_bar_is_the_largest_number():
    root = ET.fromstring(render_bars("t", [("a", 1), ("b", 4), ("c", 0)]))
    widths = [float(bar.get("width", "")) for bar in root.iter("{http://www.w3.org/2000/svg}rect")]
    assert widths[1] == 4 * widths[0]
    assert widths[2] == 0
    assert render_bars("none", []).startswith("<svg")
