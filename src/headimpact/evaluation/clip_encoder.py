"""A CLIP that turns pictures and captions into vectors of length one."""

import functools
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn.functional import normalize
from transformers import AutoModel

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.checkpoint_files import read_config, read_weights
from headimpact.models.placement import resolve_device
from headimpact.models.processors import load_processor

_BATCH = 32


@functools.lru_cache(maxsize=1)
def shared_clip(checkpoint: str, *, device: str = "auto") -> "ClipEncoder":
    """Load a CLIP, or give the one that was loaded last: both CLIP scores, and one evaluation after another, share it.

    Args:
        checkpoint: Folder or hub id.
        device: As for `ClipEncoder`.

    Raises:
        UnsupportedModelError: If it is no CLIP.
        DataFormatError: If files are missing or broken.
        OptionError: If the device is not to be had.
    """
    return ClipEncoder(checkpoint, device=device)


class ClipEncoder:
    """Pictures and captions as unit vectors of one space."""

    def __init__(self, checkpoint: str, *, device: str = "auto") -> None:
        """Load the checkpoint in float32.

        Args:
            checkpoint: Folder or hub id.
            device: `auto` (a GPU if there is one), or a torch device.

        Raises:
            UnsupportedModelError: If it is no CLIP.
            DataFormatError: If files are missing or broken.
            OptionError: If the device is not to be had.
        """
        self._device = resolve_device(device)
        config = read_config(checkpoint, None)
        if config.model_type != "clip":
            raise UnsupportedModelError(
                f"Wrong kind of model: {checkpoint!r} is of type {config.model_type!r}. Expected a CLIP, such as "
                "'openai/clip-vit-base-patch32'."
            )
        self._processor = load_processor(checkpoint, config, revision=None)
        self._model = read_weights(AutoModel, checkpoint, revision=None, dtype=torch.float32).to(self._device).eval()
        self._longest = int(config.text_config.max_position_embeddings)

    @torch.inference_mode()
    def encode_pictures(self, loaders: Sequence[Callable[[], Image.Image]]) -> Float[Tensor, "pictures features"]:
        """Encode pictures, loaded batch by batch.

        Args:
            loaders: Give a picture each.
        """
        rows = []
        for start in range(0, len(loaders), _BATCH):
            images = [load() for load in loaders[start : start + _BATCH]]
            pixels = self._processor.image_processor(images=images, return_tensors="pt")["pixel_values"]
            rows.append(self._model.get_image_features(pixel_values=pixels.to(self._device)).pooler_output)
        return normalize(torch.cat(rows), dim=-1).cpu()

    @torch.inference_mode()
    def encode_texts(self, texts: Sequence[str]) -> Float[Tensor, "texts features"]:
        """Encode texts; what is longer than the model's positions is cut off, as the published code does.

        Args:
            texts: At least one.
        """
        rows = []
        for start in range(0, len(texts), _BATCH):
            inputs = self._processor.tokenizer(
                list(texts[start : start + _BATCH]),
                padding=True,
                truncation=True,
                max_length=self._longest,
                return_tensors="pt",
            ).to(self._device)
            found = self._model.get_text_features(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
            )
            rows.append(found.pooler_output)
        return normalize(torch.cat(rows), dim=-1).cpu()
