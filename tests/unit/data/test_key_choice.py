"""Which annotated object is the key one."""

import pytest

from headimpact.data.entries import ObjectEntry, ReadMask
from headimpact.data.key_choice import choose_key_objects
from headimpact.data.masks import RleMask
from headimpact.data.synonyms import category_names
from tests.builders import mask


def thing(category, area, *, crowd=False, key=None):
    """Make an annotated object of so many pixels."""
    source = RleMask.from_mask(mask("#" * area + "." * (20 - area)))
    return (
        ObjectEntry(
            category=category,
            names=category_names(category),
            where="",
            read_mask=lambda _: ReadMask(source, area),
            is_crowd=crowd,
            is_key=key,
        ),
        ReadMask(source, area),
    )


@pytest.mark.parametrize(
    ("objects", "captions", "expected"),
    [
        pytest.param([thing("dog", 3), thing("cat", 5)], ["A bird."], [1], id="largest-where-none-is-named"),
        pytest.param([thing("dog", 3), thing("cat", 5)], ["A dog."], [0], id="named-before-larger"),
        pytest.param([thing("dog", 3), thing("cat", 5), thing("dog", 4)], ["Dogs."], [2], id="largest-named"),
        pytest.param(
            [thing("person", 3), thing("cat", 5)], ["It sits.", "A Girl sits."], [0], id="synonym-any-caption"
        ),
        pytest.param([thing("dog", 3), thing("cat", 9, crowd=True)], ["Cats."], [0], id="crowds-are-passed-over"),
        pytest.param([thing("dog", 0), thing("cat", 5)], ["A dog."], [1], id="named-without-a-pixel"),
        pytest.param([thing("dog", 0)], ["A dog."], [0], id="only-one-without-a-pixel"),
        pytest.param([thing("dog", 4), thing("dog", 4)], ["A dog."], [0], id="first-of-equals"),
        pytest.param([thing("cat", 9, crowd=True)], ["Cats."], [], id="crowd-only"),
        pytest.param([], ["Cats."], [], id="nothing"),
        pytest.param([thing("dog", 1, key=True), thing("cat", 5, key=False)], ["A cat."], [0], id="marked"),
        pytest.param(
            [thing("dog", 1, key=True), thing("cat", 5, key=True), thing("cat", 7)], [], [0, 1], id="two-marked"
        ),
        pytest.param([thing("dog", 1, key=False), thing("cat", 5)], ["A cat."], [], id="marked-none"),
    ],
)
def test_choice(objects, captions, expected):
    assert choose_key_objects(objects, captions) == [objects[place] for place in expected]
