"""The rule for key objects, pinned by invented pictures that were labelled by hand."""

import random

import pytest

from headimpact.core.errors import OptionError
from headimpact.data.build.decisions import PICTURE_REASONS, REASONS
from headimpact.data.build.evidence import AnnotatedPicture, Evidence
from headimpact.data.build.key_objects import KeyObjectRule, decide_picture, score_evidence
from tests.unit.data.build.makers import FINDER, objects, picture

# captions, divided by "|"; objects (count, category, share of each, place); what is key, or why nothing is
CASES = {
    # words
    "plain": ("A dog runs.|A dog in a park.", "dog .2 middle", "dog"),
    "synonym": ("A puppy on a rug.|A small poodle sleeps.", "dog .2 middle", "dog"),
    "synonyms-of-person": ("A skier going downhill.|A boy on skis.", "person .1 middle, skis .01 bottom", "person"),
    "plural": ("Two dogs play.|A pair of puppies.", "2 dog .1 middle", "dog"),
    "irregular-plural": ("Three geese by a lake.|Geese walking.", "3 bird .03 middle", "bird"),
    "two-words": ("A fire hydrant on a corner.|Red hydrant.", "fire hydrant .1 middle", "fire hydrant"),
    "capitals": ("A DOG ON A SOFA|THE DOG SLEEPS", "dog .2 middle", "dog"),
    "possessive-of-a-pronoun": ("His cat sleeps.|My cat on my bed.", "cat .2 middle, bed .4 middle", "cat"),
    # what stands in the way of a word
    "hot-dog-is-no-dog": ("A hot dog on a plate.|Hot dogs.", "dog .2 left, hot dog .2 right", "hot dog"),
    "teddy-bear-is-no-bear": ("A teddy bear in a box.", "bear .2 left, teddy bear .2 middle", "teddy bear"),
    "dog-bed-is-no-dog": ("A dog bed in a hall.|A red dog bed.", "dog .2 middle, bed .2 middle", "bed"),
    "horse-trailer-is-no-horse": ("A horse trailer by a barn.", "horse .2 middle", "no_object_named"),
    "cat-shaped": ("A cat-shaped clock on a wall.", "cat .1 left, clock .1 middle", "clock"),
    "pizza-oven": ("A pizza oven made of brick.", "pizza .1 left, oven .2 middle", "oven"),
    "bus-stop-is-no-bus": ("An empty bus stop at night.", "bus .2 left", "no_object_named"),
    "colour-orange": ("An orange truck in a yard.", "orange .1 left, truck .3 middle", "truck"),
    "fruit-orange": ("An orange on a napkin.|A ripe orange.", "orange .1 middle", "orange"),
    "male-lion": ("A male lion yawns.", "person .1 left", "no_object_named"),
    "couple-of": ("A couple of birds in a tree.", "2 bird .05 middle, person .1 left", "bird"),
    "verb-to-ski": ("Two people ski downhill.", "2 person .05 middle, 2 skis .03 bottom", "person"),
    # negation
    "no-people": ("A beach with no people.|No people on the sand.", "2 person .05 left", "no_object_named"),
    "without": ("A bench without people.|An empty bench.", "bench .2 middle, person .1 left", "bench"),
    "no-cars-and-a-dog": ("A street with no cars and a dog.", "dog .2 middle, car .1 left", "dog"),
    # roles
    "ridden": ("A man riding a horse.|A man rides a horse.", "person .1 middle, horse .2 middle", "horse person"),
    "passing-and-small": ("A man walks a dog.|A man.", "person .2 middle, dog .03 corner", "person"),
    "passing-in-all-and-large": ("A lawn with a dog.|Grass near a dog.", "dog .3 middle", "dog"),
    "passing-in-all-and-small": ("A lawn with a dog.|Grass near a dog.", "dog .02 corner", "no_clear_key_object"),
    "background": ("A cat with a car in the background.|A cat.|Cat.", "cat .1 middle, car .2 top", "cat"),
    "group-of": ("A group of people at a bar.|A crowd of men.", "4 person .05 middle", "person"),
    "front-of": ("The front of a bus.|A close up of a bus.", "bus .4 middle", "bus"),
    "existential": ("There is a cake here.|This is a picture of a cake.", "cake .2 middle", "cake"),
    "fronted": ("On the table is a cake.|In a box, a cake.", "cake .2 middle, dining table .4 middle", "cake"),
    "drawn": ("A horse-drawn carriage.|A horse-drawn cart.", "horse .03 left", "no_clear_key_object"),
    # several candidates
    "two-coordinated": ("A dog and a cat.|A cat and a dog sleep.", "dog .1 left, cat .1 right", "cat dog"),
    "two-of-them-named-in-turn": ("A dog.|A cat.", "dog .1 left, cat .1 right", "no_clear_key_object"),
    "three-equal": (
        "A fork, a knife and a spoon.|Knife, spoon and fork.",
        "fork .03 middle, knife .03 middle, spoon .03 middle",
        "no_clear_key_object",
    ),
    "three-with-one-ahead": (
        "A cat with a cup and a book.|A cat.",
        "cat .2 middle, cup .03 left, book .03 right",
        "cat",
    ),
    "not-named-though-large": ("A cat on a pillow.|A cat.", "cat .1 middle, bed .6 middle", "cat"),
    "together-too-large": ("A man and a bus.|A bus and a man.", "bus .4 left, person .2 right", "covers_too_much"),
    # instances
    "five-in-a-group": ("A group of men.|Men in suits.", "5 person .05 middle", "too_many_instances"),
    "crowd": ("A crowd of people.|People at a fair.", "crowd person .3 middle", "crowd"),
    "crowd-behind-the-matter": ("A bus and people.|A bus.|A red bus.", "bus .3 middle, crowd person .1 left", "bus"),
    "crowd-as-important": ("A bus and people.|People and a bus.", "bus .1 left, crowd person .3 middle", "crowd"),
    # one or several
    "one-among-bystanders": ("A skater jumps.|A man on a ramp.", "person .15 middle, 2 person .02 left", "person"),
    "one-of-two-alike": ("A dog in a yard.|A dog.", "2 dog .1 left", "unclear_which"),
    "one-twice-as-large": ("A dog in a yard.|A dog.", "dog .2 middle, dog .1 left", "dog"),
    "one-not-twice-as-large": ("A dog in a yard.|A dog.", "dog .19 middle, dog .1 left", "unclear_which"),
    "one-of-many": ("A cow grazes.|A brown cow.", "cow .2 middle, 6 cow .01 top", "cow"),
    "one-too-small-of-several": ("A kite.|A kite flies.", "kite .01 top, 3 kite .004 left", "too_small"),
    "a-man-and-a-woman": ("A man and a woman.|A man with a woman.", "2 person .1 middle", "person"),
    "two-with-a-number": ("Two sheep.|2 sheep in a pen.", "2 sheep .1 middle", "sheep"),
    "one-sheep": ("A sheep in a pen.|A white sheep.", "2 sheep .1 middle", "unclear_which"),
    "a-couple": ("A couple dances.|A couple.", "2 person .1 middle", "person"),
    "speakers-divided": ("A boat.|Boats in a bay.", "boat .1 middle, boat .08 left", "boat"),
    # size
    "tiny": ("A kite in the sky.|A kite flies.", "kite .002 top", "too_small"),
    "tiny-beside-large": ("A bird on a bench.|A bird.", "bird .005 middle, bench .3 middle", "too_small"),
    "fills-the-picture": ("A pizza.|A pizza with cheese.", "pizza .8 middle", "covers_too_much"),
    # what is missing
    "subject-not-annotated": ("A cat on a sofa.|A cat.", "couch .3 middle", "not_annotated"),
    "passing-not-annotated": ("A cat by a vase.|A cat.", "cat .2 middle", "cat"),
    "nothing-named": ("A lovely day.|Sunshine.", "dog .2 middle", "no_object_named"),
    "no-annotation": ("A dog.", "", "no_annotation"),
    "no-caption": (" | ", "dog .2 middle", "no_caption"),
    # other languages and data
    "german": ("Ein Hund auf der Wiese.|Der Hund schl\u00e4ft.", "Hund .2 middle", "Hund"),
    "german-plural-is-not-known": ("Zwei Hunde.", "2 Hund .1 middle", "no_object_named"),
    "japanese": ("\u732b\u304c\u5bdd\u3066\u3044\u308b\u3002", "\u732b .2 middle", "\u732b"),
}


@pytest.mark.parametrize("name", CASES)
def test_labelled_pictures(name):
    captions, things, expected = CASES[name]
    decision = decide_picture(picture(captions, things), FINDER)
    keys = " ".join(sorted(evidence.category for evidence in decision.key_objects))
    assert (keys or decision.reason) == expected
    assert (decision.reason == "kept") == bool(keys)


def test_there_are_enough_labelled_pictures_of_every_reason():
    assert len(CASES) >= 40
    assert set(PICTURE_REASONS) - {"kept"} <= {expected for _, _, expected in CASES.values()}


def reasons(captions, things, **options):
    """Give each candidate's reason."""
    decision = decide_picture(picture(captions, things), FINDER, rule=KeyObjectRule(**options))
    return {one.evidence.category: one.reason for one in decision.candidates}


@pytest.mark.parametrize(
    ("captions", "things", "expected"),
    [
        pytest.param("A dog.", "dog .2 middle, cat .3 left", {"dog": "key", "cat": "not_named"}, id="not-named"),
        pytest.param("A dog.", "cat .2 middle", {"dog": "not_annotated", "cat": "not_named"}, id="not-annotated"),
        pytest.param("A dog.", "dog .001 left", {"dog": "too_small"}, id="small"),
        pytest.param("A dog.", "dog .51 middle", {"dog": "covers_too_much"}, id="large"),
        pytest.param("A dog.|It.|It.|It.", "dog .2 middle", {"dog": "low_score"}, id="low"),
        pytest.param("A dog and a cat.", "dog .2 left, cat .2 right", {"dog": "key", "cat": "key"}, id="two"),
        pytest.param(
            "A cat, a dog and a cup.", "dog .1 left, cat .1 right, cup .1 middle",
            {"cup": "no_lead", "cat": "no_lead", "dog": "no_lead"}, id="no-lead",
        ),
        pytest.param(
            "A bus with a dog.|A bus and a dog.", "bus .7 middle, dog .2 middle",
            {"bus": "covers_too_much", "dog": "outranked"}, id="outranked",
        ),
    ],
)  # fmt: skip
def test_reasons_of_candidates(captions, things, expected):
    assert reasons(captions, things) == expected
    assert set(expected.values()) <= set(REASONS)


def test_score_by_hand():
    evidence = Evidence(
        category="dog", named_share=0.8, subject_share=0.6, area_share=0.09, centrality=0.5, num_instances=1,
        has_crowd=False, instance_ids=("1",),
    )  # fmt: skip
    assert score_evidence(evidence, KeyObjectRule()) == pytest.approx(0.4 * 0.8 + 0.3 * 0.6 + 0.2 * 0.3 + 0.1 * 0.5)
    only_named = KeyObjectRule(named_weight=1.0, subject_weight=0.0, size_weight=0.0, centrality_weight=0.0)
    assert score_evidence(evidence, only_named) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("count", "area", "expected"),
    [
        pytest.param(4, 0.05, "key", id="as-many-as-allowed"),
        pytest.param(5, 0.05, "too_many_instances", id="one-more"),
        pytest.param(1, 0.02, "key", id="smallest"),
        pytest.param(1, 0.0199, "too_small", id="below"),
        pytest.param(1, 0.5, "key", id="largest"),
        pytest.param(1, 0.501, "covers_too_much", id="above"),
    ],
)
def test_limits_are_allowed_themselves(count, area, expected):
    assert reasons("Dogs.", f"{count} dog {area} middle") == {"dog": expected}


def test_options_change_what_they_say():
    assert reasons("Dogs.", "5 dog .05 middle", most_instances=5) == {"dog": "key"}
    assert reasons("A dog.", "2 dog .1 middle", instances="union") == {"dog": "key"}
    assert reasons("A dog.", "2 dog .1 middle", smallest_size_ratio=1.0) == {"dog": "key"}
    assert reasons("A dog.", "dog .01 middle", smallest_area_share=0.01) == {"dog": "key"}
    assert reasons("A dog.", "dog .9 middle", largest_area_share=1.0) == {"dog": "key"}
    assert reasons("A dog.|It.|It.|It.", "dog .2 middle", smallest_score=0.2) == {"dog": "key"}
    two = ("A dog and a cat.|A dog.", "dog .2 left, cat .25 middle")
    assert reasons(*two) == {"dog": "key", "cat": "key"}
    assert reasons(*two, most_key_objects=1) == {"dog": "key", "cat": "outranked"}
    assert reasons(*two, most_key_objects=1, smallest_lead=0.5) == {"dog": "no_lead", "cat": "no_lead"}


def test_which_instances_are_the_key_object():
    def ids(captions, things, **options):
        decision = decide_picture(picture(captions, things), FINDER, rule=KeyObjectRule(**options))
        return [evidence.instance_ids for evidence in decision.key_objects]

    things = "person .15 middle, 2 person .02 left"
    assert ids("A skater jumps.", things) == [("person-1",)]
    assert ids("A skater jumps.", things, instances="union") == [("person-1", "person-2", "person-3")]
    assert ids("People jump.", things) == [("person-1", "person-2", "person-3")]


def test_single_takes_the_largest_instance_alone():
    shown = AnnotatedPicture(
        image_id="1", size_hw=(100, 200), captions=("Two dogs.",), instances=objects("dog .1 left, dog .3 right")
    )
    union = decide_picture(shown, FINDER).key_objects[0]
    single = decide_picture(shown, FINDER, rule=KeyObjectRule(instances="single")).key_objects[0]
    assert (union.instance_ids, single.instance_ids) == (("dog-1", "dog-2"), ("dog-2",))
    assert union.area_share == pytest.approx(0.4)
    assert single.area_share == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("crowds", "expected", "ids"),
    [
        pytest.param("refuse", "crowd", (), id="refuse"),
        pytest.param("ignore", "key", ("person-1",), id="ignore"),
        pytest.param("include", "key", ("person-1", "person-2"), id="include"),
    ],
)
def test_crowds(crowds, expected, ids):
    shown = picture("A man.|Men.", "person .2 middle, crowd person .1 left")
    decision = decide_picture(shown, FINDER, rule=KeyObjectRule(crowds=crowds))
    assert [one.reason for one in decision.candidates] == [expected]
    assert tuple(number for evidence in decision.key_objects for number in evidence.instance_ids) == ids


def test_a_crowd_alone_stays_a_crowd_where_crowds_are_ignored():
    assert reasons("People.", "crowd person .3 middle", crowds="ignore") == {"person": "crowd"}


def test_the_order_of_captions_and_objects_does_not_matter():
    captions, things = "A man riding a horse.|A horse with a man.|A dog and a horse.", (
        "person .1 middle, 2 horse .1 left, dog .05 right, tree .3 top"
    )  # fmt: skip
    expected = decide_picture(picture(captions, things), FINDER)
    generator = random.Random(0)
    for _ in range(10):
        shown = picture(captions, things)
        mixed = AnnotatedPicture(
            image_id="1", size_hw=shown.size_hw,
            captions=tuple(generator.sample(shown.captions, 3)), instances=tuple(generator.sample(shown.instances, 5)),
        )  # fmt: skip
        decision = decide_picture(mixed, FINDER)
        assert decision.reason == expected.reason
        assert [(one.evidence.category, one.reason) for one in decision.candidates] == [
            (one.evidence.category, one.reason) for one in expected.candidates
        ]
        assert [one.score for one in decision.candidates] == pytest.approx([one.score for one in expected.candidates])


def test_blank_captions_do_not_count():
    assert reasons("A dog.| ", "dog .2 middle") == reasons("A dog.", "dog .2 middle")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"named_weight": 0.5}, "sum 1", id="weights-above-1"),
        pytest.param({"named_weight": -0.1, "subject_weight": 0.8}, "from 0 up", id="negative-weight"),
        pytest.param({"smallest_area_share": 0.6}, "not above the largest", id="areas-crossed"),
        pytest.param({"smallest_score": 2.0}, r"shares in \[0, 1\]", id="score"),
        pytest.param({"most_instances": 0}, "at least 1", id="no-instance"),
        pytest.param({"most_key_objects": 0}, "at least 1", id="no-key-object"),
        pytest.param({"smallest_size_ratio": 0.5}, "expected at least 1", id="ratio-below-1"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(OptionError, match=message):
        KeyObjectRule(**options)
