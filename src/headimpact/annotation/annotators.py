"""The models that make masks, as the other modules take them, and public checkpoints of each kind."""

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Checkpoint:
    """A public checkpoint that is known to fit.

    Attributes:
        name: Hub id.
        licence: Licence of the weights.
    """

    name: str
    licence: str


DETECTORS = (
    Checkpoint("IDEA-Research/grounding-dino-tiny", "Apache-2.0"),
    Checkpoint("IDEA-Research/grounding-dino-base", "Apache-2.0"),
)
"""Grounding DINO; the first is the default."""

SEGMENTERS = (
    Checkpoint("facebook/sam2.1-hiera-tiny", "Apache-2.0"),
    Checkpoint("facebook/sam2.1-hiera-small", "Apache-2.0"),
    Checkpoint("facebook/sam2.1-hiera-base-plus", "Apache-2.0"),
    Checkpoint("facebook/sam2.1-hiera-large", "Apache-2.0"),
)
"""SAM 2.1; the first is the default."""

TEXT_SEGMENTERS = (Checkpoint("facebook/sam3", "SAM License (Meta's own; access is asked for on the hub)"),)
"""SAM 3, which needs torchvision."""


@dataclass(frozen=True)
class LoadedAnnotator:
    """A model in evaluation mode with what prepares its inputs.

    Attributes:
        model: The transformers model.
        processor: What turns pictures and texts into its inputs.
        name: What the user asked for.
        revision: Revision asked for, or else the commit that the hub gave; None for a folder.
        device: Where the model is.
        dtype: Number format of its weights.
    """

    model: Any
    processor: Any
    name: str
    revision: str | None
    device: torch.device
    dtype: torch.dtype

    def describe(self) -> dict[str, str | None]:
        """Give what a file says about the model that made it."""
        return {
            "model": self.name,
            "revision": self.revision,
            "device": str(self.device),
            "dtype": str(self.dtype).removeprefix("torch."),
        }


class LoadedDetector(LoadedAnnotator):
    """A model that finds boxes for phrases."""


class LoadedSegmenter(LoadedAnnotator):
    """A model that finds the mask of what is in a box."""


class LoadedTextSegmenter(LoadedAnnotator):
    """A model that finds boxes and masks for a phrase by itself."""
