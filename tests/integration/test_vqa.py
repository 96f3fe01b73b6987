"""The second task and the files of others through the command line: questions, forgetting, result files."""

import json
from pathlib import Path

import pytest

from headimpact.data.closed_questions import find_template
from headimpact.evaluation.results import read_predictions
from tests.builders import shared_data
from tests.integration.conftest import done, run
from tests.integration.makers import written_scores

FAST = ("--max-new-tokens", 3, "--batch-size", 16)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, tiny_llava: Path, scenes: Path) -> Path:
    """Give the run folder of a model tuned on answers."""
    root = tmp_path_factory.mktemp("vqa")
    done("select", "--scores", written_scores(root / "scores"), "--k", 1, "--out", root / "top")
    words = ("tune", "--model", tiny_llava, "--data", scenes, "--selection", root / "top", "--task", "vqa")
    options = ("--answer-template", "short", "--max-steps", 2, "--batch-size", 4, "--limit", 3)
    answer = done(*words, *options, "--out", root / "tuned", "--json").json
    assert answer["examples"] > 3 * 5
    return root / "tuned"


def test_answers_are_measured_beside_the_base_model_and_so_is_plain_text(tuned, tiny_llava, scenes, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("a red circle on a blue background\n\nDescribe the main object.\n")
    words = ("evaluate", "--model", tiny_llava, "--data", scenes, "--task", "vqa", "--limit", 2, *FAST)
    asked = (*words, "--answer-template", "short", "--forgetting", text)
    base = done(*asked, "--out", tmp_path / "base", "--json").json
    done(*asked, "--adapter", tuned, "--out", tmp_path / "after")
    assert set(base["metrics"]) == {"exact_match", "vqa_accuracy"}
    predictions = read_predictions(tmp_path / "base" / "predictions.jsonl")
    assert len({one.image_id for one in predictions}) == base["n"] == 2
    assert len(predictions) > 10
    assert all(one.question_id and one.question for one in predictions)
    identity = json.loads((tmp_path / "after" / "metrics.json").read_text())["identity"]
    assert (identity["task"], identity["answer_template"]) == ("vqa", "short")
    assert identity["prompt"] == find_template("short").prompt
    before, after = (json.loads((tmp_path / name / "forgetting.json").read_text()) for name in ("base", "after"))
    assert before["after"] is None
    assert after["before"] == pytest.approx(before["before"], rel=1e-6)
    assert after["after"] != after["before"]
    assert after["rise_low"] <= after["rise"] <= after["rise_high"]
    done("compare", tmp_path / "base", tmp_path / "after", "--bootstrap", 100, "--out", tmp_path / "comparison")
    done("report", tmp_path / "base", tmp_path / "after", "--out", tmp_path / "report.html")
    assert "What tuning cost on plain text (after)" in (tmp_path / "report.html").read_text()


def test_the_data_sets_template_is_taken_where_none_is_given(tiny_llava, scenes, tmp_path):
    words = ("evaluate", "--model", tiny_llava, "--data", scenes, "--task", "vqa", "--out", tmp_path / "out")
    assert done(*words, "--dry-run", "--json").json["prompt"] == "{question}"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(("--task", "vqna"), "Unknown task 'vqna'. Did you mean 'vqa'", id="task"),
        pytest.param(("--task", "vqa", "--prompt", "x"), "--prompt is what is asked of every picture", id="prompt"),
        pytest.param(("--answer-template", "bare"), "expected --task vqa with it", id="template of captions"),
        pytest.param(("--task", "vqa", "--answer-template", "bear"), "Did you mean 'bare'", id="template"),
        pytest.param(("--metrics", "clipscore"), "pass --clip-checkpoint", id="no checkpoint"),
        pytest.param(("--metrics", "vqa_accuracy"), "no response answers a question", id="metric of the other task"),
        pytest.param(("--forgetting", "nowhere.txt"), "Cannot read nowhere.txt", id="text"),
    ],
)
def test_what_has_no_meaning_is_refused(tiny_llava, scenes, tmp_path, words, message):
    answer = run("evaluate", "--model", tiny_llava, "--data", scenes, "--out", tmp_path / "out", *words)
    assert answer.code == 2
    assert len(answer.errors) == 1
    assert message in answer.errors[0]
    assert not (tmp_path / "out").exists()


RESULTS = [{"image_id": 1, "caption": "A dog and a cat."}, {"image_id": 2, "caption": "Two cats."}]
REFERENCES = {"annotations": [{"image_id": 1, "caption": "A dog."}, {"image_id": 2, "caption": "Two cats"}]}
INSTANCES = {
    "images": [{"id": 1}, {"id": 2}],
    "categories": [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}],
    "annotations": [{"image_id": 1, "category_id": 18}, {"image_id": 2, "category_id": 17}],
}


def files(folder, results=RESULTS, references=REFERENCES):
    """Write a result file, references and instances, and give the words of the command."""
    for name, content in (("results", results), ("references", references), ("instances", INSTANCES)):
        (folder / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return "evaluate", "--predictions", folder / "results.json", "--references", folder / "references.json"


def test_a_result_file_is_measured_without_a_model(tmp_path):
    options = ("--metrics", "bleu_4", "cider_d", "chair_i", "--instances", tmp_path / "instances.json")
    found = done(*files(tmp_path), *options, "--json").json
    assert {"Bleu_4", "CIDEr", "chair_i", "n", "tokenizer", "left_out"} == set(found)
    assert found["chair_i"] == pytest.approx(1 / 3)
    text = done(*files(tmp_path), *options).out
    assert "CIDEr-D: " in text


@pytest.mark.slow
def test_the_golden_result_file_has_the_golden_scores():
    folder = shared_data("coco_caption")
    results, references = folder / "captions_val2014_fakecap_results_subset.json", "captions_val2014_subset370.json"
    words = ("evaluate", "--predictions", results, "--references", folder / references, "--tokenizer", "ptb", "--json")
    found = done(*words).json
    expected = json.loads((folder / "expected_scores.json").read_text())["scores"]
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert "stanford-corenlp-3.6.0.jar" in found["left_out"]["SPICE"]


@pytest.mark.parametrize(
    ("results", "references", "message"),
    [
        pytest.param("[", REFERENCES, "results.json as JSON", id="wrong JSON"),
        pytest.param([{"caption": "x"}], REFERENCES, "Expected an object with image_id and caption", id="id missing"),
        pytest.param(RESULTS * 2, REFERENCES, "'1' comes twice", id="doubled"),
        pytest.param(RESULTS, {"annotations": REFERENCES["annotations"][:1]}, "No reference for 1 of 2", id="bare"),
        pytest.param(RESULTS, [], "Not a COCO captions file", id="references"),
    ],
)
def test_a_broken_result_file_is_one_line(tmp_path, results, references, message):
    answer = run(*files(tmp_path, results, references))
    assert answer.code == 2
    assert len(answer.errors) == 1
    assert message in answer.errors[0]
