import dataclasses

import numpy as np
import pytest

from headimpact.core.errors import DataFormatError
from headimpact.scoring.sample_scores import SampleScores
from headimpact.scoring.swap_tables import build_swap_tables
from tests.unit.scoring.makers import samples_from_table

IDS = [f"p{number}" for number in range(7)]
TABLE = np.random.default_rng(0).random((7, 7, 8)).astype(np.float32)


def samples(table=TABLE, **options):
    return samples_from_table(table, IDS, shape=(2, 3), baselines=("uniform", "centre"), **options)


@pytest.mark.parametrize("donors", [64, 3, 1])
def test_every_map_meets_every_mask_of_its_group(donors):
    tables = build_swap_tables(samples(donors=donors))
    assert sorted(image_id for table in tables for image_id in table.image_ids) == IDS
    for table in tables:
        places = [IDS.index(image_id) for image_id in table.image_ids]
        assert np.array_equal(table.values, TABLE[np.ix_(places, places)])
        assert table.is_measured.all()
        assert not table.swapped().diagonal().any()


def test_tables_do_not_depend_on_the_order_of_pictures():
    one = samples(donors=3)
    for first, second in zip(
        build_swap_tables(one),
        build_swap_tables(SampleScores.from_pictures(one.pictures()[::-1])),
        strict=True,
    ):
        assert first.image_ids == second.image_ids
        assert np.array_equal(first.values, second.values)


def test_skipped_pictures_leave_as_map_and_as_mask():
    kept = SampleScores.from_pictures(samples().pictures()[1:], skipped={"p0": "cropped_away"})
    (table,) = build_swap_tables(kept)
    assert sorted(table.image_ids) == IDS[1:]
    assert table.values.shape == (6, 6, 8)


def test_a_mask_that_says_nothing_here_gets_the_mean_of_those_that_do():
    values = TABLE.copy()
    values[2, 5] = np.nan
    (table,) = build_swap_tables(samples(values))
    row, column = table.image_ids.index("p2"), table.image_ids.index("p5")
    assert not table.is_measured[row, column]
    assert table.is_measured.sum() == 48
    assert table.values[row, column] == pytest.approx(TABLE[2, [0, 1, 3, 4, 6]].mean(axis=0))


def test_without_any_donor_the_own_value_stands_in():
    values = TABLE.copy()
    values[2, [0, 1, 3, 4, 5, 6]] = np.nan
    (table,) = build_swap_tables(samples(values))
    row = table.image_ids.index("p2")
    assert np.array_equal(table.values[row], np.tile(TABLE[2, 2], (7, 1)))


def test_a_head_that_sees_nothing_of_a_picture_has_an_empty_row():
    values = TABLE.copy()
    values[2, :, 4] = np.nan
    (table,) = build_swap_tables(samples(values))
    row = table.image_ids.index("p2")
    assert np.isnan(table.values[row, :, 4]).all()
    assert np.isnan(table.values).sum() == 7
    assert table.is_measured.all()


def test_donors_that_do_not_lend_back_are_refused():
    one = samples()
    bank = tuple(tuple(other for other in ("p0", "p1", "p2") if other != image_id) for image_id in IDS)
    with pytest.raises(DataFormatError, match=r"Donors do not fit.*choose donors with plan_donors"):
        build_swap_tables(dataclasses.replace(one, donor_ids=bank))
