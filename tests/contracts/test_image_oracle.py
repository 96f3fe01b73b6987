"""The oracle itself: the usual mistakes that it must tell apart are the ones it makes."""

import numpy as np
import pytest

from headimpact.models.image_tokens import WHOLE_PICTURE, grid_layout, join_layouts
from headimpact.models.patch_grid import grid_boxes
from tests.contracts.image_oracle import wrong_boxes


def _boxes(tile: int) -> np.ndarray:
    """A grid of 2 x 3 on the whole picture or on one of two tiles side by side."""
    plane, start = ((2, 3), 0) if tile == WHOLE_PICTURE else ((2, 6), 3 * tile)
    return grid_boxes(rows=2, columns=3, patch_hw=(1, 1), start_yx=(0, start), plane_hw=plane)


def _layout(tiles: list[int]):
    """Grids one after the other, in this order."""
    parts = [
        grid_layout(np.arange(6) + 6 * place, _boxes(tile), rows=2, columns=3, tile=tile)
        for place, tile in enumerate(tiles)
    ]
    return join_layouts(parts)


@pytest.mark.parametrize("tiles", [[WHOLE_PICTURE, 0, 1], [0, 1, WHOLE_PICTURE]], ids=["whole first", "whole last"])
def test_the_usual_mistakes(tiles):
    wrong = wrong_boxes(_layout(tiles))
    assert set(wrong) == {"transposed", "one too far", "tiles rotated", "tiles reversed", "whole at the other end"}
    first = wrong["transposed"][:6]
    np.testing.assert_array_equal(first[1], _boxes(tiles[0])[3])  # second in the sequence: down, not right
    np.testing.assert_array_equal(wrong["one too far"][1:], _layout(tiles).boxes[:-1])
    moved = [tile for tile in tiles if tile != WHOLE_PICTURE]
    other_end = [*moved, WHOLE_PICTURE] if tiles[0] == WHOLE_PICTURE else [WHOLE_PICTURE, *moved]
    np.testing.assert_array_equal(wrong["whole at the other end"], _layout(other_end).boxes)
    swapped = [1 - tile if tile != WHOLE_PICTURE else tile for tile in tiles]
    np.testing.assert_array_equal(wrong["tiles reversed"], _layout(swapped).boxes)


def test_a_picture_that_enters_whole_has_no_tiles_to_mistake():
    assert set(wrong_boxes(_layout([WHOLE_PICTURE]))) == {"transposed", "one too far"}
