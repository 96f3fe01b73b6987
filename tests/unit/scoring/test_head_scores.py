import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from headimpact.core.errors import DataFormatError, UnknownNameError
from headimpact.scoring.head_scores import STATISTICS, HeadScores
from tests.unit.scoring.makers import architecture


def head_scores(seed=0, **changes):
    generator = np.random.default_rng(seed)
    names = ("head_impact", *STATISTICS)
    fields = {
        "score": "head_impact",
        "values": {name: generator.random((2, 3)).astype(np.float32) for name in names},
        "layer_values": {name: generator.random(2).astype(np.float32) for name in names},
        "counts": {"used": 12, "skipped": {"cropped_away": 1}},
        "architecture": architecture(),
        "options": {"rule": "area", "k": 1.0},
        "provenance": {"model": "embedded"},
        "warnings": ("Few pictures.",),
        "baselines": {"uniform": 0.1},
        "baseline_statistics": {"uniform": {"head_impact": 0.1, "z": float("nan")}},
        "held_out": ({"layer_idx": 1, "head_impact": 0.4, "gap_low": float("nan")},),
        "image_hashes": ("a", "b"),
    }
    return HeadScores(**{**fields, **changes})


def same(first, second):
    for field in ("values", "layer_values"):
        one, other = getattr(first, field), getattr(second, field)
        assert set(one) == set(other)
        for name in one:
            assert np.array_equal(one[name], other[name], equal_nan=True)
    for field in ("score", "counts", "architecture", "options", "provenance", "warnings", "baselines", "image_hashes"):
        assert getattr(first, field) == getattr(second, field)
    for field in ("baseline_statistics", "held_out"):
        assert repr(getattr(first, field)) == repr(getattr(second, field))
    return True


def test_read_back(tmp_path):
    scores = head_scores()
    scores.values["z"][0, 1] = np.nan
    scores.write(tmp_path)
    for path in (tmp_path, tmp_path / "head_scores.json"):
        found = HeadScores.read(path)
        assert same(found, scores)
        assert found.baseline is None
        assert found.file_hash is not None
        assert len(found.file_hash) == 16


def named(name, seed, **changes):
    """Scores of the same run under another name."""
    made = head_scores(seed=seed)
    values, layers = (
        {(name if key == "head_impact" else key): array for key, array in arrays.items()}
        for arrays in (made.values, made.layer_values)
    )
    return dataclasses.replace(made, score=name, values=values, layer_values=layers, **changes)


def test_further_scores_are_read_back_by_name(tmp_path):
    others = {"auroc": named("auroc", 2, baseline=named("auroc", 3)), "image_attention": named("image_attention", 4)}
    scores = head_scores(baseline=head_scores(seed=1), others=others)
    scores.write(tmp_path)
    found = HeadScores.read(tmp_path)
    assert same(found, scores)
    assert same(found.baseline, scores.baseline)
    assert list(found.others) == ["auroc", "image_attention"]
    for name, other in others.items():
        assert same(found.named(name), other)
        assert found.named(name).file_hash == found.file_hash
    assert same(found.named("auroc").baseline, others["auroc"].baseline)
    assert found.named("image_attention").baseline is None
    assert same(found.named("head_impact"), scores)
    assert found.named("head_impact").others == {}
    tensors = load_file(tmp_path / "head_scores.safetensors")
    assert np.array_equal(tensors["auroc"], others["auroc"].values["auroc"])
    assert np.array_equal(tensors["layer_auroc_gap"], others["auroc"].layer_values["gap"])
    assert np.array_equal(tensors["untrained_auroc_q"], others["auroc"].baseline.values["q"])
    assert np.array_equal(tensors["q"], scores.values["q"])


def test_a_score_alone_is_written_as_before_there_were_others(tmp_path):
    head_scores(baseline=head_scores(seed=1)).write(tmp_path)
    assert "others" not in json.loads((tmp_path / "head_scores.json").read_text())
    assert len(load_file(tmp_path / "head_scores.safetensors")) == 32
    with pytest.raises(UnknownNameError, match=r"score of this run 'auroc'\. Known: head_impact\. .*--scores auroc"):
        HeadScores.read(tmp_path).named("auroc")


def test_what_is_added_is_added_to_every_score():
    twin = head_scores(seed=1, others={"auroc": named("auroc", 3)})
    scores = head_scores(others={"auroc": named("auroc", 2)}).with_baseline(twin)
    scores = scores.with_warnings(("More.",)).with_skipped({"cropped_away": 2, "no_caption": 1})
    for each in (scores, scores.others["auroc"]):
        assert each.warnings == ("Few pictures.", "More.")
        assert each.counts["skipped"] == {"cropped_away": 3, "no_caption": 1}
    assert same(scores.baseline, head_scores(seed=1))
    assert same(scores.others["auroc"].baseline, named("auroc", 3))
    assert scores.baseline.others == {}


def test_the_untrained_twin_is_read_back(tmp_path):
    twin = head_scores(seed=1, counts={"used": 11, "skipped": {}})
    scores = head_scores(baseline=twin)
    scores.write(tmp_path)
    found = HeadScores.read(tmp_path)
    assert same(found, scores)
    assert same(found.baseline, twin)


def test_tensors_carry_the_promised_names(tmp_path):
    head_scores(baseline=head_scores(seed=1)).write(tmp_path)
    tensors = load_file(tmp_path / "head_scores.safetensors")
    assert tensors["head_impact"].dtype == np.float32
    assert tensors["head_impact"].shape == (2, 3)
    assert tensors["layer_head_impact"].shape == (2,)
    for name in ("null_mean", "gap", "gap_low", "gap_high", "z", "p", "q", "untrained_head_impact"):
        assert tensors[name].shape == (2, 3)
    content = json.loads((tmp_path / "head_scores.json").read_text())
    assert content["schema"] == "head_scores/1"
    assert content["counts"] == {"used": 12, "skipped": {"cropped_away": 1}}
    assert content["architecture"]["num_layers"] == 2


def test_the_same_scores_give_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        head_scores().write(tmp_path / folder)
    for name in ("head_scores.json", "head_scores.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_files_of_two_runs_are_refused(tmp_path):
    head_scores().write(tmp_path / "a")
    head_scores(seed=1).write(tmp_path / "b")
    (tmp_path / "b" / "head_scores.safetensors").replace(tmp_path / "a" / "head_scores.safetensors")
    with pytest.raises(
        DataFormatError, match=r"is not the one that head_scores.json belongs to.*both files of one run"
    ):
        HeadScores.read(tmp_path / "a")


DAMAGE = {
    "field missing": lambda content: content.pop("counts"),
    "architecture broken": lambda content: content["architecture"].pop("num_heads"),
    "other architecture": lambda content: content["architecture"].update(num_heads=5),
    "wrong kind": lambda content: content.update(baselines=3),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_broken_files_are_refused(tmp_path, damage):
    head_scores().write(tmp_path)
    content = json.loads((tmp_path / "head_scores.json").read_text())
    damage(content)
    (tmp_path / "head_scores.json").write_text(json.dumps(content))
    with pytest.raises(DataFormatError, match=r"[Ss]core the model again"):
        HeadScores.read(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataFormatError, match=r"File not found: .*head_scores.json"):
        HeadScores.read(tmp_path)


def test_a_wrong_folder_is_not_taken_for_the_one_above_it(tmp_path):
    head_scores().write(tmp_path)
    assert HeadScores.read(tmp_path / "head_scores.json").score == HeadScores.read(tmp_path).score
    with pytest.raises(DataFormatError, match=r"File not found: .*typo/head_scores.json"):
        HeadScores.read(tmp_path / "typo")


def test_values_of_another_shape_are_refused():
    values = {**head_scores().values, "gap": np.zeros((3, 2), dtype=np.float32)}
    with pytest.raises(DataFormatError, match=r"head values 'gap' have shape \(3, 2\), expected \(2, 3\)"):
        head_scores(values=values)
    with pytest.raises(DataFormatError, match="layer values 'q' have shape None"):
        head_scores(layer_values={k: v for k, v in head_scores().layer_values.items() if k != "q"})


def test_earlier_skips_are_added():
    scores = head_scores().with_skipped({"no_caption": 2, "cropped_away": 3})
    assert scores.counts == {"used": 12, "skipped": {"cropped_away": 4, "no_caption": 2}}


def test_the_value_object_and_the_table_need_no_torch():
    code = "import sys; sys.modules['torch'] = None\n"
    code += "import headimpact.scoring, headimpact.scoring.head_statistics, headimpact.selection.strategies"
    subprocess.run([sys.executable, "-c", code], check=True)
    control = "import sys; sys.modules['torch'] = None\nimport headimpact.scoring.head_impact"
    assert subprocess.run([sys.executable, "-c", control], check=False, capture_output=True).returncode
