import numpy as np
import pytest

from headimpact.models.image_tokens import WHOLE_PICTURE
from headimpact.models.tiled_grid import Tile, TokenGrid

HALVES = np.array([[0.0, 0.5], [0.5, 1.0]])


@pytest.mark.parametrize(
    ("patches", "tokens", "edges"),
    [
        pytest.param(6, 6, [[0, 2], [2, 4], [4, 6], [7, 9], [9, 11], [11, 13]], id="as they are"),
        pytest.param(3, 2, [[0, 3], [3, 6]], id="one tile"),
        pytest.param(6, 4, [[0, 3], [3, 6], [7, 10], [10, 13]], id="two tiles"),
        pytest.param(6, 5, [[0, 2.4], [2.4, 4.8], [4.8, 8.2], [8.2, 10.6], [10.6, 13]], id="across a strip"),
    ],
)
def test_tokens_share_patches_evenly(patches, tokens, edges):
    found = Tile(side=7, patch_size=2).shares(range(patches), tokens=tokens, start=0.0, length=14.0)
    np.testing.assert_allclose(found * 14, edges, atol=1e-12)


def test_shares_are_those_of_the_picture_inside_its_padding():
    found = Tile(side=7, patch_size=2).shares(range(1, 5), tokens=4, start=3.0, length=5.0)
    np.testing.assert_allclose(found * 5, [[0, 1], [1, 3], [4, 5], [5, 5]], atol=1e-12)


@pytest.mark.parametrize(
    ("newlines", "positions", "own", "words"),
    [
        ({}, 4, [10, 11, 12, 13], "2 x 2"),
        ({"newline_in_rows": True}, 6, [10, 11, 13, 14], "2 x (2 + 1)"),
        ({"newline_behind": True}, 5, [10, 11, 12, 13], "2 x 2 + 1"),
    ],
)
def test_newlines_have_no_place(newlines, positions, own, words):
    grid = TokenGrid(HALVES, HALVES, **newlines)
    assert len(grid) == positions
    assert grid.in_words() == words
    layout = grid.layout(np.arange(10, 10 + positions), image_index=1)
    assert layout.positions.tolist() == own
    assert layout.grid_hw == {(1, WHOLE_PICTURE): (2, 2)}
    assert layout.boxes.tolist() == [[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]]


def test_a_grid_without_columns_is_newlines_alone():
    grid = TokenGrid(HALVES, np.zeros((0, 2)), tile=0, newline_in_rows=True)
    assert len(grid) == 2
    layout = grid.layout(np.array([3, 4]), image_index=0)
    assert len(layout) == 0
    assert layout.grid_hw == {}
