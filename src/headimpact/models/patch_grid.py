"""From pixels to image tokens: which rectangle a grid cell sees, and how much of it a mask covers."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from headimpact.core.errors import OptionError
from headimpact.core.shapes import Coverage, TokenBoxes
from headimpact.models.image_tokens import ImageTokenLayout


def grid_boxes(
    *, rows: int, columns: int, patch_hw: tuple[int, int], start_yx: tuple[int, int], plane_hw: tuple[int, int]
) -> TokenBoxes:
    """Give each cell's rectangle in shares of the picture, row by row, cut at the picture's edge.

    The picture has been resized to a plane of `plane_hw` pixels; the tower sees a window of it:

        (0,0) ------------------------ plane
          |   start_yx
          |     +----+----+----+
          |     |    |    |    |  patch_hw[0]
          |     +----+----+----+
          |     |    |    |    |
          |     +----+----+----+
          |   patch_hw[1]
          +--------------------------- plane_hw

    A negative start means that the picture is smaller than the window and was padded: cells outside the
    plane get a rectangle without area.

    Args:
        rows: Rows of the grid.
        columns: Columns of the grid.
        patch_hw: Height and width of one cell on the plane, in pixels.
        start_yx: Where the first cell starts on the plane, in pixels.
        plane_hw: Height and width of the resized picture, in pixels.

    Returns:
        Rectangles (x0, y0, x1, y1) in [0, 1], `rows * columns` of them.

    Example:
        >>> grid_boxes(rows=1, columns=2, patch_hw=(4, 4), start_yx=(0, 2), plane_hw=(4, 8)).tolist()
        [[0.25, 0.0, 0.75, 1.0], [0.75, 0.0, 1.0, 1.0]]
    """
    tops = start_yx[0] + np.arange(rows + 1) * patch_hw[0]
    lefts = start_yx[1] + np.arange(columns + 1) * patch_hw[1]
    y = np.clip(tops / plane_hw[0], 0.0, 1.0)
    x = np.clip(lefts / plane_hw[1], 0.0, 1.0)
    row, column = np.divmod(np.arange(rows * columns), columns)
    return np.stack([x[column], y[row], x[column + 1], y[row + 1]], axis=1)


def mask_coverage(
    masks: Bool[np.ndarray, "masks height width"] | Float[np.ndarray, "masks height width"], boxes: TokenBoxes
) -> Coverage:
    """Give the share of each token's rectangle that each mask covers, exactly.

    Rectangles need not meet pixel edges; a pixel counts by the part of it that lies inside:

        mask pixels       rectangle            coverage = covered area / rectangle's area
        +---+---+---+
        |   | # | # |     x from 0.5 to 2.5        half of pixel 0 (empty)      0
        +---+---+---+     y over the whole row   + pixel 1 (covered)            1
          [-------]       (2 pixels of area)     + half of pixel 2 (covered)    0.5    = 1.5 / 2 = 0.75

    The integral of the mask from the corner to any point is a summed-area table interpolated linearly
    between pixel edges (exact, since a mask is constant inside a pixel); four of them give a rectangle.

    Args:
        masks: Masks of one picture, in the frame that the boxes refer to; bool, or coverage in [0, 1].
        boxes: Rectangles (x0, y0, x1, y1) in shares of width and height.

    Returns:
        Values in [0, 1]; 1 where the mask covers the whole rectangle; 0 for rectangles without area.

    Source: summed-area table, Crow 1984.

    Example:
        >>> mask_coverage(np.array([[[False, True, True]]]), np.array([[1 / 6, 0, 5 / 6, 1]])).round(3).tolist()
        [[0.75]]
    """
    count, height, width = masks.shape
    table = np.zeros((count, height + 1, width + 1))
    np.cumsum(masks, axis=1, out=table[:, 1:, 1:], dtype=np.float64)
    np.cumsum(table[:, 1:, 1:], axis=2, out=table[:, 1:, 1:])
    x0, y0, x1, y1 = boxes.T * np.array([[width], [height], [width], [height]])
    covered = _integral(table, y1, x1) - _integral(table, y0, x1) - _integral(table, y1, x0) + _integral(table, y0, x0)
    area = np.clip(x1 - x0, 0.0, None) * np.clip(y1 - y0, 0.0, None)
    seen = area > 0
    result = np.zeros(covered.shape)
    np.divide(covered, area, out=result, where=seen[None, :])
    return np.clip(result, 0.0, 1.0)


def row_coverage(
    masks: Sequence[Bool[np.ndarray, "_ _"]], layout: ImageTokenLayout
) -> Float[np.ndarray, " image_tokens"]:
    """Give the share of each token's rectangle that the mask of its own picture covers.

    Args:
        masks: One mask per picture of the row, in the order of the pictures.
        layout: The row's image tokens, of any of its pictures.

    Returns:
        Values in [0, 1], one per token.

    Raises:
        OptionError: If a token belongs to a picture without a mask.
    """
    most = int(layout.image_index.max(initial=-1))
    if most >= len(masks):
        raise OptionError(f"Masks for {len(masks)} pictures, but the prompt has {most + 1}. Give one mask per picture.")
    covered = np.zeros(len(layout))
    for index, mask in enumerate(masks):
        own = layout.image_index == index
        covered[own] = mask_coverage(mask[None], layout.boxes[own])[0]
    return covered


def _integral(
    table: Float[np.ndarray, "masks rows columns"],
    y: Float[np.ndarray, " image_tokens"],
    x: Float[np.ndarray, " image_tokens"],
) -> Float[np.ndarray, "masks image_tokens"]:
    """Interpolate the summed-area table linearly at fractional points."""
    row = np.clip(np.floor(y).astype(np.int64), 0, table.shape[1] - 2)
    column = np.clip(np.floor(x).astype(np.int64), 0, table.shape[2] - 2)
    down, right = y - row, x - column
    top = table[:, row, column] * (1 - right) + table[:, row, column + 1] * right
    bottom = table[:, row + 1, column] * (1 - right) + table[:, row + 1, column + 1] * right
    return np.asarray(top * (1 - down) + bottom * down)
