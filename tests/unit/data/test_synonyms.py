"""Words that name an object."""

import pytest

from headimpact.data.synonyms import FALSE_FRIENDS, SYNONYMS, category_names, is_named, plural

COCO_CATEGORIES = 80


@pytest.mark.parametrize(
    ("category", "caption", "expected"),
    [
        pytest.param("person", "Two WOMEN walk.", True, id="plural-and-case"),
        pytest.param("person", "A man's hat.", True, id="possessive"),
        pytest.param("person", "A skier goes down.", True, id="role"),
        pytest.param("person", "A baseball player swings.", True, id="role-of-two-words"),
        pytest.param("person", "A snowman.", False, id="inside-a-word"),
        pytest.param("person", "A man-made lake.", False, id="false-friend"),
        pytest.param("person", "A couple of dogs.", False, id="couple-of"),
        pytest.param("person", "A couple of men with a couple of dogs.", True, id="couple-of-men"),
        pytest.param("dog", "A hot dog.", False, id="hot-dog-is-no-dog"),
        pytest.param("dog", "Hot-dogs.", False, id="hyphen-and-plural"),
        pytest.param("dog", "A dog eats a hot dog.", True, id="dog-and-hot-dog"),
        pytest.param("hot dog", "Two hot  dogs.", True, id="two-words-plural"),
        pytest.param("bear", "A teddy bear.", False, id="teddy"),
        pytest.param("sports ball", "A baseball field.", False, id="field"),
        pytest.param("sports ball", "He hits the baseball.", True, id="ball"),
        pytest.param("baseball bat", "He swings a bat.", True, id="short-name"),
        pytest.param("bus", "A bus stop.", False, id="bus-stop"),
        pytest.param("car", "A red scarf.", False, id="no-inner-match"),
        pytest.param("tv", "A flat-screen TV.", True, id="tv"),
        pytest.param("red heart", "Look, red hearts!", True, id="unknown-category"),
        pytest.param("red heart", "A red square and a blue heart.", False, id="words-apart"),
        pytest.param("traffic_light", "A traffic light.", True, id="underscore"),
        pytest.param("c++ (book)", "Read a C++ (book).", True, id="odd-characters"),
        pytest.param("dog", "", False, id="empty"),
    ],
)
def test_is_named(category, caption, expected):
    assert is_named([caption], category_names(category)) is expected


def test_no_names_name_nothing():
    assert not is_named(["A dog."], ())
    assert not is_named(["A dog."], ("",))
    assert not is_named([], ("dog",))


@pytest.mark.parametrize("category", SYNONYMS)
def test_every_name_of_the_table_names_its_category(category):
    names = category_names(category)
    assert names[0] == category
    assert len(set(names)) == len(names)
    for name in names:
        assert is_named([f"There is a {name}."], names), name


def test_table_holds_cocos_categories():
    assert len(SYNONYMS) == COCO_CATEGORIES
    assert set(FALSE_FRIENDS) <= set(SYNONYMS)


@pytest.mark.parametrize("category", FALSE_FRIENDS)
def test_every_false_friend_is_none(category):
    for phrase in FALSE_FRIENDS[category]:
        assert not is_named([f"There is a {phrase} here."], category_names(category)), phrase


@pytest.mark.parametrize(
    ("word", "expected"),
    [("dog", "dogs"), ("box", "boxes"), ("person", "people"), ("knife", "knives"), ("toy", "toys"), ("lady", "ladies"),
     ("woman", "women"), ("hot dog", "hot dogs"), ("sheep", "sheep"), ("wine glass", "wine glasses")],
)  # fmt: skip
def test_plural(word, expected):
    assert plural(word) == expected
