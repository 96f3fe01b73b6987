"""The check of causes: its groups, its contrast and its sentences are what docs/protocol.md says."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from benchmarks import does_it_work, does_it_work_figure

from headimpact.scoring.rank_agreement import partial_spearman, smallest_detectable, spearman
from tests.unit.scoring.makers import architecture

ROOT = Path(__file__).resolve().parent.parent.parent
PROTOCOL = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")


def measured():
    return json.loads((ROOT / does_it_work_figure.RESULTS).read_text(encoding="utf-8"))


def test_halves_of_a_layer_share_nothing_and_the_upper_one_looks_more():
    sizes = architecture(num_layers=3, num_heads=8, num_key_value_heads=4)
    head_impact = np.random.default_rng(0).random((20, 3, 8))
    units = does_it_work.group_units(head_impact, sizes)
    means = head_impact.mean(axis=0)
    assert [unit.layer for unit in units] == [0, 0, 1, 1, 2, 2]
    for upper, lower in zip(units[0::2], units[1::2], strict=True):
        assert sorted(upper.heads + lower.heads) == list(range(8))
        groups = [{head // 2 for head in unit.heads} for unit in (upper, lower)]
        assert [len(group) for group in groups] == [2, 2]
        pairs = means[upper.layer].reshape(4, 2).mean(axis=1)
        assert min(pairs[list(groups[0])]) >= max(pairs[list(groups[1])])


@pytest.mark.parametrize(
    ("higher", "layers", "expected"),
    [(6, 12, 1.0), (10, 12, 2 * (66 + 12 + 1) / 4096), (2, 12, 2 * (66 + 12 + 1) / 4096), (12, 12, 2 / 4096)],
    ids=["even", "ten", "two", "all"],
)
def test_sign_test_by_hand(higher, layers, expected):
    assert does_it_work.sign_p(higher, layers) == pytest.approx(expected)


def test_ten_of_twelve_are_needed_as_the_protocol_says():
    assert does_it_work.sign_p(10, 12) < 0.05 < does_it_work.sign_p(9, 12)


def test_contrast_by_hand():
    values = np.array([[3.0, 5.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [7.0, 7.0], [7.0, 7.0]])
    found = does_it_work.contrast("gain", values)
    assert (found["layers"], found["higher"], found["difference"]) == (3, 1, pytest.approx((3 - 1 + 0) / 3))
    assert found["sign_p"] == 1.0  # one ahead, one behind; a tie says nothing
    assert found["low"] < found["difference"] < found["high"]


def test_what_the_protocol_says_could_be_found_is_what_the_formula_gives():
    table = re.findall(r"^\| (\d+) (?:layers|groups|heads) \| ([\d.]+) \| ([\d.]+) \|$", PROTOCOL, flags=re.MULTILINE)
    assert [int(units) for units, _, _ in table] == [12, 24, 96]
    for units, plain, given in table:
        assert float(plain) == round(smallest_detectable(int(units)), 3)
        assert float(given) == round(smallest_detectable(int(units), given=1), 3)


def correlation(kind, given, answer, value):
    row = {"kind": kind, "first": "head_impact", "second": "gain", "given": given}
    return {**row, "answer": answer, "value": value}


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["positive"] * 4, "*where*: Head Impact predicts what tuning gains."),
        (["positive"] * 3 + ["undecided"], "*where*: it is undecided whether Head Impact predicts what tuning gains."),
        (["negative"] * 4, "*where*: Head Impact predicts the reverse of what tuning gains."),
        (["undecided"] * 4, "*where*: it is undecided whether Head Impact predicts what tuning gains."),
    ],
    ids=["all positive", "one undecided", "all negative", "all undecided"],
)
def test_the_sentence_follows_the_rule_of_the_protocol(answers, expected):
    kinds = [("layer", None), ("layer", "depth"), ("group", None), ("group", "depth")]
    rows = [correlation(*kind, answer, 0.5) for kind, answer in zip(kinds, answers, strict=True)]
    said = does_it_work_figure.sentence("where", rows, "gain")
    assert said.startswith(expected)
    assert f"groups +0.50 ({answers[2]}), given depth +0.50 ({answers[3]})" in said


def test_the_page_and_its_picture_are_what_was_measured():
    page = (ROOT / does_it_work_figure.PAGE).read_text(encoding="utf-8")
    part = does_it_work_figure.measured_part(ROOT)
    assert f"{does_it_work_figure.BEGIN}{part}{does_it_work_figure.END}" in page
    assert (ROOT / does_it_work_figure.PICTURE).read_text(
        encoding="utf-8"
    ) == f"{does_it_work_figure.draw(measured())}\n"


def test_what_was_run_is_what_the_protocol_says():
    content = measured()
    settings, pictures = content["settings"], content["settings"]["pictures"]
    words = " ".join(PROTOCOL.split())
    assert f"{settings['steps']} steps of 16 of {pictures['train']:,} scenes at a peak of 2e-2" in words
    assert f"on {pictures['calibration']} `calibration` scenes" in words
    assert f"on {pictures['validation']} `validation` scenes" in words
    assert f"on {pictures['test']} `test` scenes" in words
    assert f"exact match on the first {pictures['described']}" in words
    assert settings["seeds"] == 3
    assert sorted(content["tasks"]) == ["where", "wording"]
    for found in content["tasks"].values():
        counts = {kind: len(units) for kind, units in found["units"].items()}
        assert counts == {"layer": 12, "group": 24, "head": 96}
        live = {kind: {unit["trainable_parameters"] for unit in found["units"][kind]} for kind in ("layer", "group")}
        assert live == {"layer": {3584}, "group": {2816}}
        assert all(len(unit["seeds"]) == 3 for kind in live for unit in found["units"][kind])


def test_correlations_on_the_page_follow_from_the_units_that_stand_beside_them():
    for found in measured()["tasks"].values():
        for row in found["correlations"]:
            units = found["units"][row["kind"]]
            depth = np.array([float(unit["layer"]) for unit in units])
            first, second = (
                depth if name == "depth" else np.array([unit[name] for unit in units])
                for name in (row["first"], row["second"])
            )
            value = spearman(first, second) if row["given"] is None else partial_spearman(first, second, depth)
            assert row["value"] == pytest.approx(value, abs=1e-9)
            assert row["low"] <= row["value"] <= row["high"]


def test_what_the_page_says_of_exact_match_on_wording():
    halves = [unit["exact_match"] for unit in measured()["tasks"]["wording"]["units"]["group"]]
    page = (ROOT / does_it_work_figure.PAGE).read_text(encoding="utf-8")
    assert f"is 0 in all but {sum(value > 0 for value in halves)} of {len(halves)}." in page
