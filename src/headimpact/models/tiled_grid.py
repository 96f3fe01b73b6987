"""Grids of image tokens that run across tiles, shrunk or not, with newline tokens between their rows."""

import dataclasses

import numpy as np
from jaxtyping import Float

from headimpact.core.shapes import TokenBoxes, TokenPositions
from headimpact.models.image_tokens import WHOLE_PICTURE, ImageTokenLayout, grid_layout


@dataclasses.dataclass(frozen=True)
class Tile:
    """What the tower makes of one tile, or of the whole picture: `patches` x `patches` features.

    Where the side is no multiple of the patch, a strip right and below is seen by no token:

        |<----- side ----->|
        | patch | patch |  |
    """

    side: int
    patch_size: int

    @property
    def patches(self) -> int:
        """Rows, and columns, of features."""
        return self.side // self.patch_size

    def shares(self, kept: range, *, tokens: int, start: float, length: float) -> Float[np.ndarray, "rows 2"]:
        """Give where tokens begin and end along one axis, in shares of the picture.

        Patches of neighbouring tiles touch only where the side is a multiple of the patch. Features that were resized
        bilinearly mix two patches each; a token then stands for the even part around its sampling point, the strip
        between tiles included where it lies in the middle of that part:

            patches   | 0 | 1 | 2 |   | 3 | 4 | 5 |
            4 tokens  |  0  |  1  |   |  2  |  3  |
            3 tokens  |   0   |     1     |   2   |

        Args:
            kept: Patches that unpadding left, counted across tiles.
            tokens: Tokens that these patches became; as many, unless they were resized.
            start: Where the picture starts on the plane of tiles, in pixels.
            length: The picture's length on it, in pixels.
        """
        begin, begin_rest = np.divmod(np.arange(tokens) * len(kept), tokens)
        end, end_rest = np.divmod(np.arange(1, tokens + 1) * len(kept) - 1, tokens)
        edges = np.stack([begin, end], axis=1) + kept.start
        rests = np.stack([begin_rest, end_rest + 1], axis=1) / tokens
        tile, patch = np.divmod(edges, self.patches)
        pixels = tile * self.side + (patch + rests) * self.patch_size
        return np.asarray(np.clip((pixels - start) / length, 0.0, 1.0))


@dataclasses.dataclass(frozen=True, eq=False)
class TokenGrid:
    """Image tokens that follow each other in the sequence, row by row, with newline tokens (n) that see nothing.

        0 1 2 n     newline_in_rows
        3 4 5 n     n after the last row: newline_behind

    Attributes:
        y: Where each row begins and ends, in shares of the picture's height.
        x: Where each column begins and ends, in shares of its width.
        tile: `WHOLE_PICTURE`, or 0 for the one grid across all tiles.
        newline_in_rows: Whether a newline token ends every row.
        newline_behind: Whether one follows the grid.
    """

    y: Float[np.ndarray, "rows 2"]
    x: Float[np.ndarray, "columns 2"]
    tile: int = WHOLE_PICTURE
    newline_in_rows: bool = False
    newline_behind: bool = False

    def __len__(self) -> int:
        """Count the tokens, newlines among them."""
        return len(self.y) * (len(self.x) + self.newline_in_rows) + self.newline_behind

    def in_words(self) -> str:
        """Give the number of tokens as a sum, as in "2 x (3 + 1)"."""
        rows, columns = len(self.y), len(self.x)
        if self.newline_in_rows:
            return f"{rows} x ({columns} + 1)"
        return f"{rows} x {columns}" + " + 1" * self.newline_behind

    def boxes(self) -> TokenBoxes:
        """Give each token's rectangle, row by row, newlines left out."""
        row, column = np.divmod(np.arange(len(self.y) * len(self.x)), len(self.x))
        return np.stack([self.x[column, 0], self.y[row, 0], self.x[column, 1], self.y[row, 1]], axis=1)

    def layout(self, positions: TokenPositions, *, image_index: int) -> ImageTokenLayout:
        """Lay the tokens at these positions, newlines among them, on the grid.

        Args:
            positions: Key positions, as many as the grid has tokens.
            image_index: Which picture of the row this is.
        """
        rows, columns = len(self.y), len(self.x)
        places = positions[: len(self) - self.newline_behind].reshape(rows, columns + self.newline_in_rows)
        own = places[:, :columns].reshape(-1)
        layout = grid_layout(own, self.boxes(), rows=rows, columns=columns, image_index=image_index, tile=self.tile)
        return layout if len(own) else dataclasses.replace(layout, grid_hw={})
