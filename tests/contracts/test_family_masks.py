"""The mask itself, sent through the family's own image processor and pooled, is what the rectangles say it covers."""

import dataclasses

import numpy as np
import pytest

from headimpact.core.errors import RunFailedError
from headimpact.models.geometry_check import check_geometry, processed_coverage
from tests.contracts.image_oracle import SHAPES_HW, coverage_of, squares


def mask_of(size_hw, square) -> np.ndarray:
    mask = np.zeros(size_hw, dtype=bool)
    mask[square] = True
    return mask


def test_a_processed_mask_covers_what_the_rectangles_say(name, tiny_model):
    loaded = tiny_model(name)
    if loaded.family.pixel_order is None:
        pytest.skip("processed pictures are not pooled token by token")
    for size_hw, square in squares(len(SHAPES_HW) * 2):
        found, layout = processed_coverage(loaded, mask_of(size_hw, square))
        expected = coverage_of(size_hw, square, layout.boxes)
        seen = layout.areas > 0
        error = np.abs(found - expected)[seen]
        assert error.mean() < 0.03, (size_hw, square)
        assert error.max() < 0.3, (size_hw, square)
        if expected.any():
            wrong = np.abs(np.roll(found, 1) - expected)[seen]
            assert error.mean() < wrong.mean(), "the check must be able to fail"


def test_the_check_of_a_run_passes_and_notices_a_wrong_grid(name, tiny_model):
    loaded = tiny_model(name)
    mask = mask_of((60, 90), (slice(5, 35), slice(10, 50)))
    check = check_geometry(loaded, mask)
    assert (check is None) == (loaded.family.pixel_order is None)
    if check is None:
        return

    def turned(*args):
        layouts = loaded.family.image_token_layouts(*args)
        return [dataclasses.replace(layout, boxes=1.0 - layout.boxes[:, [2, 3, 0, 1]]) for layout in layouts]

    family = dataclasses.replace(loaded.family, image_token_layouts=turned)
    with pytest.raises(RunFailedError, match="covers other image tokens than their rectangles say"):
        check_geometry(dataclasses.replace(loaded, family=family), mask)
