"""Grids of pictures that enter whole and keep their shape, one after another in a row."""

from collections.abc import Sequence

from headimpact.core.shapes import TokenPositions
from headimpact.models.family import refuse_unfilled_grid
from headimpact.models.image_tokens import ImageTokenLayout, grid_layout, join_layouts
from headimpact.models.patch_grid import grid_boxes


def whole_pictures_layout(
    model_type: str, positions: TokenPositions, grids: Sequence[tuple[int, int]]
) -> ImageTokenLayout:
    """Lay one row's tokens on the grids of its pictures, in order; each grid covers its picture evenly.

    Args:
        model_type: Family, for the message.
        positions: Key positions of the row's image tokens.
        grids: Rows and columns of each picture's grid; at least one.

    Returns:
        The layout of the row.

    Raises:
        UnsupportedModelError: If the tokens do not fill the grids.

    Example:
        >>> import numpy as np
        >>> whole_pictures_layout("qwen2_vl", np.array([4, 5, 9]), [(1, 2), (1, 1)]).image_index.tolist()
        [0, 0, 1]
    """
    text = " + ".join(f"{rows} x {columns}" for rows, columns in grids)
    expected = sum(rows * columns for rows, columns in grids)
    refuse_unfilled_grid(model_type, found=len(positions), expected=expected, grid=text)
    parts, start = [], 0
    for index, (rows, columns) in enumerate(grids):
        boxes = grid_boxes(rows=rows, columns=columns, patch_hw=(1, 1), start_yx=(0, 0), plane_hw=(rows, columns))
        span = positions[start : start + rows * columns]
        parts.append(grid_layout(span, boxes, rows=rows, columns=columns, image_index=index))
        start += rows * columns
    return join_layouts(parts)
