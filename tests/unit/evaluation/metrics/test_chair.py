import pytest

from headimpact.evaluation.evaluate import evaluate_predictions
from headimpact.evaluation.metrics.chair import CHAIR_I, CHAIR_S
from tests.unit.evaluation.makers import prediction


def chair(*predictions):
    values = evaluate_predictions(predictions, metrics=["chair_i", "chair_s"]).values
    return values["chair_i"], values["chair_s"]


def said(text, references=("something",), objects=("dog", "bench"), image_id="1"):
    return prediction(image_id, text, references, objects=objects)


def test_by_hand():
    # mentions: puppy (dog, there), cat (not), sofa (couch, not) in one caption; dog in the other
    both = chair(said("A puppy and a cat on a sofa."), said("Two dogs.", image_id="2"))
    assert both == (pytest.approx(2 / 4), 0.5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("A hot dog on a bench.", 0.5, id="a hot dog is no dog"),
        pytest.param("A dog without a cat.", 0.0, id="said not to be there"),
        pytest.param("A dog at a bus stop.", 0.0, id="a compound names something else"),
        pytest.param("A dog, a dog and a cat.", 1 / 3, id="every mention counts"),
        pytest.param("Nothing much.", 0.0, id="names nothing"),
    ],
)
def test_what_counts_as_a_mention(text, expected):
    assert chair(said(text))[0] == pytest.approx(expected)


def test_what_people_name_is_there_too():
    assert chair(said("A cat.", references=["A kitten beside a dog."])) == (0.0, 0.0)
    assert chair(said("A cat.")) == (1.0, 1.0)


def test_all_of_cocos_categories_are_looked_for_where_one_is_cocos():
    assert chair(said("A zebra.", objects=["dog"])) == (1.0, 1.0)
    assert chair(said("A zebra and a circle.", objects=["circle", "square"])) == (0.0, 0.0)
    assert chair(said("A square.", objects=["circle"]), said("x", objects=["square"], image_id="2"))[0] == 1.0


def test_pictures_whose_objects_are_not_known_do_not_count():
    assert chair(said("A cat."), said("A cat.", objects=None, image_id="2")) == (1.0, 1.0)
    assert chair(said("A dog."), said("A cat.", objects=None, image_id="2")) == (0.0, 0.0)
    assert chair(said("A cat.", objects=()), said("A dog.", image_id="2")) == (0.5, 0.5)
    for metric in (CHAIR_I, CHAIR_S):
        assert metric.missing([said("x", objects=None)]) == "the data does not say which objects are in the pictures"
