"""Says for every image token where it is in the sequence and which rectangle of the picture it stands for."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Int

from headimpact.core.errors import OptionError
from headimpact.core.registry import unknown_name_message
from headimpact.core.shapes import TokenAreas, TokenBoxes, TokenPositions

WHOLE_PICTURE = -1
"""Value of `tile` for tokens of the picture as a whole; tiles count from 0."""

VIEWS = ("all", "global", "tiles")


@dataclasses.dataclass(frozen=True, eq=False)
class ImageTokenLayout:
    """The image tokens of one batch row, in the order of the sequence.

    A token of a 2 x 3 grid over a picture that lost its left and right ends to a centre crop:

        0.0   0.2   0.4   0.6   0.8   1.0  share of the width
         +-----+-----+-----+-----+-----+
         |     | 0,0 | 0,1 | 0,2 |     |   boxes[0] = (0.2, 0.0, 0.4, 0.5)
         |     +-----+-----+-----+     |
         |     | 1,0 | 1,1 | 1,2 |     |   boxes[5] = (0.6, 0.5, 0.8, 1.0)
         +-----+-----+-----+-----+-----+

    Attributes:
        positions: Key position of each image token, padding counted.
        boxes: Rectangle (x0, y0, x1, y1) that the token sees, in shares of the picture's width and height,
            cut at the picture's edge. A rectangle without area sees nothing of the picture (padding).
        image_index: Which picture of the row the token belongs to, 0-based.
        tile: Which tile of the picture, 0-based; `WHOLE_PICTURE` (-1) for the picture as a whole.
        grid_row: Row in its tile's grid.
        grid_column: Column in its tile's grid.
        grid_hw: Rows and columns of each grid, by (image_index, tile).
    """

    positions: TokenPositions
    boxes: TokenBoxes
    image_index: Int[np.ndarray, " image_tokens"]
    tile: Int[np.ndarray, " image_tokens"]
    grid_row: Int[np.ndarray, " image_tokens"]
    grid_column: Int[np.ndarray, " image_tokens"]
    grid_hw: Mapping[tuple[int, int], tuple[int, int]]

    def __post_init__(self) -> None:
        """Check that the arrays belong together.

        Raises:
            ValueError: If array lengths differ, or positions do not rise.
        """
        columns = (self.boxes, self.image_index, self.tile, self.grid_row, self.grid_column)
        if any(len(column) != len(self.positions) for column in columns):
            raise ValueError(f"Arrays of one layout differ in length: expected {len(self.positions)} entries each.")
        if (np.diff(self.positions) <= 0).any():
            raise ValueError("Positions of image tokens must rise; sort the layout by position.")
        object.__setattr__(self, "grid_hw", MappingProxyType(dict(self.grid_hw)))

    def __len__(self) -> int:
        """Count the image tokens."""
        return len(self.positions)

    @property
    def areas(self) -> TokenAreas:
        """Area of each token's rectangle, as a share of the picture."""
        x0, y0, x1, y1 = self.boxes.T
        return np.asarray(np.clip(x1 - x0, 0.0, None) * np.clip(y1 - y0, 0.0, None))

    def view(self, name: str) -> "ImageTokenLayout":
        """Keep one way in which the picture enters.

        Args:
            name: `all` tokens, those of the picture as a whole (`global`), or those of its `tiles`.

        Returns:
            A layout with the tokens of that view, perhaps none.

        Raises:
            OptionError: If there is no view of that name.
        """
        if name not in VIEWS:
            raise OptionError(unknown_name_message("view", name, VIEWS))
        if name == "all":
            return self
        return self.select((self.tile == WHOLE_PICTURE) == (name == "global"))

    def of_image(self, image_index: int) -> "ImageTokenLayout":
        """Keep the tokens of one picture.

        Args:
            image_index: Which picture of the row, 0-based.
        """
        return self.select(self.image_index == image_index)

    def select(self, keep: Bool[np.ndarray, " image_tokens"]) -> "ImageTokenLayout":
        """Keep some tokens.

        Args:
            keep: Which tokens stay.
        """
        return dataclasses.replace(
            self,
            positions=self.positions[keep],
            boxes=self.boxes[keep],
            image_index=self.image_index[keep],
            tile=self.tile[keep],
            grid_row=self.grid_row[keep],
            grid_column=self.grid_column[keep],
        )


def grid_layout(
    positions: TokenPositions,
    boxes: TokenBoxes,
    *,
    rows: int,
    columns: int,
    image_index: int = 0,
    tile: int = WHOLE_PICTURE,
) -> ImageTokenLayout:
    """Lay the tokens of one grid, a picture as a whole or one tile of it, row by row.

    Args:
        positions: Key positions of the picture's tokens.
        boxes: Rectangle of each token.
        rows: Rows of the grid.
        columns: Columns of the grid.
        image_index: Which picture of the row this is.
        tile: Which tile of the picture, or the picture as a whole.

    Returns:
        The layout of that grid alone.
    """
    count = rows * columns
    grid_row, grid_column = np.divmod(np.arange(count), columns)
    return ImageTokenLayout(
        positions=positions,
        boxes=boxes,
        image_index=np.full(count, image_index),
        tile=np.full(count, tile),
        grid_row=grid_row,
        grid_column=grid_column,
        grid_hw={(image_index, tile): (rows, columns)},
    )


def join_layouts(layouts: list[ImageTokenLayout]) -> ImageTokenLayout:
    """Join the layouts of one row's pictures, in the order of the sequence.

    Args:
        layouts: One layout per picture; at least one.

    Returns:
        The layout of the row.
    """
    return ImageTokenLayout(
        positions=np.concatenate([layout.positions for layout in layouts]),
        boxes=np.concatenate([layout.boxes for layout in layouts]),
        image_index=np.concatenate([layout.image_index for layout in layouts]),
        tile=np.concatenate([layout.tile for layout in layouts]),
        grid_row=np.concatenate([layout.grid_row for layout in layouts]),
        grid_column=np.concatenate([layout.grid_column for layout in layouts]),
        grid_hw={key: shape for layout in layouts for key, shape in layout.grid_hw.items()},
    )
