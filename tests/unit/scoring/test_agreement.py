"""Agreement of scores over the same pictures: by hand, pair by pair, with gaps, with one picture, in a file."""

import json

import numpy as np
import pytest

from headimpact.core.errors import DataFormatError
from headimpact.scoring.agreement import AGREEMENT_FILE, DEPTH, ScoreAgreement, score_agreement
from headimpact.scoring.rank_agreement import spearman, top_overlap


def pictures(*heads):
    """Give the same heads `[layers, heads]` of every picture, one array per picture."""
    return np.array(heads, dtype=np.float32)


def noisy(seed, images=20, noise=0.3):
    """Give scores that heads have in common over pictures, with noise."""
    generator = np.random.default_rng(seed)
    return (generator.random((1, 4, 3)) + noise * generator.normal(size=(images, 4, 3))).astype(np.float32)


def test_worked_by_hand():
    first = pictures([[1, 2], [3, 4]])
    second = pictures([[10, 30], [20, 40]])
    found = score_agreement({"a": first, "b": second}, k=1)
    assert found.names == ("a", "b", DEPTH)
    # d = 0, 1, 1, 0: 1 - 6 * 2 / (4 * 15).
    assert found.correlation[0, 1] == pytest.approx(0.8)
    # Ranks 1 2 3 4 against 1.5 1.5 3.5 3.5.
    assert found.correlation[0, 2] == pytest.approx(4 / np.sqrt(5 * 4))
    assert found.overlap.tolist() == [[1.0] * 3] * 3
    assert (found.k, found.num_heads, found.num_layers, found.images) == (1, 4, 2, 1)


def test_agrees_with_every_pair_by_itself():
    own = {name: noisy(seed) for seed, name in enumerate("abc")}
    found = score_agreement(own, k=2, resamples=50)
    means = [values.mean(axis=0, dtype=np.float64) for values in own.values()]
    means.append(np.repeat(np.arange(4.0)[:, None], 3, axis=1))
    for row, one in enumerate(means):
        for column, other in enumerate(means):
            assert found.correlation[row, column] == pytest.approx(spearman(one.ravel(), other.ravel()))
            assert found.overlap[row, column] == top_overlap(one.mean(axis=1), other.mean(axis=1), k=2)


def test_layers_are_put_together_as_the_run_does():
    own = {"a": pictures([[0, 9], [4, 4]]), "b": pictures([[0, 1], [5, 5]])}
    assert score_agreement({**own, "a": pictures([[0, 7], [4, 4]])}, k=1).overlap[0, 1] == 1.0
    assert score_agreement({**own, "a": pictures([[0, 7], [4, 4]])}, k=1, layer_aggregation="max").overlap[0, 1] == 0.0


def test_the_interval_covers_what_other_pictures_show():
    truth = np.random.default_rng(3).random((1, 6, 8))
    other = truth + 0.4 * np.random.default_rng(4).random((1, 6, 8))
    expected = spearman(truth.ravel(), other.ravel())
    hits = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        shared = 0.05 * generator.normal(size=(60, 6, 8))
        found = score_agreement({"a": truth + shared, "b": other + shared}, k=2, resamples=100, seed=seed)
        hits += bool(found.low[0, 1] <= expected <= found.high[0, 1])
        assert found.low[0, 1] < found.high[0, 1]
    assert hits >= 33


def test_all_scores_are_resampled_with_the_same_pictures():
    same = noisy(5)
    found = score_agreement({"a": same, "b": same.copy()}, k=1, resamples=30)
    assert found.low[0, 1] == found.high[0, 1] == pytest.approx(1.0)


def test_heads_that_a_score_has_none_for_are_left_out_for_all():
    own = {"a": noisy(6), "b": noisy(7), "none": np.full((20, 4, 3), np.nan, dtype=np.float32)}
    own["b"][:, 0] = np.nan
    own["a"][3, 2, 1] = np.nan
    found = score_agreement(own, k=9, resamples=20)
    assert (found.num_heads, found.num_layers, found.k) == (9, 3, 3)
    kept = [own[name][:, 1:] for name in ("a", "b")]
    assert found.correlation[0, 1] == pytest.approx(
        spearman(np.nanmean(kept[0], 0).ravel(), np.nanmean(kept[1], 0).ravel())
    )
    assert np.isnan(found.correlation[2]).all()
    assert np.isnan(found.overlap[2]).all()
    assert np.isfinite(found.low[0, 1])


def test_a_score_that_is_the_same_for_all_heads_agrees_with_none():
    found = score_agreement({"a": noisy(8), "flat": np.ones((20, 4, 3), dtype=np.float32)}, k=1, resamples=10)
    assert np.isnan(found.correlation[1]).all()
    assert np.isnan(found.overlap[1]).all()


def test_one_picture_has_no_interval():
    found = score_agreement({"a": noisy(9, images=1), "b": noisy(10, images=1)}, k=1)
    assert np.isfinite(found.correlation[0, 1])
    assert np.isnan(found.low).all()


def test_file_and_back(tmp_path):
    found = score_agreement({"a": noisy(11), "flat": np.ones((20, 4, 3), dtype=np.float32)}, k=1, resamples=10)
    found.write(tmp_path)
    again = ScoreAgreement.read(tmp_path)
    assert again.names == found.names
    for name in ("correlation", "low", "high", "overlap"):
        assert np.array_equal(getattr(again, name), getattr(found, name), equal_nan=True)
    assert again.to_json() == found.to_json()


@pytest.mark.parametrize("broken", [{"names": ["a"]}, {"low": None}, {"high": [[1.0]]}], ids=["names", "none", "shape"])
def test_a_broken_file_is_refused(tmp_path, broken):
    score_agreement({"a": noisy(12), "b": noisy(13)}, k=1, resamples=5).write(tmp_path)
    path = tmp_path / AGREEMENT_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **broken}))
    with pytest.raises(DataFormatError, match="score the model again"):
        ScoreAgreement.read(tmp_path)
