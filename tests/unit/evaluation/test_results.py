import json

import numpy as np
import pytest

from headimpact.core.errors import DataFormatError
from headimpact.evaluation.evaluate import evaluate_predictions
from headimpact.evaluation.results import read_metrics, read_predictions, write_metrics, write_predictions
from tests.unit.evaluation.makers import prediction, random_predictions

GOOD = '{"image_id": "1", "prediction": "a", "references": ["b"]}'


def test_predictions_survive_the_file(tmp_path):
    odd = [
        prediction("1", "line\nbreak \u2028 \u0085 \u201cquoted\u201d \U0001f600", ["a", "\t"], names=["b"]),
        prediction("2", ""),
    ]
    write_predictions(tmp_path / "p.jsonl", odd)
    assert read_predictions(tmp_path / "p.jsonl") == tuple(odd)
    assert (tmp_path / "p.jsonl").read_bytes().count(b"\n") == 2


def test_an_unpaired_surrogate_does_not_stop_writing(tmp_path):
    write_predictions(tmp_path / "p.jsonl", [prediction("1", "a\ud800b")])
    assert read_predictions(tmp_path / "p.jsonl")[0].prediction == "a?b"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{", "Not JSON: .*line 1", id="not JSON"),
        pytest.param(f"{GOOD}\n\n[]", "Not a prediction: .*line 3", id="a list"),
        pytest.param('{"image_id": "1", "prediction": "a"}', "line 1.*references", id="no references field"),
        pytest.param('{"image_id": 1, "prediction": "a", "references": ["b"]}', "must be text", id="number as id"),
        pytest.param(
            '{"image_id": "1", "prediction": "a", "references": "b"}', "lists of text", id="references a text"
        ),
        pytest.param(
            '{"image_id": "1", "prediction": "a", "references": []}', "No reference for picture '1'", id="none"
        ),
        pytest.param(f"{GOOD}\n{GOOD}", "'1' comes twice", id="doubled"),
    ],
)
def test_refuses_broken_predictions(tmp_path, text, message):
    (tmp_path / "p.jsonl").write_text(text)
    with pytest.raises(DataFormatError, match=message):
        read_predictions(tmp_path / "p.jsonl")


def test_names_missing_and_undecodable_files(tmp_path):
    with pytest.raises(DataFormatError, match="File not found"):
        read_predictions(tmp_path / "p.jsonl")
    (tmp_path / "p.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(DataFormatError, match="Expected UTF-8"):
        read_predictions(tmp_path / "p.jsonl")


def write_run(folder, predictions, **changes):
    write_predictions(folder / "predictions.jsonl", predictions)
    options = {
        "identity": {"model": "m", "prompt": "p"},
        "arm": {"strategy": "base"},
        "used_image_hashes": {"tested": ["t2", "t1", "t1"], "tuned": ["u"]},
        **changes,
    }
    write_metrics(folder, evaluate_predictions(predictions), **options)


def test_metrics_survive_the_files(tmp_path):
    predictions = random_predictions(6)
    write_run(tmp_path, predictions)
    content, parts = read_metrics(tmp_path)
    expected = evaluate_predictions(predictions)
    assert content["metrics"] == dict(expected.values)
    assert content["n"] == 6
    assert content["identity"]["tokenizer"] == "python"
    assert content["used_image_hashes"] == {"scored": [], "tuned": ["u"], "tested": ["t1", "t2"]}
    for name, rows in expected.parts.items():
        np.testing.assert_array_equal(parts[name], rows)


def test_identity_tells_other_pictures_and_other_references_apart(tmp_path):
    def hashes(folder, predictions):
        write_run(tmp_path / folder, predictions)
        identity = read_metrics(tmp_path / folder)[0]["identity"]
        return identity["image_ids_hash"], identity["references_hash"]

    first = hashes("a", [prediction("1", "x", ["a", "b"])])
    assert hashes("b", [prediction("1", "other", ["a", "b"])]) == first
    assert hashes("c", [prediction("2", "x", ["a", "b"])])[0] != first[0]
    assert hashes("d", [prediction("1", "x", ["a"], names=["b"])])[1] != first[1]


def test_the_same_metrics_give_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        write_run(tmp_path / folder, random_predictions(6))
    files = ["metrics.json", "metric_parts.safetensors", "predictions.jsonl"]
    assert [(tmp_path / "a" / f).read_bytes() for f in files] == [(tmp_path / "b" / f).read_bytes() for f in files]


def test_refuses_to_write_without_tested_pictures_or_for_other_predictions(tmp_path):
    with pytest.raises(DataFormatError, match="no hashes of the tested pictures"):
        write_run(tmp_path, random_predictions(3), used_image_hashes={"tuned": ["u"]})
    assert not (tmp_path / "metrics.json").exists()
    with pytest.raises(DataFormatError, match="the metrics are of 2 others"):
        write_metrics(
            tmp_path,
            evaluate_predictions(random_predictions(2)),
            identity={},
            arm={},
            used_image_hashes={"tested": "a"},
        )


def test_refuses_metrics_that_do_not_fit_their_parts(tmp_path):
    write_run(tmp_path / "a", random_predictions(6))
    write_run(tmp_path / "b", random_predictions(5))
    (tmp_path / "a" / "metric_parts.safetensors").replace(tmp_path / "b" / "metric_parts.safetensors")
    with pytest.raises(DataFormatError, match="6 rows for 'exact_match', expected 5"):
        read_metrics(tmp_path / "b")
    with pytest.raises(DataFormatError, match="File not found"):
        read_metrics(tmp_path / "a")


def test_refuses_metrics_of_another_version(tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps({"schema": "metrics/1", "metrics": {}}))
    with pytest.raises(DataFormatError, match="lacks n, identity, arm, used_image_hashes"):
        read_metrics(tmp_path)
