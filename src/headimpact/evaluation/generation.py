"""Responses of a model to pictures and prompts: greedy or beam search, batch by batch in a fixed order."""

import copy
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import torch

from headimpact.core.errors import OptionError
from headimpact.evaluation.requests import ResponseRequest
from headimpact.evaluation.results import Prediction
from headimpact.models.loading import LoadedModel
from headimpact.models.prompts import encode


def generate_responses(
    loaded: LoadedModel,
    blocks: Sequence[Sequence[ResponseRequest]],
    *,
    indices: Collection[int] | None = None,
    max_new_tokens: int = 48,
    num_beams: int = 1,
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

    Yields:
        A block's index and its predictions, in the order of its requests.

    Raises:
        OptionError: If `max_new_tokens` or `num_beams` is below 1.
    """
    for name, value in (("max-new-tokens", max_new_tokens), ("num-beams", num_beams)):
        if value < 1:
            raise OptionError(f"Cannot generate with --{name} {value}; expected at least 1.")
    options = _generation_options(loaded, max_new_tokens=max_new_tokens, num_beams=num_beams)
    for index, block in enumerate(blocks):
        if indices is None or index in indices:
            texts = _respond(loaded, block, options)
            yield index, tuple(_prediction(request, text) for request, text in zip(block, texts, strict=True))


def _respond(loaded: LoadedModel, block: Sequence[ResponseRequest], options: Any) -> list[str]:
    """Generate the responses of one batch as text."""
    images = [request.load_image() for request in block]
    prompts = [request.prompt for request in block]
    encoded = encode(loaded, images, prompts, None, padding_side="left")
    was_training = loaded.model.training
    loaded.model.eval()
    try:
        with torch.inference_mode():
            tokens = loaded.model.generate(**encoded.inputs, generation_config=options)
    finally:
        loaded.model.train(was_training)
    answers = tokens[:, encoded.inputs["input_ids"].shape[1] :]
    decoded = _tokenizer(loaded).batch_decode(answers, skip_special_tokens=True)
    return [str(text).strip() for text in decoded]


def _generation_options(loaded: LoadedModel, *, max_new_tokens: int, num_beams: int) -> Any:
    """Take the model's generation config and fix what decides the search."""
    options = copy.deepcopy(loaded.model.generation_config)
    tokenizer = _tokenizer(loaded)
    fixed = {
        "max_new_tokens": max_new_tokens,
        "max_length": None,
        "num_beams": num_beams,
        "do_sample": False,
        "temperature": None,
        "top_p": None,
        "top_k": None,
        "return_dict_in_generate": False,
    }
    for name, value in fixed.items():
        setattr(options, name, value)
    if options.eos_token_id is None:
        options.eos_token_id = tokenizer.eos_token_id
    if options.pad_token_id is None:
        options.pad_token_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    return options


def _tokenizer(loaded: LoadedModel) -> Any:
    """Give the processor's tokenizer."""
    return getattr(loaded.processor, "tokenizer", loaded.processor)


def _prediction(request: ResponseRequest, text: str) -> Prediction:
    """Put a response beside what it is measured against."""
    return Prediction(image_id=request.image_id, prediction=text, references=request.references, names=request.names)
