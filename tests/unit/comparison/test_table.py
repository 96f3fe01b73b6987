import csv
import io
import json
import math
import subprocess
import sys

import pytest

from headimpact.comparison.table import ComparisonTable
from headimpact.core.errors import DataFormatError
from tests.unit.comparison.makers import arm, run
from tests.unit.comparison.test_compare import compare, simulate, subsets


@pytest.fixture(scope="module")
def table():
    runs = simulate(0, effect=0.2, draws=4, seeds=2)
    return compare([*runs, run(arm("depth-matched"), [1.0] * 60), run(arm("all", layers=range(12)), [1.0] * 60)])


def test_json_gives_the_same_table_back(table, tmp_path):
    table.write(tmp_path)
    assert ComparisonTable.read(tmp_path) == table
    assert ComparisonTable.read(tmp_path / "comparison.json") == table
    assert sorted(p.name for p in tmp_path.iterdir()) == ["comparison.csv", "comparison.json", "comparison.md"]


def test_an_exhaustive_place_and_missing_verdicts_survive_the_file(tmp_path):
    import itertools

    place = compare(subsets((0, 1), dict.fromkeys(itertools.combinations(range(4), 2), 0.5)))
    place.write(tmp_path)
    assert ComparisonTable.read(tmp_path) == place
    assert place.exhaustive is not None
    assert place.shift_verdict is None


def test_json_holds_no_nan(table, tmp_path):
    table.write(tmp_path)

    def check(value):
        if isinstance(value, dict):
            return all(check(inner) for inner in value.values())
        if isinstance(value, list):
            return all(check(inner) for inner in value)
        return not isinstance(value, float) or math.isfinite(value)

    assert check(json.loads((tmp_path / "comparison.json").read_text()))


def test_csv_has_a_line_per_arm_and_metric(table):
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert [(row["arm"], row["metric"]) for row in rows] == [
        (arm, "exact_match") for arm in ("base", "top-k", "random", "depth-matched", "all")
    ]
    by_arm = {row["arm"]: row for row in rows}
    assert by_arm["base"]["shift"] == by_arm["random"]["against_random"] == ""
    assert float(by_arm["top-k"]["value"]) == table.rows[1].values["exact_match"].value
    assert by_arm["random"]["draws"] == "4"


def test_markdown_says_the_verdict_first_and_lines_up(table):
    lines = table.to_markdown().splitlines()
    assert lines[0] == table.verdict.sentence
    cells = [line.count("|") for line in lines if line.startswith("|")]
    assert len(cells) == 2 + len(table.rows)
    assert len(set(cells)) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param('{"schema": "metrics/1"}', "Wrong kind of file", id="schema"),
        pytest.param('{"schema": "comparison/1", "rows": []}', "Not a comparison.*compare again", id="fields"),
        pytest.param("{", "as JSON", id="JSON"),
    ],
)
def test_refuses_broken_files(tmp_path, text, message):
    (tmp_path / "comparison.json").write_text(text)
    with pytest.raises(DataFormatError, match=message):
        ComparisonTable.read(tmp_path)


def test_comparison_reaches_no_model_library():
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'transformers', 'peft', 'accelerate')));"
        "import headimpact.comparison.compare, headimpact.evaluation.evaluate as e;"
        "from headimpact.evaluation.metrics import METRICS; [METRICS.load(name) for name in METRICS]"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
