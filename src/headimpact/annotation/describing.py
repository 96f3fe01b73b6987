"""Descriptions of pictures by a vision-language model, marked as what they are: made by a machine.

In: a loaded model and pictures. Out: for each picture a `MadeDescription` with the model, revision and prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL.Image import Image

from headimpact.core.errors import OptionError
from headimpact.models.generation_options import searched_generation
from headimpact.models.loading import LoadedModel
from headimpact.models.prompts import encode

PROMPT = "Describe the image in one sentence. Name the main objects."
"""What the model is asked where nothing else is said."""

MAX_NEW_TOKENS = 64
"""Longest description in tokens."""


@dataclass(frozen=True, kw_only=True)
class MadeDescription:
    """A description that a model made.

    Attributes:
        text: The description, without stray blanks; empty where the model says nothing.
        is_complete: Whether the model ended it; otherwise it was cut at `max_new_tokens`.
        model: Name of the model, as the user gave it.
        revision: Revision asked for, or else the commit that the hub gave; None for a folder.
        adapter: Folder of the adapter on the model, or None.
        prompt: What the model was asked.
        max_new_tokens: Longest description allowed, in tokens.
    """

    text: str
    is_complete: bool
    model: str
    revision: str | None
    adapter: str | None
    prompt: str
    max_new_tokens: int


def describe_pictures(
    loaded: LoadedModel,
    images: Sequence[Image],
    *,
    prompt: str = PROMPT,
    max_new_tokens: int = MAX_NEW_TOKENS,
) -> list[MadeDescription]:
    """Describe pictures, always taking the likeliest next token, so that the same input gives the same text.

    Args:
        loaded: The model that the user chose, in evaluation mode.
        images: Upright RGB pictures, one batch; what fits the device's memory.
        prompt: What the model is asked about each of them.
        max_new_tokens: Longest description in tokens, at least 1.

    Returns:
        A description for each picture.

    Raises:
        OptionError: If the prompt is empty or `max_new_tokens` is below 1.
        DataFormatError: If the prompt holds the image token, or a picture cannot be processed.
        UnsupportedModelError: If the model's chat template shows no place for a picture.
    """
    if not prompt.strip():
        raise OptionError(f"--prompt is {prompt!r}; expected what the model is to be asked, such as {PROMPT!r}.")
    if max_new_tokens < 1:
        raise OptionError(f"--max-new-tokens is {max_new_tokens}; expected 1 or more.")
    if not images:
        return []
    inputs = encode(loaded, images, [prompt] * len(images), None, padding_side="left").inputs
    options = searched_generation(loaded, max_new_tokens=max_new_tokens)
    with torch.inference_mode():
        tokens = loaded.model.generate(**inputs, generation_config=options)
    written = tokens[:, inputs["input_ids"].shape[1] :]
    ends = torch.tensor(_end_tokens(options), device=written.device)
    texts = loaded.processor.tokenizer.batch_decode(written, skip_special_tokens=True)
    return [
        MadeDescription(
            text=" ".join(text.split()),
            is_complete=bool(torch.isin(row, ends).any()),
            model=loaded.name,
            revision=loaded.revision or getattr(loaded.config, "_commit_hash", None),
            adapter=None if loaded.adapter is None else str(loaded.adapter),
            prompt=prompt,
            max_new_tokens=max_new_tokens,
        )
        for text, row in zip(texts, written, strict=True)
    ]


def _end_tokens(options: Any) -> list[int]:
    """List the tokens that end a description."""
    ends = options.eos_token_id
    return [] if ends is None else list(ends) if isinstance(ends, list | tuple) else [ends]
