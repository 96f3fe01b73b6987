import dataclasses
from pathlib import Path
from typing import Any, cast

import pytest

from headimpact.core.errors import DataFormatError, IncompatibleRunsError, OptionError
from headimpact.data.dataset import KeyObjectDataset
from headimpact.evaluation.metrics import METRICS
from headimpact.evaluation.results import CaptionMetrics
from headimpact.models.families import FAMILIES
from headimpact.scoring import SCORES
from headimpact.workflows import api
from headimpact.workflows.configs import EvaluateConfig, ScoreConfig, TuneConfig
from tests.builders import coco_folder


@pytest.fixture
def dataset(tmp_path: Path) -> KeyObjectDataset:
    return api.read_dataset(str(coco_folder(tmp_path / "data", count=4, split="train")))


def test_scores_are_the_runs_and_resume_finds_them(tiny_model, dataset, tmp_path):
    loaded = tiny_model("llava-siglip")
    options = {"draws": 50, "bootstrap": 20, "donors": 2, "examples": 0}
    scores = api.score_heads(loaded, dataset, out=str(tmp_path / "out"), **options)
    assert scores.counts["used"] == 4
    again = api.score_heads(loaded, dataset, out=tmp_path / "out", resume=True, **options)
    assert again.file_hash == scores.file_hash
    config = (tmp_path / "out" / "config.yaml").read_text()
    assert "split: train" in config
    assert f"model: {loaded.name}" in config


def test_a_finished_run_on_other_pictures_is_not_taken_for_this_one(tiny_model, dataset, tmp_path):
    loaded = tiny_model("llava-siglip")
    scoring = {"draws": 50, "bootstrap": 20, "donors": 2, "examples": 0}
    api.score_heads(loaded, dataset.limit(3), out=tmp_path / "scores", **scoring)
    with pytest.raises(OptionError, match="it used 3 pictures, 3 of which are among the 4 given now"):
        api.score_heads(loaded, dataset, out=tmp_path / "scores", resume=True, **scoring)
    api.evaluate(loaded, dataset.limit(3), out=tmp_path / "eval", max_new_tokens=1, metrics="exact_match")
    with pytest.raises(OptionError, match="it used 3 pictures, 2 of which are among the 2 given now"):
        api.evaluate(
            loaded, dataset.limit(2), out=tmp_path / "eval", max_new_tokens=1, metrics="exact_match", resume=True
        )


def test_one_folder_or_name_does_for_a_list_of_one(tiny_model, dataset, tmp_path):
    found = api.evaluate(
        tiny_model("llava-siglip"), dataset, out=tmp_path / "run", max_new_tokens=1, metrics="exact_match"
    )
    assert list(found.values) == ["exact_match"]
    api.build_report(str(tmp_path / "run"), tmp_path / "report.html")
    with pytest.raises(IncompatibleRunsError, match="got 1 finished run"):
        api.compare_runs(str(tmp_path / "run"))


def test_what_is_printed_fits_a_line(tiny_model, dataset, tmp_path):
    options = {"draws": 50, "bootstrap": 20, "donors": 2, "examples": 0}
    scores = api.score_heads(tiny_model("llava-siglip"), dataset, out=tmp_path / "scores", **options)
    assert repr(scores) == "<HeadScores head_impact: 3 layers of 4 heads, 4 pictures>"
    assert repr(dataset) == f"<KeyObjectDataset {dataset.root}: 4 pictures (4 train), 0 left out>"
    measured = CaptionMetrics(values={"bleu_4": 0.25}, parts={}, image_ids=("a", "b"), tokenizer="python")
    assert repr(measured) == "<CaptionMetrics of 2 pictures: bleu_4 0.2500>"


def test_an_evaluation_is_measured_once(tiny_model, dataset, tmp_path):
    loaded = tiny_model("llava-siglip")
    options = {"max_new_tokens": 2, "metrics": ("exact_match",)}
    first = api.evaluate(loaded, dataset, out=tmp_path / "out", **options)
    again = api.evaluate(loaded, dataset, out=tmp_path / "out", resume=True, **options)
    assert dataclasses.asdict(again)["values"] == dict(first.values)
    assert again.image_ids == first.image_ids
    assert (again.parts["exact_match"] == first.parts["exact_match"]).all()


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        pytest.param(
            api.score_heads, {"batchsize": 2}, "Unknown option 'batchsize'. Did you mean 'batch_size'", id="near"
        ),
        pytest.param(api.score_heads, {"limit": 2}, "Unknown option 'limit'", id="what the data set says"),
        pytest.param(api.score_heads, {"rows": "all"}, "--rows", id="unknown name"),
        pytest.param(api.evaluate, {"num_beams": 0}, "--num-beams is 0", id="out of range"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(
    tiny_model, dataset, tmp_path, function, options, message
):
    with pytest.raises(OptionError, match=message):
        function(tiny_model("llava-siglip"), dataset, out=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_name_in_place_of_what_it_names_is_refused(tiny_model, dataset, tmp_path):
    loaded, name_only, folder_only = tiny_model("llava-siglip"), cast("Any", "embedded"), cast("Any", Path("data"))
    with pytest.raises(OptionError, match=r"The model is 'embedded'; .* Pass headimpact.load_model\('embedded'\)"):
        api.score_heads(name_only, dataset, out=tmp_path / "out")
    with pytest.raises(OptionError, match=r"The data set is 'data'; .* Pass headimpact.read_dataset\('data'\)"):
        api.evaluate(loaded, folder_only, out=tmp_path / "out")
    for name, value in {"batch_size": "4", "draws": "50", "sinks": "yes"}.items():
        with pytest.raises(OptionError, match=f"Option '{name}' is the text '{value}'; expected it without quotes"):
            api.score_heads(loaded, dataset, out=tmp_path / "out", **{name: value})
    assert not (tmp_path / "out").exists()


def test_an_empty_data_set_is_refused(tiny_model, dataset, tmp_path):
    nothing = dataclasses.replace(dataset, samples=())
    with pytest.raises(DataFormatError, match="No picture"):
        api.score_heads(tiny_model("llava-siglip"), nothing, out=tmp_path / "out")


def test_what_the_objects_answer_is_an_option_of_every_command():
    for kind in (ScoreConfig, EvaluateConfig, TuneConfig):
        assert set(api.TAKEN) <= {field.name for field in dataclasses.fields(kind)}


def test_lists_are_the_tables():
    assert api.list_families() == tuple(FAMILIES)
    assert api.list_scores() == tuple(SCORES)
    assert api.list_metrics() == tuple(METRICS)
