"""The oracle itself: the usual mistakes that it must tell apart are the ones it makes."""

import numpy as np
import pytest

from headimpact.models.image_tokens import WHOLE_PICTURE, grid_layout, join_layouts
from headimpact.models.patch_grid import grid_boxes
from tests.contracts.image_oracle import clear_windows, tokens_under, wrong_boxes


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


def test_a_window_keeps_clear_of_all_edges_and_covers_the_tokens_between_its_own():
    layout = _layout([WHOLE_PICTURE, 0, 1])
    edges = np.array([0, 1 / 6, 1 / 3, 1 / 2, 2 / 3, 5 / 6, 1])
    for (left, right), (top, bottom) in clear_windows(layout, 5, seed=0):
        assert right - left >= 0.2
        assert bottom - top >= 0.2
        assert min(np.abs(edges - left).min(), np.abs(edges - right).min()) > 1 / 36
        assert min(abs(top - 0.5), abs(bottom - 0.5)) > 1 / 12
    under = tokens_under(((0.3, 0.7), (0.6, 0.9)), layout, layout.boxes)
    assert under == {3, 4, 5, 10, 11, 15, 16}  # the lower row: of the whole, of the left tile, of the right one
