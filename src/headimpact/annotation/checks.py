"""What is refused before a model runs and after it: lists that do not match, thresholds out of range, and NaN."""

from collections.abc import Sequence

import numpy as np

from headimpact.core.errors import DataFormatError, OptionError, RunFailedError


def check_share(name: str, value: float) -> None:
    """Refuse a threshold that is no share.

    Args:
        name: Name of the option.
        value: What was given.

    Raises:
        OptionError: If it is outside [0, 1].
    """
    if not 0 <= value <= 1:
        raise OptionError(f"--{name} is {value}; expected a number from 0 to 1.")


def check_rows(images: Sequence[object], rows: Sequence[object], what: str) -> None:
    """Refuse lists of which one belongs to each picture where their number differs.

    Args:
        images: The pictures.
        rows: What belongs to them, one entry each.
        what: What the entries are, for the message.

    Raises:
        DataFormatError: If the numbers differ.
    """
    if len(images) != len(rows):
        raise DataFormatError(
            f"Rows differ in number: {len(images)} pictures, {len(rows)} {what}. Expected one for each picture."
        )


def refuse_nan(values: np.ndarray, model: str) -> None:
    """Refuse outputs that are no numbers, which any threshold would silently drop or keep.

    Args:
        values: Confidences or probabilities.
        model: Which model they come from, for the message.

    Raises:
        RunFailedError: If one is NaN.
    """
    if np.isnan(values).any():
        raise RunFailedError(
            f"No numbers from {model}: {int(np.isnan(values).sum())} of {values.size} confidences are NaN; expected "
            "numbers in [0, 1]. Run with --dtype float32; half precision overflows in some models."
        )
