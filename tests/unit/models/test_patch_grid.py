import itertools

import numpy as np
import pytest

from headimpact.models.patch_grid import grid_boxes, mask_coverage


def slow_coverage(mask: np.ndarray, box: np.ndarray) -> float:
    """Add up every pixel's overlap with the rectangle, one by one."""
    height, width = mask.shape
    x0, y0, x1, y1 = box * np.array([width, height, width, height])
    covered = 0.0
    for row, column in itertools.product(range(height), range(width)):
        down = max(0.0, min(y1, row + 1) - max(y0, row))
        right = max(0.0, min(x1, column + 1) - max(x0, column))
        covered += down * right * float(mask[row, column])
    area = (x1 - x0) * (y1 - y0)
    return covered / area if area > 0 else 0.0


def test_mask_coverage_by_hand_on_a_two_by_two_grid():
    # mask   # # . .      cells of 2 x 2 pixels:  3/4  0
    #        # . . .                               0   1/2
    #        . . . .
    #        . . # #
    mask = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1]], dtype=bool)
    boxes = grid_boxes(rows=2, columns=2, patch_hw=(2, 2), start_yx=(0, 0), plane_hw=(4, 4))
    assert mask_coverage(mask[None], boxes).tolist() == [[0.75, 0.0, 0.0, 0.5]]


@pytest.mark.parametrize(
    ("mask", "box", "expected"),
    [
        pytest.param(np.zeros((3, 4), bool), [0, 0, 1, 1], 0.0, id="empty mask"),
        pytest.param(np.ones((3, 4), bool), [0.1, 0.2, 0.7, 0.9], 1.0, id="all covered"),
        pytest.param(np.ones((3, 4), bool), [0.5, 0.2, 0.5, 0.9], 0.0, id="rectangle without area"),
        pytest.param(np.ones((3, 4), bool), [1.0, 0.0, 1.0, 1.0], 0.0, id="outside on the right"),
        pytest.param(np.eye(2, dtype=bool), [0.25, 0.25, 0.75, 0.75], 0.5, id="half of each of four pixels"),
        pytest.param(np.array([[0.0, 0.5]]), [0.5, 0, 1, 1], 0.5, id="mask that is coverage itself"),
        pytest.param(np.ones((1, 1), bool), [0.3, 0.3, 0.4, 0.4], 1.0, id="inside one pixel"),
    ],
)
def test_mask_coverage_edges(mask, box, expected):
    assert mask_coverage(mask[None], np.array([box], dtype=float))[0, 0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_mask_coverage_equals_its_slow_twin(seed):
    rng = np.random.default_rng(seed)
    masks = rng.random((3, *rng.integers(1, 12, size=2))) < 0.4
    corners = np.sort(rng.random((10, 2, 2)), axis=1)
    boxes = corners.reshape(10, 4)
    expected = [[slow_coverage(mask, box) for box in boxes] for mask in masks]
    np.testing.assert_allclose(mask_coverage(masks, boxes), expected, atol=1e-12)


def test_mask_coverage_properties():
    rng = np.random.default_rng(7)
    owner = rng.integers(0, 3, size=(20, 31))
    boxes = grid_boxes(rows=4, columns=5, patch_hw=(1, 1), start_yx=(0, 0), plane_hw=(4, 5))
    parts = mask_coverage(np.stack([owner == 0, owner == 1, owner == 2]), boxes)
    np.testing.assert_allclose(parts.sum(axis=0), 1.0)
    assert ((parts >= 0) & (parts <= 1)).all()
    np.testing.assert_allclose(parts.mean(axis=1), [(owner == part).mean() for part in range(3)])
    flipped = mask_coverage((owner == 0)[None, :, ::-1], boxes).reshape(4, 5)
    np.testing.assert_allclose(flipped[:, ::-1], parts[0].reshape(4, 5))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(
            {"rows": 1, "columns": 3, "patch_hw": (2, 2), "start_yx": (1, 1), "plane_hw": (4, 8)},
            [[0.125, 0.25, 0.375, 0.75], [0.375, 0.25, 0.625, 0.75], [0.625, 0.25, 0.875, 0.75]],
            id="centre crop",
        ),
        pytest.param(
            {"rows": 3, "columns": 1, "patch_hw": (2, 2), "start_yx": (-2, 0), "plane_hw": (2, 2)},
            [[0, 0, 1, 0], [0, 0, 1, 1], [0, 1, 1, 1]],
            id="padding above and below has no area",
        ),
        pytest.param(
            {"rows": 2, "columns": 1, "patch_hw": (4, 9), "start_yx": (0, 0), "plane_hw": (9, 9)},
            [[0, 0, 1, 4 / 9], [0, 4 / 9, 1, 8 / 9]],
            id="last pixel unseen",
        ),
    ],
)
def test_grid_boxes(options, expected):
    np.testing.assert_allclose(grid_boxes(**options), expected)
