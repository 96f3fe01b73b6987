"""Data sets: split, subset, limit."""

from itertools import pairwise
from pathlib import Path

import pytest

from headimpact.core.errors import OptionError, UnknownNameError
from headimpact.core.provenance import hash_texts
from headimpact.data.dataset import KeyObjectDataset, Skip
from headimpact.data.splits import assign_splits
from tests.builders import sample


def dataset(folder, *splits, skips=(), seed=0):
    """Make a data set with one picture for each given split."""
    samples = tuple(sample(folder, image_id=str(n), split=split) for n, split in enumerate(splits, start=1))
    return KeyObjectDataset(samples=samples, root=Path(folder), skips=tuple(skips), split_seed=seed)


def test_sequence(tmp_path):
    made = dataset(tmp_path, None, None)
    assert len(made) == 2
    assert [one.image_id for one in made] == ["1", "2"] == list(made.image_ids)
    assert made[1].image_id == "2"
    assert made.fingerprint == hash_texts(["1", "2"])


def test_skips_are_counted_by_reason(tmp_path):
    made = dataset(tmp_path, None, skips=[Skip("7", "no_caption"), Skip("8", "empty_mask"), Skip("9", "no_caption")])
    assert made.skipped == {"empty_mask": 1, "no_caption": 2}
    assert made.skipped_ids == {"empty_mask": ("8",), "no_caption": ("7", "9")}


def test_split_of_a_folder_that_has_splits(tmp_path):
    made = dataset(tmp_path, "train", "test", "train", None, skips=[Skip("9", "no_caption", "test")])
    assert made.split("train").image_ids == ("1", "3")
    assert made.split("test").image_ids == ("2",)
    assert made.split("test").skipped == {"no_caption": 1}
    assert made.split("train").skipped == {}
    assert made.split("all") is made
    with pytest.raises(UnknownNameError, match=r"Unknown split 'tset'. Did you mean 'test'\? Known: train, test, all"):
        made.split("tset")


def test_split_of_a_folder_without_splits(tmp_path):
    made = dataset(tmp_path, *[None] * 8, skips=[Skip("9", "no_caption")])
    chosen = assign_splits([str(n) for n in range(1, 10)])
    parts = {name: made.split(name) for name in ("calibration", "train", "validation", "test")}
    for name, part in parts.items():
        assert [one.split for one in part] == [name] * len(part)
        assert {*part.image_ids, *part.skipped_ids.get("no_caption", ())} == {n for n in chosen if chosen[n] == name}
    assert sum(map(len, parts.values())) == 8
    with pytest.raises(UnknownNameError, match="Known: calibration, train, validation, test, all"):
        made.split("dev")


def test_split_seed_changes_the_split(tmp_path):
    parts = {dataset(tmp_path, *[None] * 12, seed=seed).split("train").image_ids for seed in range(4)}
    assert len(parts) > 1


def test_an_empty_share_is_an_empty_split(tmp_path):
    assert len(dataset(tmp_path, None).split("test")) == 0


def test_subset_keeps_the_order(tmp_path):
    made = dataset(tmp_path, None, None, None, skips=[Skip("9", "no_caption")])
    assert made.subset(["3", "1"]).image_ids == ("1", "3")
    with pytest.raises(UnknownNameError, match=r"Unknown picture id '9' \(left out: no_caption\): 1 of 2 ids"):
        made.subset(["1", "9"])
    with pytest.raises(UnknownNameError, match=r"Unknown picture id 'x': 1 of 1 ids"):
        made.subset(["x"])


def test_limit_draws_nested_sets(tmp_path):
    made = dataset(tmp_path, *[None] * 10)
    draws = [made.limit(count).image_ids for count in range(1, 12)]
    for count, (smaller, larger) in enumerate(pairwise(draws), start=1):
        assert len(smaller) == min(count, 10)
        assert set(smaller) <= set(larger)
        assert list(larger) == sorted(larger, key=int)
        assert set(smaller) == set(made.drawn_ids(0)[:count])
    assert made.limit(5, 1).image_ids != made.limit(5, 0).image_ids


@pytest.mark.parametrize("count", [0, -1])
def test_limit_below_one_is_refused(tmp_path, count):
    with pytest.raises(OptionError, match="expected 1 or more"):
        dataset(tmp_path, None).limit(count)
