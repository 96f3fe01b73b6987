import dataclasses
from pathlib import Path

import pytest

from headimpact.core.errors import DataFormatError, OptionError
from headimpact.data.dataset import KeyObjectDataset
from headimpact.evaluation.metrics import METRICS
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
