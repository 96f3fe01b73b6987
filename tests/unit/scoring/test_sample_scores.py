import dataclasses

import numpy as np
import pytest

from headimpact.core.errors import DataFormatError
from headimpact.scoring.sample_scores import SampleScores
from tests.unit.scoring.makers import samples_from_table

TABLE = np.random.default_rng(0).random((7, 7, 8))
SAMPLES = samples_from_table(TABLE, donors=3, shape=(2, 3), baselines=("uniform", "centre"))


def equal(first, second):
    for field in dataclasses.fields(first):
        one, other = getattr(first, field.name), getattr(second, field.name)
        assert np.array_equal(one, other, equal_nan=True) if isinstance(one, np.ndarray) else one == other, field.name
    return True


def test_shapes_and_filling():
    assert SAMPLES.own.shape == (7, 2, 3)
    assert SAMPLES.donors.shape == (7, 3, 2, 3)
    assert SAMPLES.baseline_donors.shape == (7, 3, 2)
    lengths = [len(ids) for ids in SAMPLES.donor_ids]
    assert sorted(lengths) == [2, 2, 2, 3, 3, 3, 3]
    short = lengths.index(2)
    assert np.isnan(SAMPLES.donors[short, 2]).all()
    assert not np.isnan(SAMPLES.donors[short, :2]).any()


def test_taken_apart_and_put_together():
    pictures = SAMPLES.pictures()
    parts = [SampleScores.from_pictures(pictures[:3], skipped={"a": "cropped_away"}), SampleScores.from_pictures([])]
    parts.append(SampleScores.from_pictures(pictures[3:], skipped={"b": "covers_too_much"}))
    joined = SampleScores.join(parts)
    assert joined.skipped == {"a": "cropped_away", "b": "covers_too_much"}
    assert equal(dataclasses.replace(joined, skipped={}), SAMPLES)


def test_nothing_scored():
    joined = SampleScores.join([SampleScores.from_pictures([], skipped={"a": "cropped_away"}, shape=(2, 3))])
    assert joined.own.shape == (0, 2, 3)
    assert joined.skipped == {"a": "cropped_away"}


@pytest.mark.parametrize(
    "change",
    [
        {"own": np.zeros((2, 4)), "donors": np.zeros((3, 2, 4)), "sees_image": np.zeros((2, 4))},
        {"donors": np.zeros((9, 2, 3))},
        {"donor_ids": ("a",)},
        {"baselines": {}},
        {"baselines": {"uniform": np.zeros(2), "centre": np.zeros(2)}},
    ],
    ids=["other model", "more donors", "fewer ids", "no baselines", "short baselines"],
)
def test_pictures_that_do_not_fit_are_refused(change):
    first, second = SAMPLES.pictures()[:2]
    with pytest.raises(DataFormatError, match=rf"picture '{second.image_id}' do not fit.*one run"):
        SampleScores.from_pictures([first, dataclasses.replace(second, **change)])


def test_a_picture_in_two_shards_is_refused():
    with pytest.raises(DataFormatError, match="share 7 pictures; expected every picture in one shard"):
        SampleScores.join([SAMPLES, SAMPLES])
