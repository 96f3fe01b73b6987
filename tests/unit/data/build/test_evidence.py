"""Evidence by hand: shares of captions and areas, centrality, unions."""

import math

import numpy as np
import pytest

from headimpact.core.errors import DataFormatError
from headimpact.data.build.evidence import AnnotatedPicture, Instance, area_share, centrality, gather_evidence
from headimpact.data.masks import RleMask
from tests.builders import mask
from tests.unit.data.build.makers import FINDER, SIZE_HW, instance, objects, picture


def evidence(captions, things, **options):
    """Give the evidence by category."""
    return {one.category: one for one in gather_evidence(picture(captions, things), FINDER, **options)}


def test_evidence_by_hand():
    found = evidence(
        "A dog and a cat.|A dog by a cat.|A lawn.|A cat.", "2 dog .1 middle, cup .01 left", instances="union"
    )
    assert list(found) == ["cat", "cup", "dog"]
    dog, cat, cup = found["dog"], found["cat"], found["cup"]
    assert (dog.named_share, dog.subject_share, dog.num_instances) == (0.5, 0.5, 2)
    assert (cat.named_share, cat.subject_share, cat.num_instances) == (0.75, 0.5, 0)
    assert (cup.named_share, cup.subject_share, cup.num_instances) == (0.0, 0.0, 1)
    assert (dog.area_share, dog.centrality) == (pytest.approx(0.2), pytest.approx(1.0))
    assert (cat.area_share, cat.centrality, cat.instance_ids) == (0.0, 0.0, ())


def test_blank_captions_and_none():
    assert evidence("A dog.| ", "dog .1 middle")["dog"].named_share == 1.0
    assert evidence("", "dog .1 middle")["dog"].named_share == 0.0


@pytest.mark.parametrize(
    ("options", "area", "count", "ids"),
    [
        pytest.param({"instances": "union"}, 0.6, 3, ("dog-1", "dog-2", "dog-3"), id="all"),
        pytest.param({"instances": "single"}, 0.3, 3, ("dog-3",), id="largest"),
        pytest.param({"crowds": "ignore", "instances": "union"}, 0.3, 2, ("dog-1", "dog-2"), id="no-crowd"),
        pytest.param({"crowds": "ignore", "instances": "single"}, 0.2, 2, ("dog-2",), id="largest-but-no-crowd"),
    ],
)
def test_which_instances_count(options, area, count, ids):
    dog = evidence("A dog.", "dog .1 left, dog .2 right, crowd dog .3 middle", **options)["dog"]
    assert (dog.area_share, dog.num_instances, dog.instance_ids) == (pytest.approx(area), count, ids)
    assert dog.has_crowd


@pytest.mark.parametrize(
    ("captions", "ids", "single_share"),
    [
        pytest.param("A dog.|A puppy.", ("dog-2",), 1.0, id="all-speak-of-one"),
        pytest.param("A dog.|Two dogs.", ("dog-1", "dog-2"), 0.5, id="as-many-speak-of-several"),
        pytest.param("A dog.|A lawn.|A dog.|Dogs.", ("dog-2",), 2 / 3, id="most-of-those-that-name-it"),
        pytest.param("A dog and another dog.", ("dog-1", "dog-2"), 0.0, id="named-twice"),
        pytest.param("A lawn.", ("dog-1", "dog-2"), 0.0, id="not-named"),
    ],
)
def test_captions_say_whether_the_largest_alone_counts(captions, ids, single_share):
    dog = evidence(captions, "dog .1 left, dog .3 right")["dog"]
    assert (dog.instance_ids, dog.single_share) == (ids, pytest.approx(single_share))
    assert dog.next_area_share == pytest.approx(0.1 if len(ids) == 1 else 0.0)
    assert dog.num_instances == 2


def drawn(number, *rows):
    """Make an object of a mask, its box the whole picture."""
    made = RleMask.from_mask(mask(*rows))
    return Instance(instance_id=str(number), category="dog", box=(0, 0, 4, 2), area=made.area, mask=made)


def test_masks_are_united_exactly():
    one, two = drawn(1, "##..", "...."), drawn(2, ".##.", "....")
    assert area_share([one, two], size_hw=(2, 4)) == 3 / 8
    assert area_share([one], size_hw=(2, 4)) == 2 / 8


def test_areas_without_masks_add_up_to_the_whole_at_most():
    assert area_share(objects("2 dog .4 middle"), size_hw=SIZE_HW) == pytest.approx(0.8)
    assert area_share(objects("3 dog .4 middle"), size_hw=SIZE_HW) == 1.0
    with_and_without = [drawn(1, "##..", "...."), Instance(instance_id="2", category="dog", box=(0, 0, 1, 1), area=2)]
    assert area_share(with_and_without, size_hw=(2, 4)) == 4 / 8
    assert area_share([], size_hw=SIZE_HW) == 0.0


@pytest.mark.parametrize(
    ("things", "expected"),
    [
        pytest.param("dog .1 middle", 1.0, id="middle"),
        pytest.param("dog .01 left", 1 - 0.3 * math.sqrt(2), id="left"),
        pytest.param("dog .01 top", 1 - 0.3 * math.sqrt(2), id="top-counts-as-left"),
        pytest.param("dog .01 corner", 0.2, id="near-a-corner"),
        pytest.param("dog .01 left, dog .01 right", 1 - 0.3 * math.sqrt(2), id="both-edges-are-not-central"),
        pytest.param("dog .03 middle, dog .01 corner", 0.75 * 1 + 0.25 * 0.2, id="weighted-by-area"),
        pytest.param("dog 0 middle, dog 0 corner", 0.6, id="no-pixels"),
        pytest.param("", 0.0, id="nothing"),
    ],
)
def test_centrality(things, expected):
    assert centrality(objects(things), size_hw=SIZE_HW) == pytest.approx(expected)


def test_centrality_stays_in_range_outside_the_picture():
    outside = Instance(instance_id="1", category="dog", box=(400, 400, 10, 10), area=5)
    assert centrality([outside], size_hw=SIZE_HW) == 0.0


def test_shares_stay_in_range_on_random_pictures():
    generator = np.random.default_rng(0)
    for _ in range(50):
        things = [
            instance("dog", float(generator.random()), str(generator.choice(["left", "corner", "middle"])), number=n)
            for n in range(int(generator.integers(1, 6)))
        ]
        shown = AnnotatedPicture(image_id="1", size_hw=SIZE_HW, captions=("A dog.",), instances=tuple(things))
        (found,) = gather_evidence(shown, FINDER)
        assert 0 <= found.area_share <= 1
        assert 0 <= found.centrality <= 1


@pytest.mark.parametrize(
    ("box", "area"),
    [
        pytest.param((0, 0, -1, 1), 1, id="negative-width"),
        pytest.param((0, 0, 1, 1), -1, id="negative-area"),
        pytest.param((0, float("nan"), 1, 1), 1, id="not-finite"),
    ],
)
def test_broken_sizes_are_refused(box, area):
    with pytest.raises(DataFormatError, match="expected finite numbers"):
        Instance(instance_id="1", category="dog", box=box, area=area)


def test_a_picture_without_pixels_is_refused():
    with pytest.raises(DataFormatError, match="height and width above 0"):
        AnnotatedPicture(image_id="1", size_hw=(0, 4), captions=(), instances=())
