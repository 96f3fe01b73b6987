"""Gate gradients and knockouts as scores: shards, file and selection, beside the scores of attention maps."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from headimpact.data.formats import read_dataset
from headimpact.models.batching import BatchSize
from headimpact.models.loading import load_model
from headimpact.scoring import CAUSAL_SCORES, SCORES
from headimpact.scoring.head_scores import HeadScores
from headimpact.scoring.sample_scores import PictureScores
from headimpact.selection.selection import Selection
from headimpact.workflows.causal_scores import add_causes, announce_causes
from headimpact.workflows.head_causes import measure_gate_gradients, measure_knockouts
from tests.integration.conftest import done
from tests.integration.test_main_job import SCORE

SCORED = ("--baseline", "untrained", "--examples", 0)


class Run:
    """A run of Head Impact and both causal scores."""

    def __init__(self, root: Path, model: Path, data: Path) -> None:
        self.model, self.data, self.out = model, data, root / "out"
        self.words = ("score", "--model", model, "--data", data, *SCORE, *SCORED)
        done(*self.words, "--scores", ",".join(CAUSAL_SCORES), "--out", self.out)

    def shards(self, name: str) -> np.ndarray:
        """Read every picture's own values of one score."""
        paths = sorted((self.out / "samples" / name).glob("shard_*.safetensors"))
        return np.concatenate([load_file(path)["own"] for path in paths])


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, tiny_llava: Path, scenes: Path) -> Run:
    return Run(tmp_path_factory.mktemp("causal"), tiny_llava, scenes)


def test_the_file_has_a_tensor_of_each_scores_name(scored):
    tensors, found = load_file(scored.out / "head_scores.safetensors"), HeadScores.read(scored.out)
    assert list(found.others) == list(CAUSAL_SCORES)
    for name in CAUSAL_SCORES:
        assert tensors[name].shape == (3, 4)
        np.testing.assert_allclose(tensors[name], scored.shards(name).mean(axis=0), rtol=1e-5)
        assert not np.array_equal(tensors[f"untrained_{name}"], tensors[name])
        assert np.isnan(found.others[name].values["gap"]).all()
        assert (found.others[name].values["p"] == 1).all()
    assert (tensors["gate_gradient"] > 0).all()


def test_values_of_a_picture_are_means_over_its_responses(scored):
    sample, other = read_dataset(scored.data).split("calibration").samples[:2]
    texts, loaded = ("a red circle", "two plain squares at the left"), load_model(str(scored.model))
    words: dict[str, Any] = {"prompt": "Describe the picture.", "batch_size": BatchSize(2)}
    sees = np.ones((3, 4), dtype=np.float32)
    sees[0, 2] = 0  # a head that sees nothing of this picture has no score on it
    like = PictureScores("like", own=sees, donors=sees[None], donor_ids=("a",), sees_image=sees)
    pictures = [((other, texts[:1]), {"head_impact": like}), ((sample, texts), {"head_impact": like})]
    _, found = add_causes(loaded, pictures, names=("head_impact", *CAUSAL_SCORES), **words)
    slopes = measure_gate_gradients(loaded, [sample] * 2, texts, **words)
    np.testing.assert_allclose(found["gate_gradient"].own[1:], (slopes**2).mean(axis=0)[1:], rtol=1e-3)
    rises = measure_knockouts(loaded, [sample] * 2, texts, [{2: [1]}], **words)
    np.testing.assert_allclose(found["knockout"].own[2, 1], rises.mean(), atol=1e-5)
    assert np.isnan(found["knockout"].own[0]).tolist() == [False, False, True, False]


def test_layers_are_chosen_by_what_they_do_to_the_loss(scored):
    for name in CAUSAL_SCORES:
        out = scored.out.parent / name
        done("select", "--scores", scored.out, "--score", name, "--k", 1, "--out", out)
        selection = Selection.read(out / "selection.json")
        assert selection.score == name
        assert selection.layers == (int(HeadScores.read(scored.out).others[name].layer_values[name].argmax()),)


def test_the_cost_is_said_first(scored, caplog):
    with caplog.at_level(logging.INFO):
        announce_causes(load_model(str(scored.model)), CAUSAL_SCORES, pictures=6)
    assert "knockout: 78 forward passes, 1 + 12 of each of 6 pictures" in caplog.text
    assert "gate_gradient: a forward and a backward pass of each of 6 pictures" in caplog.text


def test_all_scores_of_one_pass_leave_them_out(scored):
    out = scored.out.parent / "all"
    answer = done(*scored.words, "--scores", "all", "--out", out, "--json").json
    assert set(answer["layers_by"]) == set(SCORES) - {"head_impact"}
    listed = {row["name"] for row in done("list", "scores", "--json").json["scores"]}
    assert listed == {*SCORES, *CAUSAL_SCORES}


def test_a_lost_shard_is_made_again(scored):
    before = {path: path.read_bytes() for path in scored.out.rglob("*.safetensors")}
    (scored.out / "samples" / "knockout" / "shard_00001.safetensors").unlink()
    (scored.out / "head_scores.json").unlink()
    done(*scored.words, "--scores", ",".join(CAUSAL_SCORES), "--out", scored.out, "--resume")
    assert {path: path.read_bytes() for path in before} == before
    assert json.loads((scored.out / "head_scores.json").read_text())["others"].keys() == set(CAUSAL_SCORES)
