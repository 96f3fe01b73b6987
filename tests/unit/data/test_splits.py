"""Splits by picture: sizes, and what they do not depend on."""

import random

import pytest

from headimpact.core.errors import OptionError
from headimpact.data.splits import SHARES, assign_splits, rank_ids


def sizes(chosen):
    """Count pictures by split."""
    return {name: list(chosen.values()).count(name) for name in SHARES}


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        pytest.param(100, (25, 50, 10, 15), id="exact"),
        pytest.param(20, (5, 10, 2, 3), id="exact-small"),
        pytest.param(42, (11, 21, 4, 6), id="largest-remainder"),
        pytest.param(4, (1, 1, 1, 1), id="one-each"),
        pytest.param(3, (1, 2, 0, 0), id="too-few"),
        pytest.param(1, (0, 1, 0, 0), id="one"),
        pytest.param(0, (0, 0, 0, 0), id="none"),
    ],
)
def test_sizes(count, expected):
    assert tuple(sizes(assign_splits(map(str, range(count)))).values()) == expected


@pytest.mark.parametrize("count", range(4, 60))
def test_every_split_has_a_picture_and_nothing_is_lost(count):
    counted = sizes(assign_splits(map(str, range(count))))
    assert min(counted.values()) >= 1
    assert sum(counted.values()) == count


def test_depends_on_ids_and_seed_only():
    ids = [str(n) for n in range(50)]
    mixed = random.Random(0).sample(ids, len(ids))
    assert assign_splits(ids) == assign_splits(mixed)
    assert list(assign_splits(mixed)) == mixed
    assert assign_splits(ids) != assign_splits(ids, seed=1)
    assert assign_splits([*ids, *ids]) == assign_splits(ids)


def test_expected_assignment_is_the_same_on_every_machine():
    chosen = assign_splits(["a", "b", "c", "d", "e", "f", "g", "h"])
    assert chosen == {
        "a": "calibration", "b": "validation", "c": "test", "d": "train",
        "e": "train", "f": "train", "g": "train", "h": "calibration",
    }  # fmt: skip


def test_leaving_ids_out_keeps_the_order_of_the_others():
    ids = [str(n) for n in range(30)]
    ranked = rank_ids(ids, seed=3, purpose="limit")
    assert rank_ids(ids[:20], seed=3, purpose="limit") == [one for one in ranked if one in ids[:20]]
    assert ranked != rank_ids(ids, seed=3, purpose="split")


@pytest.mark.parametrize(
    "shares",
    [
        pytest.param({}, id="none"),
        pytest.param({"a": 0.5}, id="half"),
        pytest.param({"a": 1.5, "b": -0.5}, id="negative"),
    ],
)
def test_bad_shares(shares):
    with pytest.raises(OptionError, match=r"positive numbers that add up to 1"):
        assign_splits(["a"], shares=shares)
