"""Stratified splits: what is exact, and how near the rest comes."""

import random
from collections import Counter

import pytest

from headimpact.core.errors import OptionError
from headimpact.data.build.stratified_splits import PictureKind, assign_stratified_splits, stratify
from headimpact.data.splits import SHARES, split_sizes

CATEGORIES = ("person", *["dog"] * 3, *["cat"] * 2, "car", "bus", "zebra")


def kinds(count, *, first=0):
    """Make pictures of common and rare categories; each depends on its number alone."""
    made = {}
    for number in range(first, first + count):
        generator = random.Random(number)
        made[str(number)] = PictureKind(generator.choice(CATEGORIES), generator.random() ** 2)
    return made


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 17, 42, 100, 999])
def test_sizes_are_exact(count):
    chosen = assign_stratified_splits(kinds(count))
    sizes = Counter(chosen.values())
    assert {name: sizes[name] for name in SHARES} == split_sizes(count, SHARES)
    assert list(chosen) == list(kinds(count))


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        pytest.param({"train": None, "test": 10}, {"train": 40, "test": 10}, id="open"),
        pytest.param({"train": 30, "test": 20}, {"train": 30, "test": 20}, id="closed"),
        pytest.param({"a": 0, "b": None}, {"b": 50}, id="none-of-one"),
        pytest.param({"a": None}, {"a": 50}, id="one-split"),
    ],
)
def test_counts_are_exact(counts, expected):
    assert Counter(assign_stratified_splits(kinds(50), counts=counts).values()) == expected


@pytest.mark.parametrize("seed", range(5))
def test_strata_have_their_share_of_every_split(seed):
    pictures = kinds(900)
    chosen = assign_stratified_splits(pictures, seed=seed)
    strata = stratify(pictures)
    assert len(set(strata.values())) == 18
    for stratum in set(strata.values()):
        members = [image_id for image_id in pictures if strata[image_id] == stratum]
        found = Counter(chosen[image_id] for image_id in members)
        for name, share in SHARES.items():
            assert abs(found[name] - share * len(members)) < 2, (stratum, name)


def test_small_strata_do_not_all_favour_the_largest_split():
    pictures = {str(n): PictureKind(f"category {n}", 0.1) for n in range(400)}
    assert Counter(assign_stratified_splits(pictures).values()) == {
        "calibration": 100, "train": 200, "validation": 40, "test": 60,
    }  # fmt: skip


def test_depends_on_pictures_and_seed_only():
    pictures = kinds(300)
    mixed = dict(random.Random(1).sample(list(pictures.items()), 300))
    assert assign_stratified_splits(mixed) == assign_stratified_splits(pictures)
    assert assign_stratified_splits(pictures, seed=1) != assign_stratified_splits(pictures)


def test_expected_assignment_is_the_same_on_every_machine():
    pictures = {name: PictureKind("dog" if name < "e" else "cat", 0.1) for name in "abcdefgh"}
    assert assign_stratified_splits(pictures) == {
        "a": "test", "b": "calibration", "c": "train", "d": "train",
        "e": "calibration", "f": "train", "g": "train", "h": "validation",
    }  # fmt: skip


@pytest.mark.parametrize("added", [1, 9, 90])
def test_adding_pictures_moves_few_others(added):
    before = assign_stratified_splits(kinds(900))
    after = assign_stratified_splits(kinds(900 + added))
    moved = sum(before[image_id] != after[image_id] for image_id in before)
    assert moved <= 3 * added + 20


def test_one_picture_more_moves_a_handful_on_average():
    moves = []
    for seed in range(20):
        before = assign_stratified_splits(kinds(900), seed=seed)
        after = assign_stratified_splits(kinds(901), seed=seed)
        moves.append(sum(before[image_id] != after[image_id] for image_id in before))
    assert sum(moves) / len(moves) < 9


def test_terciles_are_of_all_pictures_and_equal_areas_stay_together():
    pictures = {str(n): PictureKind("dog", n / 9) for n in range(9)}
    assert [tercile for _, tercile in stratify(pictures).values()] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    same = {str(n): PictureKind("dog", 0.2) for n in range(5)}
    assert len(set(stratify(same).values())) == 1
    assert stratify({}) == {}


@pytest.mark.parametrize(
    "counts",
    [
        pytest.param({"a": 10}, id="too-few"),
        pytest.param({"a": 60}, id="too-many"),
        pytest.param({"a": 60, "b": None}, id="nothing-remains"),
        pytest.param({"a": None, "b": None}, id="two-open"),
        pytest.param({"a": -1, "b": None}, id="negative"),
        pytest.param({}, id="none"),
    ],
)
def test_bad_counts(counts):
    with pytest.raises(OptionError, match="one None for what remains"):
        assign_stratified_splits(kinds(50), counts=counts)


def test_bad_shares():
    with pytest.raises(OptionError, match="add up to 1"):
        assign_stratified_splits(kinds(5), shares={"a": 0.5})
