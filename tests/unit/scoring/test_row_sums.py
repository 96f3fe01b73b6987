"""Sums of picked rows are those of double precision, whatever the size of the numbers."""

import numpy as np
import pytest

from headimpact.scoring.row_sums import RowSums


@pytest.mark.parametrize("picked", [1, 5, 65, 300])
def test_sums_agree_with_double_precision(picked):
    generator = np.random.default_rng(picked)
    scales = np.array([1e-12, 1e-3, 1.0, 8.0, 1e6, 0.0])
    table = (generator.normal(size=(500, 6)) * scales).astype(np.float32)
    table[:, 2] = np.abs(table[:, 2]) ** 8
    places = generator.integers(500, size=(40, picked))
    exact = table.astype(np.float64)[places].sum(axis=1)
    found = RowSums(table, picked=picked).of(places)
    assert found.dtype == np.float64
    allowed = np.abs(table).max(axis=0) * picked * 2e-12
    assert (np.abs(found - exact) <= allowed).all()
    rounded = table[places].sum(axis=1, dtype=np.float32)
    assert picked == 1 or (np.abs(rounded - exact)[:, :2] > allowed[:2]).any()  # single precision alone would not do


def test_whole_numbers_are_added_up_exactly():
    table = np.random.default_rng(0).integers(0, 2, size=(100, 3)).astype(np.float32)
    places = np.random.default_rng(1).integers(100, size=(20, 65))
    assert (RowSums(table, picked=65).of(places) == table[places].sum(axis=1)).all()
