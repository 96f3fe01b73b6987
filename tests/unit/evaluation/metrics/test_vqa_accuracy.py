import itertools

import numpy as np
import pytest

from headimpact.evaluation.evaluate import evaluate_predictions
from headimpact.evaluation.metrics.vqa_accuracy import METRIC, answer_accuracy, normalise_answer
from tests.unit.evaluation.makers import prediction


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Yes.", "yes", id="case and full stop"),
        pytest.param(" a  cat\n", "cat", id="blanks and article"),
        pytest.param("The Dog and an apple", "dog and apple", id="articles"),
        pytest.param("none", "0", id="none"),
        pytest.param("Two, three", "2 3", id="number words, loose comma"),
        pytest.param("ten people", "10 people", id="ten"),
        pytest.param("twenty one", "twenty 1", id="no number above ten"),
        pytest.param("red-green", "red green", id="hyphen becomes a blank"),
        pytest.param("red - green", "red green", id="loose hyphen goes"),
        pytest.param("left/right , no", "left/right no".replace("/", " "), id="each mark by itself"),
        pytest.param("1,000", "1000", id="thousands"),
        pytest.param("1,000 t-shirts", "1000 tshirts", id="with thousands every mark goes"),
        pytest.param("3.5", "3.5", id="decimal point stays"),
        pytest.param("u.s.a.", "usa", id="other points go"),
        pytest.param("dont", "don't", id="contraction"),
        pytest.param("couldnt've", "couldn't've", id="one of two apostrophes"),
        pytest.param("couldn'tve", "couldn't've", id="the other of two"),
        pytest.param("it's", "it's", id="what is right stays"),
        pytest.param("its", "its", id="what may be something else stays"),
        pytest.param("", "", id="nothing"),
        pytest.param("the", "", id="nothing but an article"),
    ],
)
def test_normalises_as_the_evaluation_code_does(text, expected):
    assert normalise_answer(text) == expected


@pytest.mark.parametrize("matching", range(11))
def test_of_ten_answers_each_is_left_out_in_turn(matching):
    answers = ["yes"] * matching + ["no"] * (10 - matching)
    # the slow way: every nine of the ten
    nines = [sum(answer == "yes" for answer in nine) for nine in itertools.combinations(answers, 9)]
    expected = np.mean([min(count / 3, 1.0) for count in nines])
    assert answer_accuracy("Yes!", answers) == pytest.approx(expected)


def test_by_hand():
    # 2 of 10: two of the nines hold 1 match, eight hold 2: (2 * 1/3 + 8 * 2/3) / 10
    assert answer_accuracy("two", ["2"] * 2 + ["3"] * 8) == pytest.approx((2 / 3 + 16 / 3) / 10)


@pytest.mark.parametrize("answers", [["a red one"], ["crimson", "red one"], ["x", "y", "red one"]])
def test_up_to_three_answers_are_wordings_of_one(answers):
    assert answer_accuracy("Red one", answers) == 1.0
    assert answer_accuracy("blue one", answers) == 0.0


def test_needs_a_question():
    assert METRIC.missing([prediction()]) == "no response answers a question"
    assert METRIC.missing([prediction(question_id="1")]) is None


def test_answers_of_a_picture_are_added_up_so_that_pictures_are_resampled():
    asked = [("1", "yes"), ("1", "yes"), ("1", "no"), ("2", "no")]
    answers = [prediction(i, text, ["yes"], question_id=str(n)) for n, (i, text) in enumerate(asked)]
    found = evaluate_predictions(answers)
    assert found.image_ids == ("1", "2")
    assert set(found.values) == {"exact_match", "vqa_accuracy"}
    assert found.values["vqa_accuracy"] == 0.5
    assert found.parts["vqa_accuracy"].tolist() == [[2, 3], [0, 1]]
