"""Closed questions: what is asked, what is not, and that chance depends on the picture alone."""

import random
from collections import Counter

import pytest

from headimpact.core.errors import OptionError
from headimpact.data.build.mentions import build_mention_finder
from headimpact.data.build.questions import COUNTED_LOOSELY, KINDS, LOOKALIKES, QuestionRule, ask_questions
from headimpact.data.synonyms import SYNONYMS
from tests.unit.data.build.makers import FINDER, picture


def asked(captions, things, kind, *, keys=(), image_id="1", finder=FINDER, **options):
    """Ask and keep one kind."""
    shown = picture(captions, things, image_id=image_id)
    questions = ask_questions(shown, finder, key_categories=keys, rule=QuestionRule(**options))
    return [one for one in questions if one.kind == kind]


def test_all_kinds_by_hand():
    finder = build_mention_finder(["dog", "apple", "zebra", "tie"])
    questions = ask_questions(picture("A dog.", "2 dog .1 middle", image_id="9"), finder)
    assert [(one.question_id, one.kind, one.answer) for one in questions] == [
        ("9-which-1", "which", "dog"), ("9-presence-1", "presence", "yes"), ("9-presence-2", "presence", "no"),
        ("9-count-1", "count", "2"),
    ]  # fmt: skip
    which, there, missing, count = questions
    assert "dog" in which.choices
    assert which.question.startswith("Which is in the picture: a")
    assert " or a" in which.question
    assert there.question == "Is there a dog in the picture?"
    assert missing.categories[0] in {"apple", "zebra", "tie"}
    assert count.question == "How many dogs are in the picture?"


def test_sides_by_hand():
    (one,) = asked("", "dog .04 left, car .04 right", "side")
    expected = {
        "Is the dog to the left or to the right of the car?": "left",
        "Is the car to the left or to the right of the dog?": "right",
    }
    assert one.answer == expected[one.question]
    assert one.choices == ("left", "right")


def test_left_is_right_as_often_as_right():
    answers = Counter(
        one.answer for n in range(400) for one in asked("", "dog .04 left, car .04 right", "side", image_id=str(n))
    )
    assert sum(answers.values()) == 400
    assert abs(answers["left"] - 200) < 40


@pytest.mark.parametrize(
    "things",
    [
        pytest.param("dog .04 left, car .04 left", id="same-place"),
        pytest.param("dog .2 left, car .2 middle", id="boxes-overlap"),
        pytest.param("dog .07 left, car .1 middle", id="gap-too-small"),
        pytest.param("2 dog .04 left, car .04 right", id="two-dogs"),
        pytest.param("crowd dog .04 left, car .04 right", id="crowd"),
        pytest.param("dog .001 left, car .04 right", id="tiny"),
        pytest.param("dog .04 left", id="alone"),
    ],
)
def test_no_side_where_it_is_not_clear(things):
    assert asked("", things, "side") == []


@pytest.mark.parametrize(
    ("things", "answers"),
    [
        pytest.param("dog .1 middle", ["1"], id="one"),
        pytest.param("4 dog .02 middle", ["4"], id="four"),
        pytest.param("5 dog .02 middle", [], id="too-many"),
        pytest.param("crowd dog .1 middle", [], id="crowd"),
        pytest.param("2 dog .1 left, crowd dog .1 right", [], id="and-a-crowd"),
        pytest.param("dog .1 left, dog .001 right", [], id="one-tiny"),
        pytest.param("2 banana .1 left", [], id="counted-in-bunches"),
        pytest.param("2 dog .1 left, 3 cat .02 right", ["2", "3"], id="two-kinds"),
    ],
)
def test_counts(things, answers):
    assert [one.answer for one in asked("", things, "count")] == answers


def test_yes_and_no_are_balanced():
    for n in range(30):
        answers = [one.answer for one in asked("A dog.", "dog .1 left, cup .1 right", "presence", image_id=str(n))]
        assert answers == ["yes", "no", "yes", "no"]
    assert asked("", "", "presence") == []


def test_without_absent_categories_there_is_no_yes_either():
    assert ask_questions(picture("A dog.", "dog .1 left"), build_mention_finder(["dog"]))[0].kind == "count"


def test_no_is_never_said_of_what_may_be_there():
    for n in range(200):
        questions = ask_questions(
            picture("A truck by a bench.", "cup .1 left, dog .001 right", image_id=str(n)), FINDER
        )
        absent = {category for one in questions for category in one.categories if one.answer == "no"}
        absent |= {category for one in questions if one.kind == "which" for category in one.categories} - {"cup"}
        assert absent
        assert not absent & {"truck", "bench", "cup", "dog"}, "named, annotated, or too small to ask about"
        assert not absent & {"car", "bus", "chair", "bowl", "horse"}, "easily taken for what is there"


def test_the_words_do_not_show_the_number():
    one, four = asked("", "dog .1 left", "presence")[0], asked("", "4 dog .05 left", "presence")[0]
    assert one.question == four.question


def test_which_shows_what_is_there_in_any_place():
    places = Counter(
        one.choices.index(one.answer) for n in range(300) for one in asked("", "dog .1 left", "which", image_id=str(n))
    )
    assert set(places) == {0, 1, 2}
    assert min(places.values()) > 60


def test_key_objects_are_asked_about_first():
    things = "dog .1 left, cup .2 right, bed .3 middle"
    assert [one.answer for one in asked("", things, "which")] == ["bed", "cup"]
    assert [one.answer for one in asked("", things, "which", keys=["dog"])] == ["dog", "bed"]


def test_questions_depend_on_the_picture_and_the_seed_only():
    pictures = [picture("A dog.", "dog .04 left, car .04 right, cup .02 top", image_id=str(n)) for n in range(20)]
    first = {one.image_id: ask_questions(one, FINDER) for one in pictures}
    random.Random(0).shuffle(pictures)
    backwards = build_mention_finder(reversed(FINDER.categories))
    assert {one.image_id: ask_questions(one, backwards) for one in pictures} == first
    assert {one.image_id: ask_questions(one, FINDER, rule=QuestionRule(seed=1)) for one in pictures} != first
    assert len({questions[1].question for questions in first.values()}) > 1


def test_options_limit_what_is_asked():
    things = "dog .04 left, car .04 right, cup .02 top, 3 cat .02 middle"
    assert len(asked("", things, "count", most_per_kind=3)) == 3
    assert {len(one.choices) for one in asked("", things, "which", num_choices=4)} == {4}
    assert "3" not in {one.answer for one in asked("", things, "count", most_per_kind=9, largest_count=2)}
    assert asked("", things, "which", smallest_area_share=0.5) == []


def test_tables_name_cocos_categories():
    assert {category for group in LOOKALIKES for category in group} <= set(SYNONYMS)
    assert set(SYNONYMS) >= COUNTED_LOOSELY
    assert len(set(KINDS)) == 4


@pytest.mark.parametrize(
    "options",
    [
        {"most_per_kind": 0},
        {"num_choices": 1},
        {"largest_count": 0},
        {"smallest_area_share": 2.0},
        {"smallest_gap": -1.0},
    ],
)
def test_bad_options(options):
    with pytest.raises(OptionError, match="2 choices, and shares in"):
        QuestionRule(**options)
