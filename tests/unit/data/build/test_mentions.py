"""Which categories a caption names, and how."""

import pytest

from headimpact.data.build import mentions, parts
from headimpact.data.build.mentions import build_mention_finder
from headimpact.data.synonyms import FALSE_FRIENDS, SYNONYMS, category_names, is_named
from tests.unit.data.build.makers import FINDER, random_captions


def told(caption, finder=FINDER):
    """Give the mentions of a caption as text: the subject in capitals."""
    found = [one.category.upper() if one.role == "subject" else one.category for one in finder.find(caption)]
    return ", ".join(found)


# caption, its mentions; the subject in capitals
CASES = [
    # subjects
    ("A dog.", "DOG"),
    ("Two dogs playing with a frisbee.", "DOG, frisbee"),
    ("A dog and a cat sit on a couch.", "DOG, CAT, couch"),
    ("A dog, a cat and a bird in a room", "DOG, CAT, BIRD"),
    ("A group of people at a table", "PERSON, dining table"),
    ("A couple of dogs near a couple", "DOG, person"),
    ("A plate of broccoli and carrots", "BROCCOLI, CARROT"),
    ("The inside of a bus", "BUS"),
    ("There are two zebras by a tree", "ZEBRA"),
    ("This is a photo of a clock on a wall", "CLOCK"),
    ("A picture of a small brown horse", "HORSE"),
    ("A close-up of a pizza", "PIZZA"),
    ("An up close shot of a pizza", "PIZZA"),
    ("A statue of a horse", "horse"),
    ("A smiling woman holding an umbrella", "PERSON, umbrella"),
    ("A parked car beside a parked truck", "CAR, truck"),
    ("A car parked beside a truck", "CAR, truck"),
    ("A snow covered bench", "BENCH"),
    ("Man eating pizza", "PERSON, pizza"),
    ("A man rides a horse", "PERSON, horse"),
    ("People ride horses", "PERSON, horse"),
    ("A man and a woman ride bikes", "PERSON, PERSON, bicycle"),
    ("A cat is on a laptop", "CAT, laptop"),
    ("A cat that sits on a laptop", "CAT, laptop"),
    ("A bus full of people", "BUS, person"),
    ("A walk-in refrigerator with a pick-up truck", "REFRIGERATOR, truck"),
    # fronted parts
    ("In a field, three cows graze", "COW"),
    ("On the table is a vase", "dining table, VASE"),
    ("Behind the man there is a bus", "person, BUS"),
    ("Standing by a truck, a man waves", "truck, PERSON"),
    ("Looking down at a sink", "sink"),
    # several sentences: the first that has a subject gives it
    ("A dog sleeps. A cat is near it.", "DOG, cat"),
    ("What a day! A dog runs.", "DOG"),
    # possessors and what only pulls or is ridden
    ("A man's bicycle against a wall", "person, BICYCLE"),
    ("The dogs' bowl", "dog, BOWL"),
    ("The dog's sleeping on a bed", "DOG, bed"),
    ("A horse drawn carriage", "horse"),
    ("A horse drawn by a child", "HORSE, person"),
    ("Motorcycle riders on a road", "motorcycle, PERSON"),
    # longer names and phrases
    ("A hot dog and a teddy bear", "HOT DOG, TEDDY BEAR"),
    ("A baby elephant", "ELEPHANT"),
    ("A bus driver", "PERSON"),
    ("A computer mouse beside a laptop computer", "MOUSE, laptop"),
    ("A cell phone and a glass of wine", "CELL PHONE, WINE GLASS"),
    ("A catcher's mitt", "BASEBALL GLOVE"),
    ("Dining tables", "DINING TABLE"),
    ("A snowman with a scarf", ""),
    # compounds
    ("A dog bed", "BED"),
    ("Two dog beds", "BED"),
    ("A cat-shaped clock", "CLOCK"),
    ("A dog-like robot", ""),
    ("A horse trailer and horse barns", ""),
    ("A dog show with horses", "horse"),
    ("A dog shows its teeth to a cat", "DOG, cat"),
    ("A train ride", ""),
    ("A man rides a train", "PERSON, train"),
    ("A kitchen table and a toilet brush", "DINING TABLE"),
    ("A mother duck with a male duck", "BIRD, bird"),
    ("A man horse riding", "PERSON, horse"),
    # adjectives and verbs
    ("An orange cat eats an orange", "CAT, orange"),
    ("Orange slices", "ORANGE"),
    ("The truck is orange", "TRUCK"),
    ("An orange, white and blue kite", "KITE"),
    ("A male lion", ""),
    ("A male in a hat", "PERSON"),
    ("A glass jar next to a glass", "wine glass"),
    ("A family room", ""),
    ("A man skis down a hill on skis", "PERSON, skis"),
    # negation
    ("A road without cars", ""),
    ("There are no people or dogs on the beach", ""),
    ("No cars and people", ""),
    ("No cars and a dog", "DOG"),
    ("There isn't a bus but a train", "train"),
    ("Not only a dog on a bed", "DOG, bed"),
    ("A toilet that doesn't have a sink", "TOILET"),
    ("A bench, not a chair, in a park", "BENCH"),
    # letters and signs
    ("A DOG AND TWO CATS", "DOG, CAT"),
    ("the man\u2019s dog caf\u00e9", "person, DOG"),
    ("Ein Hund und eine Katze", "HUND"),
    ("\u767d\u3044\u732b", "\u732b".upper()),
    ("", ""),
    ("... !", ""),
]  # fmt: skip


@pytest.mark.parametrize(("caption", "expected"), CASES, ids=[caption or "empty" for caption, _ in CASES])
def test_mentions(caption, expected):
    assert told(caption) == expected


@pytest.mark.parametrize("category", SYNONYMS)
def test_every_name_of_the_table_is_a_subject_by_itself(category):
    for name in category_names(category):
        for caption in (f"The {name}.", f"There is the {name} here.", f"{name} on a lawn"):
            assert FINDER.roles(caption).get(category) == "subject", caption


@pytest.mark.parametrize("category", FALSE_FRIENDS)
def test_no_false_friend_is_a_mention(category):
    for phrase in FALSE_FRIENDS[category]:
        assert category not in FINDER.roles(f"There is a {phrase} here."), phrase


@pytest.mark.parametrize(("caption", "_expected"), CASES, ids=[caption or "empty" for caption, _ in CASES])
def test_what_is_mentioned_is_named(caption, _expected):
    for mention in FINDER.find(caption):
        if mention.category in SYNONYMS:
            assert is_named([caption], category_names(mention.category))


def test_unknown_categories_are_told_and_have_a_plural():
    finder = build_mention_finder(["Dog", "traffic_light", "red heart", "Hund"])
    assert finder.unknown == ("red heart", "Hund")
    assert told("Two red hearts and a puppy under traffic lights", finder) == "RED HEART, DOG, traffic_light"


def test_names_of_other_categories_stand_in_the_way_only_of_cocos_own():
    assert told("A hot dog", build_mention_finder(["dog"])) == ""
    assert told("A kitchen table", build_mention_finder(["table"])) == "TABLE"


def test_further_names_count_with_their_plurals():
    finder = build_mention_finder(["dog", "Hund"], names={"dog": ["corgi"], "Hund": ["Welpe"]})
    assert told("Two corgis", finder) == "DOG"
    assert told("Ein Welpe", finder) == "HUND"


def test_a_word_may_name_two_categories():
    finder = build_mention_finder(["dining table", "table"])
    assert told("A table", finder) == "DINING TABLE, TABLE"


def test_categories_without_a_word_are_never_named():
    assert told("Anything ++ at all, an s", build_mention_finder(["++", ""])) == ""
    assert told("Anything", build_mention_finder([])) == ""


def test_the_subject_outweighs_a_passing_mention():
    assert FINDER.roles("A dog beside a dog and a cat") == {"dog": "subject", "cat": "passing"}


def test_a_mention_says_its_words():
    assert [one.words for one in FINDER.find("Two Hot-Dogs")] == ["hot dogs"]


def test_what_a_caption_says_is_what_its_mentions_say():
    for caption in random_captions(2000):
        found_there = FINDER.find(caption)
        said = FINDER.read(caption)
        assert list(said) == list(dict.fromkeys(mention.category for mention in found_there)), caption
        for category, found in said.items():
            own = [mention for mention in found_there if mention.category == category]
            assert found.role == ("subject" if any(one.role == "subject" for one in own) else "passing"), caption
            assert found.is_one == (len(own) == 1 and own[0].is_one), caption
        assert FINDER.roles(caption) == {category: found.role for category, found in said.items()}
        assert FINDER.read(caption) == said, "asked for again"


def test_the_last_captions_are_remembered_and_no_more(monkeypatch):
    finder = build_mention_finder(["dog"])
    monkeypatch.setattr(mentions, "REMEMBERED", 3)
    kept = [finder.read(f"A dog {number}") for number in range(4)]
    assert [finder.read(f"A dog {number}") is kept[number] for number in (1, 2, 3)] == [True] * 3
    assert (finder.read("A dog 0"), finder.read("A dog 0") is kept[0]) == (kept[0], False)


def test_what_captions_of_a_part_say_is_remembered():
    assert parts.PART_SIZE * 8 <= mentions.REMEMBERED, "COCO's pictures have at most 7 captions"
