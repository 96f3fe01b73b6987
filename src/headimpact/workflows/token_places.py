"""Where the image tokens are on the picture, as tensors on the CPU, where masks are laid on them."""

import dataclasses
from typing import Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headimpact.models.image_tokens import WHOLE_PICTURE, ImageTokenLayout


@dataclasses.dataclass(frozen=True, eq=False)
class TokenPlaces:
    """Where the image tokens are."""

    boxes: Float[Tensor, "image_tokens 4"]
    areas: Float[Tensor, " image_tokens"]
    views: Int[Tensor, " image_tokens"]

    @classmethod
    def of(cls, layout: ImageTokenLayout) -> Self:
        """Read a layout."""
        return cls(
            boxes=torch.from_numpy(np.ascontiguousarray(layout.boxes)),
            areas=torch.from_numpy(np.ascontiguousarray(layout.areas)),
            views=torch.from_numpy((layout.tile != WHOLE_PICTURE).astype(np.int64)),
        )

    def without(self, tokens: Bool[Tensor, " image_tokens"]) -> Self:
        """Take the place on the picture from some tokens: they are neither looked at nor object."""
        boxes = self.boxes.masked_fill(tokens[:, None], 0.0)
        return dataclasses.replace(self, boxes=boxes, areas=self.areas.masked_fill(tokens, 0.0))
