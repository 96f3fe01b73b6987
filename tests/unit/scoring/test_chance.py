import itertools
import math

import numpy as np
import pytest

from headimpact.core.errors import OptionError
from headimpact.scoring.chance import (
    DRAW_BLOCK,
    default_draws,
    false_discovery_rates,
    mask_orders,
    null_means,
    observed_means,
    tally_null,
)
from headimpact.scoring.donors import picture_key
from headimpact.scoring.swap_tables import build_swap_tables
from tests.unit.scoring.makers import samples_from_table

TABLE = np.random.default_rng(0).random((9, 9, 3)).astype(np.float32)
TABLES = build_swap_tables(samples_from_table(TABLE, donors=4))


def plain_order(image_ids, draw, seed):
    """Rank one number per picture, drawn one picture after the other."""
    block, place = divmod(draw, DRAW_BLOCK)
    numbers = []
    for image_id in image_ids:
        stream = np.random.Generator(np.random.Philox(counter=[0, 0, block, 0], key=[seed, picture_key(image_id)]))
        numbers.append(stream.random(place + 1)[-1])
    return sorted(range(len(numbers)), key=numbers.__getitem__)


def test_null_means_agree_with_plain_loops():
    assert len(TABLES) == 2
    for block, draws in ((0, (0, 1, 999)), (3, (0, 500))):
        found = null_means(TABLES, block=block, seed=7)
        for draw in draws:
            total = np.zeros(3)
            for table in TABLES:
                order = plain_order(table.image_ids, block * DRAW_BLOCK + draw, 7)
                for row, column in enumerate(order):
                    total += table.values[row, column]
            assert found[draw] == pytest.approx(total / 9, rel=1e-12)


def test_observed_is_the_mean_over_own_masks():
    assert observed_means(TABLES) == pytest.approx(TABLE[range(9), range(9)].mean(axis=0))


def test_all_orders_are_equally_likely():
    orders = np.concatenate([mask_orders(("a", "b", "c", "d"), block=block) for block in range(24)])
    counts = [(orders == order).all(axis=1).sum() for order in itertools.permutations(range(4))]
    expected = len(orders) / 24
    chi_square = sum((count - expected) ** 2 / expected for count in counts)
    assert sum(counts) == len(orders)
    assert chi_square < 49.7  # 23 degrees of freedom, 0.1 %


def test_p_is_near_the_share_of_all_orders():
    (table,) = build_swap_tables(samples_from_table(TABLE[:6, :6]))
    every = np.array([table.values[range(6), order].mean(axis=0) for order in itertools.permutations(range(6))])
    exact = (every >= observed_means([table]) - 1e-9).mean(axis=0)
    tally = tally_null([table], draws=20_000, seed=1)
    assert tally.p_values() == pytest.approx(exact, abs=4 * math.sqrt(0.25 / 20_000))
    z = (observed_means([table]) - every.mean(axis=0)) / every.std(axis=0)
    assert tally.z_values() == pytest.approx(z, abs=0.05)


def test_blocks_merge_in_any_order():
    whole = tally_null(TABLES, draws=2500, seed=3)
    parts = [tally_null(TABLES, draws=2500, seed=3, blocks=[block]) for block in (2, 0, 1)]
    merged = parts[0] + parts[1] + parts[2]
    assert merged.draws == whole.draws == 2500
    assert (merged.reached == whole.reached).all()
    assert merged.p_values() == pytest.approx(whole.p_values())
    assert merged.z_values() == pytest.approx(whole.z_values())


def test_a_draw_is_the_same_whatever_else_is_drawn():
    few = tally_null(TABLES, draws=200, seed=3)
    first = null_means(TABLES, block=0, seed=3)[:200]
    assert (few.reached == (first >= observed_means(TABLES) - 1e-9).sum(axis=0)).all()
    assert (null_means(TABLES, block=0, seed=4)[:200] != first).any()


def test_a_statistic_is_derived_within_each_draw():
    tally = tally_null(TABLES, draws=300, statistic=lambda means: means.max(axis=-1, keepdims=True))
    null = null_means(TABLES, block=0)[:300].max(axis=1)
    observed = observed_means(TABLES).max()
    assert tally.p_values() == pytest.approx([(1 + (null >= observed).sum()) / 301])
    assert tally.observed == pytest.approx([observed])
    assert tally.mean() == pytest.approx([null.mean()])


def test_one_picture_cannot_be_told_from_chance():
    tally = tally_null(build_swap_tables(samples_from_table(TABLE[:1, :1])), draws=50)
    assert tally.p_values().tolist() == [1.0] * 3
    assert np.isnan(tally.z_values()).all()


def test_rows_that_a_head_cannot_see_are_left_out_of_its_mean():
    values = TABLE.copy()
    values[4, :, 1] = np.nan
    values[:, :, 2] = np.nan
    tables = build_swap_tables(samples_from_table(values, donors=4))
    kept = [0, 1, 2, 3, 5, 6, 7, 8]
    assert observed_means(tables)[:2] == pytest.approx(
        [TABLE[range(9), range(9), 0].mean(), TABLE[kept, kept, 1].mean()]
    )
    tally = tally_null(tables, draws=100)
    assert np.isnan(tally.p_values()).tolist() == [False, False, True]
    assert np.isnan(tally.z_values()).tolist() == [False, False, True]


def test_p_is_never_zero_nor_above_one():
    values = np.zeros((8, 8, 2), dtype=np.float32)
    values[range(8), range(8), 0] = 1.0
    tally = tally_null(build_swap_tables(samples_from_table(values)), draws=999)
    assert tally.p_values() == pytest.approx([1 / 1000, 1.0], abs=1e-3)


@pytest.mark.parametrize(
    ("p", "q"),
    [
        ([0.01, 0.02, 0.03], [0.03, 0.03, 0.03]),
        ([0.2, 0.01, 0.9], [0.3, 0.03, 0.9]),
        ([0.6, 0.9], [0.9, 0.9]),
        ([np.nan, 0.04], [np.nan, 0.04]),
        ([np.nan], [np.nan]),
        ([], []),
    ],
    ids=["steps down", "unsorted", "large", "one missing", "none", "empty"],
)
def test_false_discovery_rates_worked_by_hand(p, q):
    assert false_discovery_rates(np.array(p)) == pytest.approx(q, nan_ok=True)


def test_false_discovery_rates_agree_with_the_definition():
    p = np.random.default_rng(0).random((4, 5)).round(2)
    flat = np.sort(p.ravel())
    for place in np.ndindex(p.shape):
        expected = min(value * 20 / (rank + 1) for rank, value in enumerate(flat) if value >= p[place])
        assert false_discovery_rates(p)[place] == pytest.approx(min(1.0, expected))


def test_default_draws_let_one_head_through():
    for layers, heads in ((2, 4), (28, 16), (48, 40)):
        draws = default_draws(layers, heads)
        assert layers * heads / (draws + 1) < 0.05
        assert draws >= 10_000


def test_no_draws_are_refused():
    with pytest.raises(OptionError, match=r"Number of draws out of range: 0. Expected at least 1"):
        tally_null(TABLES, draws=0)
