"""Prepares pictures and boxes for SAM 2 with Pillow alone.

transformers prepares them with torchvision only. What it does is little: the whole picture is resized to a square,
scaled and normalised, and boxes go along. Doing it here gives the same numbers with and without torchvision.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from transformers import PretrainedConfig
from transformers.image_processing_base import ImageProcessingMixin

from headimpact.annotation.boxes import Boxes, SizeHW
from headimpact.core.errors import DataFormatError


@dataclass(frozen=True)
class Preparation:
    """How pictures become a model's input; the defaults are SAM 2's.

    Attributes:
        size: Side of the square that a picture is resized to, in pixels.
        resample: Pillow's number of the filter.
        rescale_factor: What pixel values are multiplied with.
        mean: Mean of each channel, taken off.
        std: Spread of each channel, divided by.
    """

    size: int = 1024
    resample: int = int(Image.Resampling.BILINEAR)
    rescale_factor: float = 1 / 255
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    def prepare_pictures(self, images: Sequence[Image.Image]) -> Float[torch.Tensor, "batch 3 side side"]:
        """Resize, scale and normalise pictures.

        Args:
            images: At least one RGB picture, of any sizes.

        Returns:
            The pixels, channels first.
        """
        return torch.from_numpy(np.stack([self._prepare_picture(image) for image in images]))

    def prepare_boxes(self, boxes: Boxes, size_hw: SizeHW) -> Float[torch.Tensor, "1 boxes 4"]:
        """Move boxes along with their picture.

        Args:
            boxes: Boxes in pixels of the picture.
            size_hw: Height and width of the picture.

        Returns:
            Boxes in pixels of the square.

        Source: transformers, `Sam2Processor._normalize_coordinates`.
        """
        across, down = self.size / size_hw[1], self.size / size_hw[0]
        scaled = np.asarray(boxes, dtype=np.float64) * np.array([across, down, across, down])
        return torch.from_numpy(scaled.astype(np.float32))[None]

    def _prepare_picture(self, image: Image.Image) -> np.ndarray:
        """Resize, scale and normalise one picture, `[channels, height, width]`."""
        resized = image.convert("RGB").resize((self.size, self.size), Image.Resampling(self.resample))
        scaled = np.asarray(resized, dtype=np.float32) * np.float32(self.rescale_factor)
        normal = (scaled - np.array(self.mean, dtype=np.float32)) / np.array(self.std, dtype=np.float32)
        return np.ascontiguousarray(normal.transpose(2, 0, 1))


def read_preparation(source: str, config: PretrainedConfig, revision: str) -> Preparation:
    """Read how a SAM 2 checkpoint wants its pictures.

    Args:
        source: Folder or hub id.
        config: Config of the model.
        revision: Revision on the hub.

    Returns:
        The preparation; what the file does not say is as in SAM 2.

    Raises:
        OSError: If there is no such file.
        DataFormatError: If it asks for steps that SAM 2 does not have, or for another size than the model's.
    """
    settings, _ = ImageProcessingMixin.get_image_processor_dict(source, revision=revision)
    skipped = [name for name in ("do_resize", "do_rescale", "do_normalize") if settings.get(name) is False]
    added = [name for name in ("do_pad", "do_center_crop") if settings.get(name)]
    if skipped or added:
        raise DataFormatError(
            f"Unknown preparation of pictures in {source!r}: {', '.join(skipped + added)} changed; expected pictures "
            "to be resized, scaled and normalised. Copy preprocessor_config.json from the original checkpoint."
        )
    default = Preparation()
    size = settings.get("size") or {"height": default.size, "width": default.size}
    expected = config.prompt_encoder_config.image_size
    if size != {"height": expected, "width": expected}:
        raise DataFormatError(
            f"Picture size of {source!r} does not fit: preprocessor_config.json says {dict(size)}, the model is made "
            f"for {expected} x {expected}. Copy preprocessor_config.json from the original checkpoint."
        )
    return Preparation(
        size=expected,
        resample=int(settings.get("resample", default.resample)),
        rescale_factor=float(settings.get("rescale_factor", default.rescale_factor)),
        mean=tuple(float(value) for value in settings.get("image_mean", default.mean)),
        std=tuple(float(value) for value in settings.get("image_std", default.std)),
    )
