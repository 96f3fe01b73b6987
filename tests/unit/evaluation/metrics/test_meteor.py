"""METEOR: one run of the jar for all tests, since it takes ten seconds to start."""

import shutil

import numpy as np
import pytest

from headimpact.core.errors import RunFailedError
from headimpact.evaluation.evaluate import tokenize_predictions
from headimpact.evaluation.metrics import meteor
from headimpact.evaluation.metrics.metric import metric_value, metric_values
from headimpact.evaluation.tokenizers import tokenize_ptb
from tests.unit.evaluation.makers import golden, prediction, random_predictions

METRIC = meteor.METRIC
ODD = {
    "perfect": ("a dog runs", ["a cat", "a dog runs"]),
    "stem": ("a dog running", ["a dog runs"]),
    "disjoint": ("x y z", ["a dog runs"]),
    "two pieces": ("runs a dog", ["a dog runs"]),
    "empty": ("", ["a dog"]),
    "empty reference": ("a dog", ["."]),
    "nothing": ("", ["."]),
    "bars": ("a ||| dog", ["a dog ||| x"]),
    "accents": ("caf\u00e9", ["caf\u00e9"]),
}


@pytest.fixture(scope="module")
def counted():
    """Give the parts of the golden predictions, of random ones, and of the odd ones by name."""
    if shutil.which("java") is None:
        pytest.skip("no java on the path")
    real, expected = golden()
    odd = [prediction(name, *pair) for name, pair in ODD.items()]
    parts = METRIC.parts(tokenize_predictions([*real, *random_predictions(20), *odd], tokenize_ptb))
    one_by_one = dict(zip(ODD, parts[-len(odd) :], strict=True))
    return parts[: len(real)], expected["METEOR"], parts[len(real) : -len(odd)], one_by_one


def value(*rows):
    return metric_value(METRIC, np.stack(rows))


def test_equals_pycocoevalcap_on_the_golden_captions(counted):
    parts, expected, _, _ = counted
    assert metric_value(METRIC, parts) == pytest.approx(expected, abs=1e-12)


def test_stays_in_range_and_gives_finite_parts(counted):
    parts = counted[2]
    assert np.isfinite(parts).all()
    values = metric_values(METRIC, parts, np.random.default_rng(0).integers(1, 4, size=(50, 20)).astype(float))
    assert ((values >= 0) & (values <= 1)).all()


def test_the_best_and_the_worst(counted):
    rows = counted[3]
    assert value(rows["perfect"]) == 1.0
    assert value(rows["perfect"], rows["accents"]) == 1.0
    assert value(rows["disjoint"]) == 0.0
    for name in ("empty", "empty reference", "nothing"):
        assert value(rows[name]) == 0.0, name
    assert 0 < value(rows["bars"]) < 1


def test_by_hand(counted):
    # "runs a dog" for "a dog runs": all words match, in two pieces of 3 words: 1 - 0.6 (2/3)^0.2
    assert value(counted[3]["two pieces"]) == pytest.approx(1 - 0.6 * (2 / 3) ** 0.2)
    # "a" counts 0.25, "dog" 0.75, the stem of "running" 0.6 of 0.75, all of 1.75; in one piece, so no penalty
    assert value(counted[3]["stem"]) == pytest.approx((0.25 + 0.75 + 0.6 * 0.75) / 1.75)


def test_a_weighted_value_is_the_value_of_the_multiset(counted):
    parts = np.concatenate([counted[2], np.stack(list(counted[3].values()))])
    weights = np.random.default_rng(1).integers(0, 4, size=len(parts))
    repeated = np.repeat(parts, weights, axis=0)
    assert metric_value(METRIC, parts, weights.astype(float)) == pytest.approx(metric_value(METRIC, repeated))


def test_without_java_says_how_to_get_it(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert "install a Java runtime" in (METRIC.missing([prediction()]) or "")


def test_an_answer_of_another_length_is_refused(monkeypatch):
    monkeypatch.setattr(meteor, "run_java", lambda *_, **__: "1.0 2.0\n")
    with pytest.raises(RunFailedError, match=r"METEOR gave 1 lines for 2 responses; expected one of 23 counts"):
        METRIC.parts(tokenize_predictions([prediction("1"), prediction("2")], list))
