"""Which positions of a batch look, and which are looked at."""

import dataclasses
import functools
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headimpact.attention.sight import Sights


@dataclasses.dataclass(frozen=True, eq=False)
class WantedPositions:
    """Which positions look and which are looked at, per batch row; ragged lists as padded tensors.

    Padding repeats the last position, so it changes neither a maximum nor whether anything is seen.

    Attributes:
        queries: Query positions `[batch, queries]`.
        weights: Share of each query in the mean, 0 for padding, `[batch, queries]`.
        keys: Key positions `[batch, image_tokens]`.
    """

    queries: Int[Tensor, "batch queries"]
    weights: Float[Tensor, "batch queries"]
    keys: Int[Tensor, "batch image_tokens"]

    @classmethod
    def pad(cls, queries: Sequence[Tensor], keys: Sequence[Tensor]) -> "WantedPositions":
        """Make padded tensors of ragged lists without empty entries.

        Args:
            queries: Query positions per batch row.
            keys: Key positions per batch row.
        """
        length = max(len(row) for row in queries)
        weights = torch.zeros(len(queries), length)
        for row, positions in enumerate(queries):
            weights[row, : len(positions)] = 1.0 / len(positions)
        return cls(queries=_repeat_last(queries), weights=weights, keys=_repeat_last(keys))

    @functools.cached_property
    def span(self) -> tuple[int, int, int]:
        """Lowest position of all, last query position, last key position."""
        lowest = min(int(self.queries.min()), int(self.keys.min()))
        return lowest, int(self.queries.max()), int(self.keys.max())

    @functools.cached_property
    def sights(self) -> Sights:
        """What these rows see of the keys, looked up once for the layers under the same mask."""
        return Sights()

    def to(self, device: torch.device) -> "WantedPositions":
        """Copy to a device.

        Args:
            device: Where the attention call's tensors are.
        """
        return WantedPositions(
            queries=self.queries.to(device), weights=self.weights.to(device), keys=self.keys.to(device)
        )


def _repeat_last(lists: Sequence[Tensor]) -> Int[Tensor, "batch positions"]:
    """Fill ragged rows up with their last entry."""
    length = max(len(row) for row in lists)
    filled = [torch.cat([row, row[-1:].expand(length - len(row))]) for row in lists]
    return torch.stack(filled).long().cpu()
