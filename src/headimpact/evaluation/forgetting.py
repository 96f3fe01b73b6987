"""How much worse a tuned model predicts plain text than the model before the tuning. No torch."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from headimpact.core.artifacts import write_json
from headimpact.core.errors import DataFormatError

SCHEMA = "forgetting/1"
FILE = "forgetting.json"
CONFIDENCE = 0.95

Losses = Float[np.ndarray, "passages 2"]
"""Summed loss in nats and number of predicted tokens of each passage."""


@dataclasses.dataclass(frozen=True)
class Forgetting:
    """Mean loss per token of plain text, before and after tuning.

    Attributes:
        passages: Number of passages.
        tokens: Tokens predicted.
        before: Mean loss of the model before the tuning, in nats; lower is better.
        after: The same with the adapter; None where there is none.
        rise: After minus before.
        rise_low: Lower end of its interval over passages.
        rise_high: Upper end.
    """

    passages: int
    tokens: int
    before: float
    after: float | None = None
    rise: float | None = None
    rise_low: float | None = None
    rise_high: float | None = None

    def line(self) -> str:
        """Say it in words."""
        if self.after is None:
            return f"loss on plain text: {self.before:.4f}"
        interval = f"[{self.rise_low:+.4f}, {self.rise_high:+.4f}]"
        return f"loss on plain text: {self.before:.4f} -> {self.after:.4f}, a rise of {self.rise:+.4f} {interval}"

    def write(self, folder: Path, **facts: Any) -> None:
        """Write `forgetting.json`.

        Args:
            folder: Run folder.
            **facts: What else belongs into it: the hash of the text.

        Raises:
            RunFailedError: If the file system refuses.
        """
        write_json(folder / FILE, {**dataclasses.asdict(self), **facts}, schema=SCHEMA)


def read_passages(path: Path) -> tuple[str, ...]:
    """Read a text file of one passage a line; blank lines are passed over.

    Raises:
        DataFormatError: If it cannot be read or holds nothing.
    """
    try:
        passages = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise DataFormatError(f"Cannot read {path}: {error}. Expected UTF-8 text, one passage a line.") from error
    if not passages:
        raise DataFormatError(f"Nothing to read in {path}: expected one passage a line.")
    return passages


def measure_forgetting(before: Losses, after: Losses | None, *, seed: int = 0, resamples: int = 2000) -> Forgetting:
    """Compare the losses of the same passages before and after tuning.

    Args:
        before: Losses and tokens of each passage.
        after: The same after tuning; None where nothing was tuned.
        seed: Seed of the resamples of passages.
        resamples: Resamples behind the interval.

    Returns:
        Means per token, and the rise with a 95 % bootstrap interval over passages.

    Example:
        >>> measure_forgetting(np.array([[4.0, 2.0], [6.0, 2.0]]), np.array([[5.0, 2.0], [7.0, 2.0]])).rise
        0.5
    """
    tokens = before[:, 1]
    found = Forgetting(passages=len(before), tokens=int(tokens.sum()), before=float(before[:, 0].sum() / tokens.sum()))
    if after is None:
        return found
    mean = float(after[:, 0].sum() / tokens.sum())
    shares = np.full(len(before), 1 / len(before))
    weights = np.random.default_rng(seed).multinomial(len(before), shares, size=resamples)
    rises = (weights @ (after[:, 0] - before[:, 0])) / (weights @ tokens)
    low, high = np.quantile(rises, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return dataclasses.replace(found, after=mean, rise=mean - found.before, rise_low=float(low), rise_high=float(high))
