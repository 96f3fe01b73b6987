"""Where the image tokens are on the picture, as tensors on the model's device."""

import dataclasses
from typing import Self

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headimpact.models.image_tokens import WHOLE_PICTURE, ImageTokenLayout


@dataclasses.dataclass(frozen=True, eq=False)
class TokenPlaces:
    """Where the image tokens are, on the model's device."""

    boxes: Float[Tensor, "image_tokens 4"]
    areas: Float[Tensor, " image_tokens"]
    views: Int[Tensor, " image_tokens"]

    @classmethod
    def of(cls, layout: ImageTokenLayout, device: torch.device) -> Self:
        """Bring a layout to a device."""
        return cls(
            boxes=torch.from_numpy(np.ascontiguousarray(layout.boxes)).to(device),
            areas=torch.from_numpy(np.ascontiguousarray(layout.areas)).to(device),
            views=torch.from_numpy((layout.tile != WHOLE_PICTURE).astype(np.int64)).to(device),
        )

    def without(self, tokens: Bool[Tensor, " image_tokens"]) -> Self:
        """Take the place on the picture from some tokens: they are neither looked at nor object."""
        boxes = self.boxes.masked_fill(tokens[:, None], 0.0)
        return dataclasses.replace(self, boxes=boxes, areas=self.areas.masked_fill(tokens, 0.0))
