import numpy as np
import pytest

from headimpact.scoring.gaps import interval, picture_gaps, resampled_gaps
from headimpact.scoring.swap_tables import build_swap_tables
from tests.unit.scoring.makers import samples_from_table


def tables(values, **options):
    return build_swap_tables(samples_from_table(values.astype(np.float32), **options))


def test_two_pictures_worked_by_hand():
    values = np.array([[[0.8], [0.2]], [[0.4], [0.6]]])
    gaps = picture_gaps(tables(values, ids=["a", "b"]))
    order = [gaps.image_ids.index(image_id) for image_id in ("a", "b")]
    assert gaps.own[order, 0] == pytest.approx([0.8, 0.6])
    assert gaps.chance[order, 0] == pytest.approx([0.2, 0.4])
    # s - r - c + g with r = (.2, .4), c = (.4, .2), g = .3
    assert gaps.gap[order, 0] == pytest.approx([0.5, 0.3])
    assert gaps.gap.mean() == pytest.approx((0.8 + 0.6) / 2 - (0.2 + 0.4) / 2)


@pytest.mark.parametrize("donors", [64, 4])
def test_shares_average_to_score_minus_chance(donors):
    values = np.random.default_rng(0).random((13, 13, 3))
    values[2, 5] = np.nan
    values[4, :, 1] = np.nan
    gaps = picture_gaps(tables(values, donors=donors))
    expected = np.nanmean(gaps.own - gaps.chance, axis=0)
    assert np.nanmean(gaps.gap, axis=0) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(gaps.gap).sum() == 1


def test_chance_agrees_with_plain_loops():
    values = np.random.default_rng(0).random((6, 6, 2)).astype(np.float32)
    gaps = picture_gaps(tables(values, ids=[f"p{number}" for number in range(6)]))
    for row in range(6):
        expected = np.mean([values[row, column] for column in range(6) if column != row], axis=0)
        assert gaps.chance[gaps.image_ids.index(f"p{row}")] == pytest.approx(expected)


def test_size_of_masks_and_breadth_of_maps_are_no_noise():
    generator = np.random.default_rng(0)
    rows, columns = generator.normal(size=(9, 1, 1)), generator.normal(size=(1, 9, 1))
    gaps = picture_gaps(tables(rows + columns + 0.25 * np.eye(9)[:, :, None]))
    assert gaps.gap == pytest.approx(np.full((9, 1), 0.25), abs=1e-6)


def test_one_picture_has_no_chance_level():
    gaps = picture_gaps(tables(np.full((1, 1, 2), 0.4)))
    assert gaps.own == pytest.approx(np.full((1, 2), 0.4))
    assert np.isnan(gaps.chance).all()
    assert np.isnan(gaps.gap).all()


def test_resamples_agree_with_plain_loops():
    values = np.random.default_rng(0).random((5, 2))
    values[1, 1] = np.nan
    found = resampled_gaps(values, resamples=4, seed=3)
    stream = np.random.Generator(np.random.Philox(key=[3, 1]))
    weights = stream.multinomial(5, [0.2] * 5, size=4)
    for row, counts in enumerate(weights):
        drawn = np.repeat(values, counts, axis=0)
        assert found[row] == pytest.approx(np.nanmean(drawn, axis=0))


def test_the_interval_holds_the_true_gap_as_often_as_it_says():
    generator = np.random.default_rng(1)
    held, naive_width, width = 0, [], []
    for trial in range(200):
        maps, masks = generator.normal(0, 0.05, (30, 1, 1)), generator.normal(0, 0.1, (1, 30, 1))
        values = 0.3 + maps + masks + generator.normal(0, 0.05, (30, 30, 1)) + 0.02 * np.eye(30)[:, :, None]
        gaps = picture_gaps(tables(values))
        low, high = interval(resampled_gaps(gaps.gap, resamples=300, seed=trial))
        held += bool(low[0] <= 0.02 <= high[0])
        width.append(high[0] - low[0])
        low, high = interval(resampled_gaps(gaps.own - gaps.chance, resamples=300, seed=trial))
        naive_width.append(high[0] - low[0])
    assert 0.89 * 200 <= held <= 0.985 * 200
    assert np.mean(width) < 0.6 * np.mean(naive_width)


def test_columns_without_values_have_no_interval():
    low, high = interval(resampled_gaps(np.array([[1.0, np.nan], [3.0, np.nan]]), resamples=200))
    assert 1.0 <= low[0] < high[0] <= 3.0
    assert np.isnan(low[1])
    assert np.isnan(high[1])
