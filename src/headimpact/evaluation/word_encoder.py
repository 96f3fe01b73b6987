"""A text encoder that turns each token of a text into a vector of length one that knows its context."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize
from transformers import AutoModel, AutoTokenizer

from headimpact.core.errors import DataFormatError, OptionError
from headimpact.models.checkpoint_files import cannot_load, read_config, read_weights
from headimpact.models.placement import resolve_device

_BATCH = 64

TokenVectors = tuple[Float[Tensor, "tokens features"], Bool[Tensor, " tokens"]]
"""Unit vectors of a text's tokens, and which of them are words, not the encoder's own marks."""


class WordEncoder:
    """Texts as unit vectors of their tokens, from one hidden layer."""

    def __init__(self, checkpoint: str, *, layer: int | None = None, device: str = "auto") -> None:
        """Load the checkpoint in float32.

        Args:
            checkpoint: Folder or hub id of an encoder such as RoBERTa.
            layer: Which hidden state, 0 for the embeddings; the last if None.
            device: `auto` (a GPU if there is one), or a torch device.

        Raises:
            DataFormatError: If files are missing or broken.
            UnsupportedModelError: If its config names no model that transformers knows.
            OptionError: If the device is not to be had or there is no such layer.
        """
        self._device = resolve_device(device)
        config = read_config(checkpoint, None)
        depth = int(config.num_hidden_layers)
        self._layer = depth if layer is None else layer
        if not 0 <= self._layer <= depth:
            raise OptionError(f"--bert-layer is {layer}; {checkpoint!r} has hidden states 0 to {depth}.")
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        except (OSError, TypeError, KeyError, ValueError) as error:
            expected = "Expected the tokenizer's files beside config.json."
            raise DataFormatError(f"{cannot_load('the tokenizer', checkpoint, error)} {expected}") from error
        self._model = read_weights(AutoModel, checkpoint, revision=None, dtype=torch.float32).to(self._device).eval()
        self._longest = min(int(self._tokenizer.model_max_length), int(config.max_position_embeddings) - 2)

    @torch.inference_mode()
    def encode(self, texts: Sequence[str]) -> list[TokenVectors]:
        """Encode texts; what is longer than the model's positions is cut off.

        Args:
            texts: Any number.

        Returns:
            Vectors of each text's tokens, the encoder's own first and last tokens included and marked.
        """
        found: list[TokenVectors] = []
        for start in range(0, len(texts), _BATCH):
            inputs = self._tokenizer(
                list(texts[start : start + _BATCH]),
                padding=True,
                truncation=True,
                max_length=self._longest,
                return_special_tokens_mask=True,
                return_tensors="pt",
            )
            special, mask = inputs.pop("special_tokens_mask").bool(), inputs["attention_mask"].bool()
            states = self._model(**inputs.to(self._device), output_hidden_states=True).hidden_states[self._layer]
            vectors = normalize(states, dim=-1).cpu()
            found += [(row[keep], ~marks[keep]) for row, keep, marks in zip(vectors, mask, special, strict=True)]
        return found
