import json
import shutil

import pytest

from headimpact.core.errors import DataFormatError, UnknownNameError
from headimpact.evaluation.coco_results import read_coco_results
from headimpact.evaluation.evaluate import coco_named, evaluate_predictions
from tests.unit.evaluation.makers import golden, prediction, random_predictions

TOKENIZER_TOLERANCE = 1e-4
"""How far the Java-free tokenizer may move a score on the golden captions; measured: not at all (below 1e-12)."""


@pytest.mark.skipif(shutil.which("java") is None, reason="no java on the path")
def test_golden_scores_with_the_ptb_tokenizer():
    predictions, expected = golden()
    found = coco_named(evaluate_predictions(predictions, tokenizer="ptb").values)
    for name in ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr"):
        assert found[name] == pytest.approx(expected[name], abs=1e-12), name


def test_golden_scores_without_java():
    predictions, expected = golden()
    found = coco_named(evaluate_predictions(predictions).values)
    for name in ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr"):
        assert found[name] == pytest.approx(expected[name], abs=TOKENIZER_TOLERANCE), name


def test_measures_all_that_can_be_and_says_what_cannot(capfd):
    metrics = evaluate_predictions([prediction("1"), prediction("2", "a cat")])
    assert metrics.n == 2
    assert metrics.image_ids == ("1", "2")
    assert metrics.tokenizer == "python"
    assert metrics.values["exact_match"] == 0.5
    unknown = "the data does not say which objects are in the pictures"
    names = "no picture has names of key objects"
    assert dict(metrics.left_out) == {"key_object_recall": names, "chair_i": unknown, "chair_s": unknown}
    assert "key_object_recall" not in metrics.values
    assert all(len(rows) == 2 for rows in metrics.parts.values())
    assert capfd.readouterr() == ("", "")


def test_measures_only_what_is_asked_for():
    metrics = evaluate_predictions(random_predictions(5), metrics=["rouge_l", "bleu_2"])
    assert list(metrics.values) == ["rouge_l", "bleu_2"]


@pytest.mark.parametrize(
    ("predictions", "options", "error", "message"),
    [
        pytest.param([], {}, DataFormatError, "Nothing to measure", id="none"),
        pytest.param([prediction("7"), prediction("7")], {}, DataFormatError, "'7' comes twice", id="doubled"),
        pytest.param(
            [prediction("7", references=())], {}, DataFormatError, "No reference for 1 of 1 pictures.*'7'", id="bare"
        ),
        pytest.param(
            [prediction()], {"metrics": ["key_object_recall"]}, DataFormatError, "no picture has names", id="no names"
        ),
        pytest.param([prediction()], {"metrics": ["blue_4"]}, UnknownNameError, "Did you mean 'bleu_4'", id="metric"),
        pytest.param([prediction()], {"tokenizer": "java"}, UnknownNameError, "Known: python, ptb", id="tokenizer"),
    ],
)
def test_refuses(predictions, options, error, message):
    with pytest.raises(error, match=message):
        evaluate_predictions(predictions, **options)


def write_pair(folder, results, references):
    for name, content in (("results.json", results), ("references.json", references)):
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder / "results.json", folder / "references.json"


def test_reads_coco_results_in_their_order(tmp_path):
    references = {"annotations": [{"image_id": i, "caption": f"c{i}{n}"} for n in range(2) for i in (1, 2, 3)]}
    paths = write_pair(tmp_path, [{"image_id": 2, "caption": "x"}, {"image_id": 1, "caption": ""}], references)
    assert read_coco_results(*paths) == (prediction("2", "x", ["c20", "c21"]), prediction("1", "", ["c10", "c11"]))


GOOD_RESULTS = [{"image_id": 1, "caption": "x"}]
GOOD_REFERENCES = {"annotations": [{"image_id": 1, "caption": "y"}]}


@pytest.mark.parametrize(
    ("results", "references", "message"),
    [
        pytest.param("{", GOOD_REFERENCES, r"Cannot read .*results\.json as JSON", id="not JSON"),
        pytest.param({"a": 1}, GOOD_REFERENCES, r"Not a list of captions: .*results\.json", id="not a list"),
        pytest.param([{"image_id": 1}], GOOD_REFERENCES, "entry 0.*image_id and caption", id="no caption"),
        pytest.param([{"image_id": 1, "caption": None}], GOOD_REFERENCES, "entry 0", id="null caption"),
        pytest.param(GOOD_RESULTS * 2, GOOD_REFERENCES, r"'1' comes twice in .*results\.json", id="doubled"),
        pytest.param(GOOD_RESULTS, [], r"Not a COCO captions file: .*references\.json", id="references a list"),
        pytest.param(GOOD_RESULTS, {"annotations": [{}]}, r"references\.json, entry 0", id="annotation empty"),
        pytest.param(GOOD_RESULTS, {"annotations": []}, "No reference for 1 of 1", id="no references"),
        pytest.param([], GOOD_REFERENCES, "Nothing to measure", id="no results"),
    ],
)
def test_refuses_broken_files(tmp_path, results, references, message):
    with pytest.raises(DataFormatError, match=message):
        read_coco_results(*write_pair(tmp_path, results, references))


def test_names_a_missing_file(tmp_path):
    with pytest.raises(DataFormatError, match=r"File not found: .*nowhere\.json"):
        read_coco_results(tmp_path / "nowhere.json", tmp_path / "nowhere.json")


def test_names_a_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(DataFormatError, match=r"Not a file: .* is a folder\. Expected a COCO JSON file, such as"):
        read_coco_results(tmp_path, tmp_path)
