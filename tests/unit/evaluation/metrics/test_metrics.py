"""Every metric of the table: contract, hand-worked cases, slow twins, and pycocoevalcap's own scorers."""

import dataclasses
import math

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from headimpact.core.errors import UnknownNameError
from headimpact.evaluation.evaluate import tokenize_predictions
from headimpact.evaluation.metrics import ANSWER_METRICS, CAPTION_METRICS, COCO_METRICS, COCO_NAMES, METRICS
from headimpact.evaluation.metrics.exact_match import normalise
from headimpact.evaluation.metrics.metric import Metric, metric_value, metric_values
from headimpact.evaluation.tokenizers import tokenize_python
from tests.unit.evaluation.makers import prediction, random_predictions


def measure(name, predictions, weights=None):
    metric = METRICS.load(name)
    return metric_value(metric, metric.parts(tokenize_predictions(predictions, tokenize_python)), weights)


NEEDS = ("meteor", "spice", "clipscore", "refclipscore", "bertscore")
"""Metrics that need Java or a model; held to the same in files of their own."""

ALONE = tuple(name for name in METRICS if name not in NEEDS)


@pytest.mark.parametrize("name", METRICS)
def test_says_what_it_is(name):
    metric = METRICS.load(name)
    assert isinstance(metric, Metric)
    assert metric.name == name
    assert metric.title
    assert metric.range[0] < metric.range[1]
    assert metric.higher_is_better is not name.startswith("chair")
    assert "Source:" in (type(metric).__doc__ or "")
    assert ("Higher is better" if metric.higher_is_better else "Lower is better") in (type(metric).__doc__ or "")


def test_what_is_measured_by_default_is_in_the_table_and_needs_nothing():
    assert set(CAPTION_METRICS) | set(ANSWER_METRICS) <= set(ALONE)
    assert set(COCO_METRICS) | set(COCO_NAMES) <= set(METRICS)


def one(number, said, reference, **fields):
    """Give a prediction that every metric can measure."""
    return prediction(str(number), said, [reference], objects=["dog"], question_id=f"q{number}", **fields)


@pytest.mark.parametrize("name", ALONE)
class TestContract:
    def test_perfect_responses_reach_the_best_end_and_wrong_ones_the_other(self, name):
        texts = ["a red dog sits here", "two small dogs sleep there", "one big dog stands alone"]
        metric = METRICS.load(name)
        best, worst = metric.range[:: -1 if metric.higher_is_better else 1]
        perfect = [one(i, t, t, names=[t.split()[2]]) for i, t in enumerate(texts)]
        wrong = [one(i, "x y z v cat", t, names=[t.split()[2]]) for i, t in enumerate(texts)]
        assert measure(name, perfect) == pytest.approx(best, abs=1e-6)
        assert measure(name, wrong) == pytest.approx(worst, abs=1e-3)

    def test_stays_in_range_and_gives_finite_parts(self, name):
        metric = METRICS.load(name)
        parts = metric.parts(tokenize_predictions(random_predictions(40), tokenize_python))
        assert np.isfinite(parts).all()
        values = metric_values(metric, parts, np.random.default_rng(0).integers(1, 4, size=(50, 40)).astype(float))
        assert values.shape == (50,)
        assert ((values >= metric.range[0]) & (values <= metric.range[1])).all()

    def test_the_order_of_pictures_does_not_matter(self, name):
        predictions = random_predictions(20)
        assert measure(name, predictions) == pytest.approx(measure(name, predictions[::-1]), abs=1e-12)

    def test_bad_and_empty_responses_do_not_break_it(self, name):
        texts = ["", ".", "   ", "\n", "(", "\u201c", "\U0001f600"]
        value = measure(name, [one(i, t, "a dog", names=["dog"]) for i, t in enumerate(texts)])
        assert value == pytest.approx(0.0, abs=1e-3)

    def test_writes_nothing(self, name, capfd):
        measure(name, random_predictions(5))
        assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", [name for name in ALONE if name != "cider_d"])
def test_a_weighted_value_is_the_value_of_the_multiset(name):
    predictions = random_predictions(15)
    weights = np.random.default_rng(1).integers(0, 4, size=15)
    repeated = [
        dataclasses.replace(p, image_id=f"{p.image_id}-{n}")
        for p, w in zip(predictions, weights, strict=True)
        for n in range(w)
    ]
    assert measure(name, predictions, weights.astype(float)) == pytest.approx(measure(name, repeated), abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_bleu_of_any_resample_is_pycocoevalcaps(order, seed):
    predictions = random_predictions(25, seed=seed)
    tokenized = tokenize_predictions(predictions, tokenize_python)
    weights = np.random.default_rng(seed).multinomial(25, np.full(25, 1 / 25))
    scorer = BleuScorer(n=4)
    for candidate, references, weight in zip(tokenized.candidates, tokenized.references, weights, strict=True):
        for _ in range(weight):
            scorer += (candidate, list(references))
    expected, _ = scorer.compute_score(option="closest", verbose=0)
    metric = METRICS.load(f"bleu_{order}")
    found = metric_value(metric, metric.parts(tokenized), weights.astype(float))
    assert found == pytest.approx(expected[order - 1], rel=1e-12)


def test_bleu_by_hand():
    pair = [prediction("1", "a a dog", ["a dog runs", "the big dog runs far away"])]
    # unigrams: "a" clipped to 1 of 2, "dog" 1: 2/3; bigrams: "a dog" of "a a", "a dog": 1/2; equal length, no penalty
    assert measure("bleu_1", pair) == pytest.approx(2 / 3)
    assert measure("bleu_2", pair) == pytest.approx(math.sqrt(2 / 3 * 1 / 2))
    short = [prediction("1", "a dog", ["a dog runs"])]
    assert measure("bleu_1", short) == pytest.approx(math.exp(1 - 3 / 2))


def test_bleu_takes_the_closest_and_then_the_shorter_reference_length():
    parts = METRICS.load("bleu_1").parts(
        tokenize_predictions([prediction("1", "a b c", ["a b", "a b c d", "a b c d e f"])], tokenize_python)
    )
    assert parts.tolist() == [[3, 2, 3, 3]]


def test_rouge_l_by_hand():
    # longest common subsequence "a dog home" of 3; precision 3/4, recall 3/3; beta 1.2
    value = measure("rouge_l", [prediction("1", "a dog runs home", ["a dog home"])])
    assert value == pytest.approx((1 + 1.44) * 0.75 * 1 / (1 + 1.44 * 0.75))


@pytest.mark.parametrize("seed", range(3))
def test_means_equal_pycocoevalcaps(seed):
    predictions = random_predictions(20, seed=seed)
    tokenized = tokenize_predictions(predictions, tokenize_python)
    references = {i: list(texts) for i, texts in enumerate(tokenized.references)}
    candidates = {i: [text] for i, text in enumerate(tokenized.candidates)}
    assert measure("rouge_l", predictions) == pytest.approx(Rouge().compute_score(references, candidates)[0])
    assert measure("cider_d", predictions) == pytest.approx(Cider().compute_score(references, candidates)[0])


def test_cider_d_by_hand():
    # two pictures, one reference each: idf = log 2 for words of one, 0 for words of both; 1-grams to 4-grams
    pair = [prediction("1", "red dog", ["red dog"]), prediction("2", "blue dog", ["green dog"])]
    # picture 1: cosine 1 for n = 1, 2 and none for 3, 4: 10 * (1 + 1 + 0 + 0) / 4; picture 2: only "dog", idf 0
    assert measure("cider_d", pair) == pytest.approx((5.0 + 0.0) / 2)


def test_cider_d_keeps_the_document_frequencies_when_pictures_are_resampled():
    predictions = random_predictions(12)
    metric = METRICS.load("cider_d")
    parts = metric.parts(tokenize_predictions(predictions, tokenize_python))
    weights = np.arange(12.0)
    assert metric_value(metric, parts, weights) == pytest.approx(np.average(parts[:, 0], weights=weights))


@pytest.mark.parametrize("count", [1, 2])
def test_cider_d_of_empty_references_is_zero(count):
    assert measure("cider_d", [prediction(str(i), "a dog", ["."]) for i in range(count)]) == 0.0


@pytest.mark.parametrize(
    ("text", "references", "expected"),
    [
        pytest.param("A red Circle.", ["a red circle"], 1, id="case and end"),
        pytest.param("a  red\ncircle !", ["other", "A red circle"], 1, id="blanks, second reference"),
        pytest.param("a red, circle", ["a red circle"], 0, id="inner punctuation counts"),
        pytest.param("a red circl", ["a red circle"], 0, id="a letter short"),
        pytest.param("", ["a"], 0, id="empty response"),
        pytest.param("cafe\u0301", ["caf\u00e9"], 1, id="composed accents"),
    ],
)
def test_exact_match(text, references, expected):
    assert measure("exact_match", [prediction("1", text, references)]) == expected
    assert normalise(normalise(text)) == normalise(text)


def test_key_object_recall_shares_the_readers_rule_for_naming():
    named = [
        prediction("1", "Two women walk.", names=["person", "people", "woman", "women"]),
        prediction("2", "a hot dog", names=["dog", "dogs"]),
    ]
    assert measure("key_object_recall", named) == 0.5


def test_key_object_recall_counts_only_pictures_with_names():
    named = [prediction("1", "a dog", names=["dog"]), prediction("2", "a cat", names=["dog"]), prediction("3", "x")]
    assert measure("key_object_recall", named) == 0.5
    assert METRICS.load("key_object_recall").missing(named[2:]) == "no picture has names of key objects"


def test_a_resample_without_any_named_picture_is_nan_not_zero():
    metric = METRICS.load("key_object_recall")
    parts = metric.parts(
        tokenize_predictions([prediction("1", "a dog", names=["dog"]), prediction("2")], tokenize_python)
    )
    values = metric_values(metric, parts, np.array([[1.0, 1.0], [0.0, 2.0]]))
    assert values[0] == 1.0
    assert np.isnan(values[1])


def test_thousands_of_resamples_are_fast():
    import time

    metric = METRICS.load("bleu_4")
    parts = metric.parts(tokenize_predictions(random_predictions(300), tokenize_python))
    weights = np.ones((5000, 300))
    start = time.perf_counter()
    metric_values(metric, parts, weights)
    assert time.perf_counter() - start < 2.0


def test_unknown_metric_suggests_a_near_one():
    with pytest.raises(UnknownNameError, match="Did you mean 'cider_d'"):
        METRICS.load("cider")
