"""Responses of a model to pictures and prompts: greedy or beam search, batch by batch in a fixed order."""

import contextlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import torch

from headimpact.core.errors import OptionError
from headimpact.evaluation.requests import ResponseRequest
from headimpact.evaluation.results import Prediction
from headimpact.models.generation_options import searched_generation
from headimpact.models.loading import LoadedModel
from headimpact.models.prompts import encode


def generate_responses(
    loaded: LoadedModel,
    blocks: Sequence[Sequence[ResponseRequest]],
    *,
    indices: Collection[int] | None = None,
    max_new_tokens: int = 48,
    num_beams: int = 1,
    prompts: "EncodedPrompts | None" = None,
) -> Iterator[tuple[int, tuple[Prediction, ...]]]:
    """Generate responses block by block.

    A block is a batch, padded on the left, so what a block gives does not depend on which blocks were generated
    before it. No sampling: greedy with one beam, beam search with more.

    Args:
        loaded: Model and processor.
        blocks: What `split_blocks` gave.
        indices: Which blocks to generate; all if left out. The order is that of the blocks.
        max_new_tokens: Longest response, at least 1.
        num_beams: Beams of the search, at least 1.
        prompts: Inputs kept from an earlier arm of the same base model and blocks; encoded anew if left out.

    Yields:
        A block's index and its predictions, in the order of its requests.

    Raises:
        OptionError: If `max_new_tokens` or `num_beams` is below 1.
    """
    for name, value in (("max-new-tokens", max_new_tokens), ("num-beams", num_beams)):
        if value < 1:
            raise OptionError(f"Cannot generate with --{name} {value}; expected at least 1.")
    options = searched_generation(loaded, max_new_tokens=max_new_tokens, num_beams=num_beams)
    for index, block in enumerate(blocks):
        if indices is None or index in indices:
            inputs = _encode_block(loaded, block) if prompts is None else prompts.inputs(index)
            texts = respond(loaded, inputs, options)
            yield index, tuple(request.answered(text) for request, text in zip(block, texts, strict=True))


class EncodedPrompts:
    """Model inputs of every block, computed once and reused by every arm that is evaluated in one process.

    Vision tower, projector and token embeddings are the base model's and never tuned. Where a family's language
    inputs are embeddings and a mask alone, their output is kept; elsewhere the processed pictures and tokens.
    """

    def __init__(self, loaded: LoadedModel, blocks: Sequence[Sequence[ResponseRequest]]) -> None:
        """Keep nothing yet.

        Args:
            loaded: The base model, or one of its arms.
            blocks: What `split_blocks` gave; the same must be generated.
        """
        self._loaded = loaded
        self._blocks = blocks
        self._inputs: dict[int, dict[str, Any]] = {}

    def inputs(self, index: int) -> dict[str, Any]:
        """Give the model inputs of one block, computing them the first time."""
        if index not in self._inputs:
            self._inputs[index] = self._compute(self._blocks[index])
        return dict(self._inputs[index])

    def _compute(self, block: Sequence[ResponseRequest]) -> dict[str, Any]:
        """Encode one block and, where the family allows it, run what lies below the language model."""
        inputs = _encode_block(self._loaded, block)
        family = self._loaded.family
        if family.language_inputs is None:
            return inputs
        with torch.inference_mode(), _evaluating(self._loaded.model):
            found = family.language_inputs(family.backbone(self._loaded.model), inputs)
        return dict(found) if set(found) == {"inputs_embeds", "attention_mask"} else inputs


def _encode_block(loaded: LoadedModel, block: Sequence[ResponseRequest]) -> dict[str, Any]:
    """Run the processor on one batch, padded on the left."""
    images = [request.load_image() for request in block]
    encoded = encode(loaded, images, [request.prompt for request in block], None, padding_side="left")
    return dict(encoded.inputs)


def respond(loaded: LoadedModel, inputs: dict[str, Any], options: Any) -> list[str]:
    """Generate the responses of one batch as text.

    Args:
        loaded: Model and processor.
        inputs: The batch, padded on the left.
        options: What `searched_generation` gave.

    Returns:
        One response per row, without special tokens.
    """
    with torch.inference_mode(), _evaluating(loaded.model):
        tokens = loaded.model.generate(**inputs, generation_config=options)
    length = inputs["input_ids"].shape[1] if "input_ids" in inputs else 0
    decoded = loaded.processor.tokenizer.batch_decode(tokens[:, length:], skip_special_tokens=True)
    return [str(text).strip() for text in decoded]


@contextlib.contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Switch a model's dropout off for a block."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
