"""Every score of one forward pass: shards, file, selection and report, beside a run of one score alone."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from headimpact.scoring import SCORES, WITHOUT_MASK
from headimpact.scoring.agreement import ScoreAgreement
from headimpact.scoring.combination import find_score
from headimpact.scoring.head_scores import HeadScores
from headimpact.scoring.rank_agreement import spearman
from headimpact.selection.selection import Selection
from tests.integration.conftest import done, run
from tests.integration.test_main_job import SCORE

OTHERS = [name for name in SCORES if name != "head_impact"]


class Runs:
    """One run of every score and one of Head Impact alone, on the same pictures."""

    def __init__(self, root: Path, model: Path, data: Path) -> None:
        self.words = ("score", "--model", model, "--data", data, *SCORE, "--examples", 1)
        self.one, self.all, self.root = root / "one", root / "all", root
        done(*self.words, "--out", self.one)
        self.answer = done(*self.words, "--scores", "all", "--baseline", "untrained", "--json", "--out", self.all).json

    def shards(self, name: str, tensor: str) -> np.ndarray:
        """Read a tensor of all pictures of one score."""
        folder = self.all / "samples" / ("" if name == "head_impact" else name)
        return np.concatenate([load_file(path)[tensor] for path in sorted(folder.glob("shard_*.safetensors"))])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_llava: Path, scenes: Path) -> Runs:
    return Runs(tmp_path_factory.mktemp("many"), tiny_llava, scenes)


def test_a_run_of_one_score_is_not_changed_by_others(runs):
    for path in sorted((runs.one / "samples").iterdir()):
        assert (runs.all / "samples" / path.name).read_bytes() == path.read_bytes()
    alone, found = HeadScores.read(runs.one), HeadScores.read(runs.all)
    assert alone.others == {}
    for name, values in alone.values.items():
        assert np.array_equal(found.values[name], values, equal_nan=True), name
    assert not any(path.is_dir() for path in (runs.one / "samples").iterdir())


def test_the_file_has_a_tensor_of_each_scores_name(runs):
    tensors, found = load_file(runs.all / "head_scores.safetensors"), HeadScores.read(runs.all)
    assert list(found.others) == OTHERS
    for name in SCORES:
        assert tensors[name].shape == (3, 4)
        assert tensors[name].dtype == np.float32
        assert not np.isnan(tensors[name]).any()
        assert found.named(name).counts["used"] == 6
        assert found.named(name).options["score"] == name
        if name not in {"visual_score", "sink_share"}:  # 0 in a model of random weights
            assert not np.array_equal(tensors[f"untrained_{name}"], tensors[name])
    assert found.others["auroc"].baselines["uniform"] == pytest.approx(0.5)
    assert found.others["area_enrichment"].baselines["uniform"] == pytest.approx(1.0)
    masses, shares = (found.others[name].baselines for name in ("attention_mass", "energy_pointing"))
    assert masses == pytest.approx(shares)


def test_scores_without_a_mask_have_no_chance_level(runs):
    found = HeadScores.read(runs.all)
    for name in SCORES:
        assert np.isnan(found.named(name).values["gap"]).all() == (name in WITHOUT_MASK), name


def test_scores_of_one_pass_fit_together_picture_by_picture(runs):
    masses, shares = runs.shards("attention_mass", "own"), runs.shards("energy_pointing", "own")
    np.testing.assert_allclose(masses, shares * runs.shards("image_attention", "own"), rtol=1e-4)
    assert (masses > 0).all()
    donors = runs.shards("attention_mass", "donors") / runs.shards("energy_pointing", "donors")
    np.testing.assert_allclose(donors, np.broadcast_to((masses / shares)[:, None], donors.shape), rtol=1e-4)
    chosen = runs.shards("spatial_entropy", "own").sum(axis=(1, 2))
    assert ((chosen >= 1) & (chosen <= 10)).all()


def test_the_run_says_how_far_its_scores_agree(runs):
    found, agreement = HeadScores.read(runs.all), ScoreAgreement.read(runs.all)
    assert agreement.names == (*SCORES, "depth")
    assert (agreement.images, agreement.num_heads, agreement.num_layers) == (6, 12, 3)
    heads = [found.named(name).values[name].astype(float).ravel() for name in ("head_impact", "auroc")]
    place = agreement.names.index("auroc")
    assert agreement.correlation[0, place] == pytest.approx(spearman(*heads), abs=1e-3)
    assert agreement.low[0, place] <= agreement.high[0, place]
    assert runs.answer["agreement"]["names"] == list(agreement.names)
    assert not (runs.one / "agreement.json").exists()
    page = runs.root / "all.html"
    done("report", runs.all, "--out", page)
    for words in ("Do other scores say the same?", "Rank correlation over heads", "depth alone (layer"):
        assert words in page.read_text(encoding="utf-8")
    said = done(*runs.words, "--scores", "all", "--baseline", "untrained", "--resume", "--out", runs.all).out
    assert "rank correlation" in said
    assert "untrained twin, best head: " in said
    assert "depth alone: " in said


def test_layers_are_chosen_by_any_of_the_scores(runs):
    found = HeadScores.read(runs.all)
    for name in ("head_impact", "image_attention", "auroc"):
        out = runs.root / f"select-{name}"
        done("select", "--scores", runs.all, "--score", name, "--k", 1, "--out", out)
        selection = Selection.read(out / "selection.json")
        assert selection.score == name
        assert selection.layers == (int(found.named(name).layer_values[name].argmax()),)
        assert selection.scores_hash == found.file_hash
    assert runs.answer["layers_by"]["auroc"][0] == selection.layers[0]


def test_layers_are_chosen_by_several_scores_at_once(runs):
    found, out = HeadScores.read(runs.all), runs.root / "select-both"
    done("select", "--scores", runs.all, "--score", "head_impact+auroc", "--k", 1, "--out", out)
    selection = Selection.read(out / "selection.json")
    assert selection.score == "head_impact+auroc"
    assert selection.layers == (int(find_score(found, selection.score).layer_values[selection.score].argmax()),)
    answer = run("select", "--scores", runs.all, "--score", "auroc+auroc", "--out", runs.root / "twice")
    assert answer.code == 2
    assert "named twice" in answer.err


def test_scores_without_sinks_stand_beside_those_with_them(runs):
    out = runs.root / "sinks"
    done(*runs.words, "--scores", "image_attention,visual_score", "--sinks", "--out", out)
    found, plain = HeadScores.read(out), HeadScores.read(runs.all)
    assert list(found.others) == [
        *("image_attention", "visual_score", "sink_share", "head_impact_without_sinks"),
        *("image_attention_without_sinks", "visual_score_without_sinks"),
    ]
    assert np.array_equal(found.values["head_impact"], plain.values["head_impact"])
    assert "sinks" in found.baselines
    for name in ("head_impact", "image_attention"):  # the tiny model has none, so nothing may change
        again = found.named(f"{name}_without_sinks")
        assert np.array_equal(again.values[again.score], found.named(name).values[name])
        assert "sinks" not in again.baselines
    assert ScoreAgreement.read(out).names == ("head_impact", "image_attention", "visual_score", "sink_share", "depth")
    page = runs.root / "sinks.html"
    done("report", out, "--out", page)
    assert "No picture has a sink" in page.read_text(encoding="utf-8")


def test_rows_of_words_are_scored_apart(runs):
    out = runs.root / "words"
    told = done(*runs.words, "--words", "--captions-per-image", 2, "--out", out, "--json").json
    found = HeadScores.read(out)
    used = found.counts["used"]
    kinds = dict.fromkeys(("key_words", "other_nouns", "function_words"), used)
    assert told["pictures_by_kind"] == {**kinds, "own_object": 0, "other_objects": 0}
    text = done(*runs.words, "--words", "--captions-per-image", 2, "--out", out, "--resume").out
    assert f"pictures with such words: key_words {used} of {used}, " in text
    assert f"own_object 0 of {used}, other_objects 0 of {used}" in text
    said = {name.removeprefix("head_impact_"): other.values[name] for name, other in found.others.items()}
    assert list(said) == ["key_words", "other_nouns", "function_words", "own_object", "other_objects"]
    apart = [said.pop(kind) for kind in ("own_object", "other_objects")]
    assert all(np.isnan(one).all() for one in apart)  # one key object a picture
    values = [found.values["head_impact"], *said.values()]
    assert all(np.isfinite(one).all() for one in values)
    assert len({one.tobytes() for one in values}) == 4
    assert not (out / "agreement.json").exists()
    page = runs.root / "words.html"
    done("report", out, "--out", page)
    for words in ("Is it the words?", "function words (negative control)"):
        assert words in page.read_text(encoding="utf-8")
    answer = run(
        "score", "--model", "x", "--data", "y", "--score", "visual_score", "--words", "--out", runs.root / "no"
    )
    assert answer.code == 2
    assert "name another score" in answer.err


def test_a_run_about_another_score_stands_alone(runs):
    out = runs.root / "auroc"
    text = done(*runs.words, "--score", "auroc", "--out", out).out
    assert "best head" in text
    found = HeadScores.read(out)
    assert found.score == "auroc"
    assert np.array_equal(found.values["auroc"], HeadScores.read(runs.all).others["auroc"].values["auroc"])
    page = runs.root / "auroc.html"
    done("report", out, "--out", page)
    assert "its AUROC is" in page.read_text(encoding="utf-8")


def test_a_lost_shard_of_one_score_is_made_again(runs):
    words = (*runs.words, "--scores", "auroc", "--out", runs.root / "cut")
    done(*words)
    before = {path: path.read_bytes() for path in (runs.root / "cut").rglob("*.safetensors")}
    lost = runs.root / "cut" / "samples" / "auroc" / "shard_00001.safetensors"
    lost.unlink()
    (runs.root / "cut" / "head_scores.json").unlink()
    done(*words, "--resume")
    assert {path: path.read_bytes() for path in before} == before
    assert json.loads((runs.root / "cut" / "head_scores.json").read_text())["others"].keys() == {"auroc"}
