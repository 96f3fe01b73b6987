"""Sums of many rows of a table at once: nearly as exact as in double precision, at the speed of single.

Torch is imported when it adds up: score files are read without it.
"""

import numpy as np
from jaxtyping import Float, Int

MANTISSA_BITS = 24
"""Single precision holds every whole number up to 2^24."""


class RowSums:
    """A table of which rows are picked and added up, again and again.

    PyTorch's fused kernel that picks rows and adds them up (`embedding_bag`) is several times as fast in single
    precision as the same in double, but rounds. So each number is split in two,

        value = coarse + fine,   coarse a multiple of q,   |fine| <= q / 2,   q = top * picked / 2^24

    with `top` the next power of two above the column's largest value and `picked` the one above the number of rows in a
    sum. Sums of coarse parts are whole multiples of q up to 2^24 q, so they are exact; those of fine parts round at
    2^-24 of something 2^-18 times as large as the values (for 65 rows). Both are added in double precision.

    Args:
        table: The rows; no NaN.
        picked: Rows in a sum, at most.

    Example:
        >>> table = np.array([[1.0, 0.1], [2.0, 0.2], [4.0, 0.4]], dtype=np.float32)
        >>> RowSums(table, picked=2).of(np.array([[0, 2], [1, 1]])).round(6).tolist()
        [[5.0, 0.5], [4.0, 0.4]]
    """

    def __init__(self, table: Float[np.ndarray, "rows columns"], *, picked: int) -> None:
        """Split the table."""
        largest = np.abs(table).max(axis=0).astype(np.float64)
        top = np.exp2(np.ceil(np.log2(np.where(largest > 0, largest, 1.0))))
        quantum = (top * np.exp2(np.ceil(np.log2(picked)) - MANTISSA_BITS)).astype(np.float32)
        self._coarse = np.rint(table / quantum) * quantum
        self._fine = table - self._coarse

    def of(self, places: Int[np.ndarray, "sums picked"]) -> Float[np.ndarray, "sums columns"]:
        """Add up the rows at some places.

        Args:
            places: Row numbers of each sum.

        Returns:
            The sums in double precision.
        """
        import torch  # noqa: PLC0415 - see above

        numbers = torch.from_numpy(places)
        coarse, fine = (
            torch.nn.functional.embedding_bag(numbers, torch.from_numpy(part), mode="sum").numpy()
            for part in (self._coarse, self._fine)
        )
        sums: np.ndarray = coarse.astype(np.float64)
        sums += fine
        return sums
