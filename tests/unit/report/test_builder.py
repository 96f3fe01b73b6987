"""The whole page: from files, from any part of them, closed, escaped, the same bytes every time."""

import dataclasses
import itertools
import re
import subprocess
import sys
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from headimpact.core.artifacts import write_json
from headimpact.core.errors import DataFormatError, OptionError, OutputInUseError
from headimpact.evaluation.results import Prediction, write_predictions
from headimpact.report.builder import build_report
from headimpact.report.examples import write_examples
from tests.unit.report.builders import (
    comparison_table,
    example_picture,
    head_scores,
    selection,
)

EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
HEADINGS = {
    "scores": ["Which heads look at the key objects?", "Which layers?"],
    "examples": ["What the best and the worst heads look at"],
    "selection": ["layers: 1 2", "Chosen layers"],
    "tuning": ["1 tuned run", "How layers were tuned"],
    "metrics": ["Evaluated runs", "What was evaluated", "What the models say"],
    "comparison": ["Does tuning the chosen layers pay?"],
}


def write_scores(folder, *, name="embedded", **changes):
    head_scores(provenance={"model": name}, twin=True, **changes).write(folder)


def write_tuning(folder):
    content = {
        "trainable_parameters": 8192,
        "trainable_share": 0.0026,
        "steps": 2,
        "losses": [2.0, 0.5],
        "selection": {"layers": [1, 2]},
        "options": {"r": 8, "learning_rate": 0.005},
    }
    write_json(folder / "tuning.json", content, schema="tuning/1")


def write_metrics(folder, *, arm="base", words="a red ball"):
    content = {
        "metrics": {"exact_match": 0.3},
        "n": 2,
        "identity": {"model": "embedded", "split": "test"},
        "arm": {"strategy": arm, "layers": [1, 2], "trainable_parameters": 8192, "trainable_share": 0.0026},
        "used_image_hashes": {},
    }
    write_predictions(folder / "predictions.jsonl", [Prediction("7", words, ("a red ball",))])
    write_json(folder / "metrics.json", content, schema="metrics/1")


WRITERS = {
    "scores": write_scores,
    "examples": lambda folder: write_examples(folder / "examples", [example_picture(), example_picture(seed=1)]),
    "selection": lambda folder: selection().write(folder / "selection.json"),
    "tuning": write_tuning,
    "metrics": write_metrics,
    "comparison": lambda folder: comparison_table().write(folder),
}


def make_runs(folder, stages):
    """Write one run folder per stage; example pictures lie in the scoring run."""
    for stage in stages:
        WRITERS[stage](folder / ("scores" if stage == "examples" else stage))
    return folder


def report_of(folder, tmp_path, **options):
    return build_report([folder], tmp_path / "report.html", **options).read_text(encoding="utf-8")


class Page(HTMLParser):
    """Collects elements, attributes and text of a page."""

    def __init__(self, html):
        super().__init__()
        self.elements = []
        self.words = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(self.words)


def stage_sets():
    alone = [(stage,) for stage in WRITERS if stage != "examples"]
    pairs = [("scores", "examples"), ("scores", "selection"), ("metrics", "comparison"), ("selection", "tuning")]
    return [*alone, *pairs, tuple(WRITERS)]


@pytest.mark.parametrize("stages", stage_sets(), ids="+".join)
def test_any_part_of_the_files_makes_a_page(tmp_path, stages):
    html = report_of(make_runs(tmp_path / "runs", stages), tmp_path)
    text = Page(html).text
    for stage in stages:
        wanted = HEADINGS[stage]
        if stage == "metrics" and "comparison" in stages:
            wanted = ["1 evaluated run", "What the models say"]
        for heading in wanted:
            assert heading in text
    for stage in set(WRITERS) - set(stages):
        assert HEADINGS[stage][0] not in text


def test_page_is_closed(tmp_path):
    html = report_of(make_runs(tmp_path / "runs", WRITERS), tmp_path)
    page = Page(html)
    assert "http://" not in html
    assert "https://" not in html
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    for tag, attributes in page.elements:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form"}
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "data", "action", "srcset"):
            assert attributes.get(name, "#").startswith(("#", "data:image/png;base64,"))
    policies = [a["content"] for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'")


def test_drawings_are_well_formed_and_ids_unique(tmp_path):
    html = report_of(make_runs(tmp_path / "runs", WRITERS), tmp_path)
    drawings = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert len(drawings) > 20
    for drawn in drawings:
        ElementTree.fromstring(drawn)
    ids = [attributes["id"] for _, attributes in Page(html).elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = {a["href"][1:] for t, a in Page(html).elements if t == "use"}
    assert used <= set(ids)


def test_everything_from_outside_is_escaped(tmp_path):
    runs = tmp_path / "runs"
    write_scores(runs / "scores", name=EVIL, warnings=(EVIL,), options={EVIL: EVIL, "layer_aggregation": EVIL})
    pictures = [example_picture(image_id=EVIL, response=EVIL, key_object=EVIL)]
    write_examples(runs / "scores" / "examples", pictures)
    write_metrics(runs / "metrics", arm=EVIL, words=EVIL)
    table = comparison_table()
    rows = tuple(dataclasses.replace(row, arm=EVIL) if row.arm == "all" else row for row in table.rows)
    identity = {"identity": {"model": EVIL, "task": EVIL}}
    dataclasses.replace(table, rows=rows, notes=(EVIL,), options=identity).write(runs / "comparison")
    page = Page(report_of(runs, tmp_path, title=EVIL))
    assert not [tag for tag, attributes in page.elements if tag == "script" or "onerror" in attributes]
    assert page.text.count(EVIL) >= 10
    labels = [attributes["aria-label"] for tag, attributes in page.elements if attributes.get("role") == "img"]
    assert any(EVIL in label for label in labels)


def test_same_files_same_bytes(tmp_path):
    for name in ("one", "two"):
        make_runs(tmp_path / name / "runs", WRITERS)
    pages = [
        build_report([tmp_path / name / "runs"], tmp_path / name / "report.html").read_bytes()
        for name in ("one", "two")
    ]
    assert pages[0] == pages[1]


def test_drawings_are_labelled_and_tables_have_headers(tmp_path):
    html = report_of(make_runs(tmp_path / "runs", WRITERS), tmp_path)
    page = Page(html)
    for tag, attributes in page.elements:
        if tag == "svg":
            assert attributes.get("aria-hidden") == "true" or attributes["aria-label"]
        if tag == "th":
            assert attributes["scope"] in {"row", "col"}
    assert ("html", {"lang": "en"}) in page.elements
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1


def test_both_modes_phone_and_paper_are_styled(tmp_path):
    html = report_of(make_runs(tmp_path / "runs", ["scores"]), tmp_path)
    assert "prefers-color-scheme: dark" in html
    assert "prefers-color-scheme:dark" in html
    assert "@media (max-width" in html
    assert "@media print" in html
    assert 'name="viewport"' in html


def contrast(one, other):
    def luminance(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_text_colours_stand_out_from_the_page(tmp_path):
    html = report_of(make_runs(tmp_path / "runs", ["scores"]), tmp_path)
    modes = re.findall(r"--paper: .*?\}", html, flags=re.DOTALL)
    assert len(modes) == 2
    for mode in modes:
        colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", mode))
        for ink, paper in itertools.product(("ink", "soft", "accent"), ("paper", "raised")):
            assert contrast(colours[ink], colours[paper]) >= 4.5
        for mark in ("bar", "dot", "accent"):
            assert contrast(colours[mark], colours["paper"]) >= 3.0


def test_chosen_layers_are_highlighted_in_the_bars(tmp_path):
    html = report_of(make_runs(tmp_path / "runs", ["scores", "selection"]), tmp_path)
    assert html.count('class="bar chosen"') == 2 * 2 + 1
    plain = build_report([tmp_path / "runs" / "scores"], tmp_path / "plain.html").read_text(encoding="utf-8")
    assert 'class="bar chosen"' not in plain


def test_chosen_layers_come_from_the_comparison_where_no_selection_is(tmp_path):
    html = report_of(make_runs(tmp_path / "runs", ["scores", "comparison"]), tmp_path)
    assert 'class="bar chosen"' in html


def test_layers_of_another_model_are_not_set_off(tmp_path):
    runs = make_runs(tmp_path / "runs", ["comparison"])
    write_scores(tmp_path / "runs" / "scores", name="another")
    html = report_of(runs, tmp_path)
    assert 'class="bar chosen"' not in html
    assert "model <b>embedded, another</b>" in html


def test_two_scoring_runs_are_told_apart(tmp_path):
    for name in ("first", "second"):
        write_scores(tmp_path / "runs" / name)
        write_examples(tmp_path / "runs" / name / "examples", [example_picture()])
    html = report_of(tmp_path / "runs", tmp_path)
    page = Page(html)
    assert "first" in page.text
    assert "second" in page.text
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) == 6


def test_experiment_folder_is_read_two_levels_deep(tmp_path):
    runs = tmp_path / "experiment"
    write_scores(runs / "scores")
    write_tuning(runs / "tuned" / "top-k-seed0")
    write_metrics(runs / "evaluated" / "base")
    for number, layers in enumerate([(1, 2), (0, 2)]):
        chosen = selection(strategy="top-k" if number == 0 else "random", layers=layers)
        chosen.write(runs / "selections" / f"{number}.json")
    text = Page(report_of(runs, tmp_path)).text
    assert "2 selections of layers" in text
    assert "layers: 1 2" in text
    assert "layers: 0 2" not in text
    assert "5 run folders" in text


def test_provenance_of_the_run_folder_is_shown(tmp_path):
    write_scores(tmp_path / "runs")
    write_json(tmp_path / "runs" / "provenance.json", {"versions": {"torch": "2.13.0"}}, schema="provenance/1")
    assert "torch 2.13.0" in Page(report_of(tmp_path / "runs", tmp_path)).text


def test_folder_given_twice_counts_once(tmp_path):
    runs = make_runs(tmp_path / "runs", ["scores"])
    html = build_report([runs, runs / "scores"], tmp_path / "r.html").read_text(encoding="utf-8")
    assert "1 run folder" in Page(html).text


def test_output_is_protected(tmp_path):
    runs = make_runs(tmp_path / "runs", ["scores"])
    out = build_report([runs], tmp_path / "new" / "report.html")
    with pytest.raises(OutputInUseError, match="--overwrite"):
        build_report([runs], out)
    assert build_report([runs], out, overwrite=True) == out
    with pytest.raises(OptionError, match=r"report\.html"):
        build_report([runs], tmp_path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda f: None, "Run folder not found", id="missing"),
        pytest.param(lambda f: f.mkdir(), "No run found in .*head_scores.json", id="empty"),
        pytest.param(lambda f: write_json(f / "metrics.json", {}, schema="metrics/9"), "metrics/9", id="other_schema"),
        pytest.param(lambda f: write_json(f / "metrics.json", {}, schema="metrics/1"), "lacks", id="broken_metrics"),
        pytest.param(lambda f: write_json(f / "tuning.json", {}, schema="tuning/1"), "lacks", id="broken_tuning"),
    ],
)
def test_bad_folders_are_named(tmp_path, make, message):
    make(tmp_path / "runs")
    with pytest.raises(DataFormatError, match=message):
        build_report([tmp_path / "runs"], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_no_folder_at_all(tmp_path):
    with pytest.raises(DataFormatError, match="no folder"):
        build_report([], tmp_path / "report.html")


NO_TORCH = """
import pathlib, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "transformers", "peft", "matplotlib"}:
            raise ImportError("refused " + name)
sys.meta_path.insert(0, Refuse())
from headimpact.report.builder import build_report
build_report([pathlib.Path(sys.argv[1])], pathlib.Path(sys.argv[2]))
"""


def test_report_is_made_without_model_libraries(tmp_path):
    runs = make_runs(tmp_path / "runs", WRITERS)
    out = tmp_path / "report.html"
    done = subprocess.run(
        [sys.executable, "-c", NO_TORCH, str(runs), str(out)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert out.is_file()
    control = NO_TORCH.replace("from headimpact.report.builder import build_report", "import torch")
    failed = subprocess.run(
        [sys.executable, "-c", control, str(runs), str(out)], capture_output=True, text=True, check=False
    )
    assert "refused torch" in failed.stderr
