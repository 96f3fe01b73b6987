"""Turns pictures, prompts and responses into model inputs, and says where the response's tokens are."""

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any, Literal

import torch
from PIL.Image import Image
from transformers import BatchFeature

from headimpact.core.errors import DataFormatError, UnsupportedModelError
from headimpact.models.chats import PICTURE, RenderedChat, render_chat
from headimpact.models.image_tokens import ImageTokenLayout
from headimpact.models.loading import LoadedModel
from headimpact.models.response_spans import IGNORED_LABEL, ResponseSpan, find_response_span


@dataclasses.dataclass(frozen=True, eq=False)
class EncodedBatch:
    """One batch, ready for the model.

    Attributes:
        inputs: Keyword arguments of the model, on its device.
        response_spans: First and one-past-last position of each row's answer text, padding counted, without
            end, special and template tokens; empty (start = end) without a response.
        layouts: Each row's image tokens, padding counted.
        labels: Token ids where the loss is counted (the answer and the token that ends it), -100 elsewhere;
            None without responses.
    """

    inputs: BatchFeature
    response_spans: tuple[tuple[int, int], ...]
    layouts: tuple[ImageTokenLayout, ...]
    labels: torch.Tensor | None


def encode(
    loaded: LoadedModel,
    images: Sequence[Image | Sequence[Image]],
    prompts: Sequence[str],
    responses: Sequence[str] | None = None,
    *,
    padding_side: Literal["left", "right"] = "left",
) -> EncodedBatch:
    """Encode a batch of pictures with prompts and, for teacher forcing, responses.

    The checkpoint's own chat template lays out prompt and response; then the text is tokenised as in training (at
    once, or the response apart), and the response's tokens are found by their place in the text and read back.

    Args:
        loaded: Model and processor.
        images: Upright RGB pictures, one or several per row.
        prompts: What the user asks, one per row; `<image>` marks a picture's place, without marks pictures come first.
        responses: What the model is taken to answer, one per row; None ends the rows where it would begin.
        padding_side: Where shorter rows are filled up; `left` for generation.

    Returns:
        The batch; its attention mask hides the padding.

    Raises:
        DataFormatError: If rows differ in number, a text holds the image token or a special token, a response
            is empty, a picture cannot be processed, a row is longer than the model's positions, or a
            response's tokens cannot be told from the template's.
        UnsupportedModelError: If the template shows no place for the pictures, the tokenizer gives no offsets,
            or the image tokens do not fill the family's grid.
    """
    pictures = [[entry] if isinstance(entry, Image) else list(entry) for entry in images]
    check_rows(loaded.processor, pictures, prompts, responses)
    answers: Sequence[str | None] = responses if responses is not None else [None] * len(prompts)
    chats = [
        render_chat(loaded, prompt, response=answer, num_images=len(row))
        for prompt, answer, row in zip(prompts, answers, pictures, strict=True)
    ]
    return encode_chats(loaded, chats, pictures, padding_side=padding_side)


def encode_chats(
    loaded: LoadedModel,
    chats: Sequence[RenderedChat],
    pictures: Sequence[Sequence[Image]],
    *,
    padding_side: Literal["left", "right"],
) -> EncodedBatch:
    """Encode chats that are laid out already, all with a response or all without.

    Args:
        loaded: Model and processor.
        chats: One per row.
        pictures: The pictures of each row.
        padding_side: Where shorter rows are filled up.

    Returns:
        The batch.

    Raises:
        DataFormatError: If a picture cannot be processed, a row is longer than the model's positions, or a response's
            tokens cannot be told from the template's.
        UnsupportedModelError: If the tokenizer gives no offsets, or the image tokens do not fill the family's grid.
    """
    inputs = _process(loaded, chats, pictures, padding_side)
    offsets = inputs.pop("offset_mapping")
    sizes_hw = [[(picture.height, picture.width) for picture in row] for row in pictures]
    layouts = loaded.family.image_token_layouts(loaded.config, loaded.processor, inputs, sizes_hw)
    spans = [
        find_response_span(loaded.processor.tokenizer, ids, row_offsets, response=chat.response, tail=chat.tail)
        for ids, row_offsets, chat in zip(inputs["input_ids"], offsets, chats, strict=True)
    ]
    labels = _labels(inputs["input_ids"], spans) if chats[0].response else None
    return EncodedBatch(
        inputs=inputs.to(loaded.device, dtype=loaded.dtype),
        response_spans=tuple((span.start, span.end) for span in spans),
        layouts=tuple(layouts),
        labels=None if labels is None else labels.to(loaded.device),
    )


def begins_with_special_tokens(tokenizer: Any, chat: RenderedChat) -> bool:
    """Say whether the tokenizer is to add its first token: not where the template wrote it.

    Args:
        tokenizer: The processor's tokenizer.
        chat: Any chat of the batch.
    """
    return not (tokenizer.bos_token and chat.head.startswith(tokenizer.bos_token))


def refuse_long_rows(loaded: LoadedModel, length: int) -> None:
    """Refuse rows longer than the model's positions.

    Args:
        loaded: The model.
        length: Tokens of the longest row, the picture's counted.

    Raises:
        DataFormatError: If they are.
    """
    limit = getattr(loaded.config.get_text_config(), "max_position_embeddings", None)
    if limit is not None and length > limit:
        raise DataFormatError(
            f"Row too long: {length} tokens with the picture's; the model has {limit} positions. "
            "Shorten prompt or response, or make pictures smaller; nothing is truncated."
        )


def check_rows(
    processor: Any, pictures: Sequence[Sequence[Image]], prompts: Sequence[str], responses: Sequence[str] | None
) -> None:
    """Refuse rows that do not belong together and texts that would be read as something else.

    Args:
        processor: The checkpoint's processor.
        pictures: The pictures of each row.
        prompts: One per row.
        responses: One per row, or None.

    Raises:
        DataFormatError: If rows differ in number or have no picture, a text holds the image token, or a response is
            empty.
    """
    counts = {len(pictures), len(prompts), len(prompts if responses is None else responses)}
    if len(counts) != 1 or not pictures:
        raise DataFormatError(
            f"Rows differ in number: {len(pictures)} picture lists, {len(prompts)} prompts, "
            f"{'no' if responses is None else len(responses)} responses. Expected one of each per row."
        )
    if not all(pictures):
        raise DataFormatError("A row has no picture. Expected at least one per prompt.")
    for text in [*(prompt.replace(PICTURE, "") for prompt in prompts), *(responses or ())]:
        if processor.image_token in text:
            raise DataFormatError(
                f"Text holds the image token {processor.image_token!r}: {text[:60]!r}. Remove it; mark a "
                f"picture's place in a prompt by {PICTURE}."
            )
    for row, response in enumerate(responses or ()):
        if not response.strip():
            raise DataFormatError(
                f"Empty response in row {row} for prompt {prompts[row][:60]!r}. Leave the sample out."
            )


def _process(
    loaded: LoadedModel, chats: Sequence[RenderedChat], pictures: Sequence[Sequence[Image]], padding_side: str
) -> BatchFeature:
    """Run the processor, never truncating.

    Raises:
        DataFormatError: If the processor refuses the batch or a row is too long.
        UnsupportedModelError: If the tokenizer gives no offsets.
    """
    tokenizer = loaded.processor.tokenizer
    if not getattr(tokenizer, "is_fast", False):
        raise UnsupportedModelError(
            f"Tokenizer gives no offsets: {type(tokenizer).__name__} of {loaded.name!r} is not a fast tokenizer, so a "
            "response's tokens cannot be placed. Expected tokenizer.json beside the checkpoint."
        )
    texts = _texts(loaded.processor, chats)
    try:
        inputs: BatchFeature = loaded.processor(
            **texts,
            images=[list(row) for row in pictures],
            padding=True,
            padding_side=padding_side,
            truncation=False,
            add_special_tokens=begins_with_special_tokens(tokenizer, chats[0]),
            return_offsets_mapping=True,
            return_tensors="pt",
        )
    except (ValueError, RuntimeError) as error:  # the latter where a processor's tensors do not fit together
        sizes = ", ".join(f"{picture.width}x{picture.height}" for row in pictures for picture in row)
        raise DataFormatError(
            f"The processor refuses a batch: {' '.join(str(error).split())} Pictures: {sizes} pixels."
        ) from error
    if "suffix" in texts:
        _join_offsets(inputs)
    inputs.pop("labels", None)  # a processor that takes the response apart gives its own
    refuse_long_rows(loaded, inputs["input_ids"].shape[1])
    return inputs


def _texts(processor: Any, chats: Sequence[RenderedChat]) -> dict[str, list[str]]:
    """Give chats as the processor takes them; one that takes a `suffix` sets it off and ends it itself."""
    if "suffix" not in inspect.signature(processor.__call__).parameters:
        return {"text": [chat.text for chat in chats]}
    end = processor.tokenizer.eos_token
    suffixes = [(chat.response + chat.tail).removesuffix(end) for chat in chats if chat.response]
    return {"text": [chat.head.removesuffix("\n") for chat in chats], **({"suffix": suffixes} if suffixes else {})}


def _join_offsets(inputs: BatchFeature) -> None:
    """Let the offsets of a text that was given apart, type 1, go on where those of the first text end."""
    offsets, apart = inputs["offset_mapping"], inputs["token_type_ids"] == 1
    lengths = offsets[..., 1].masked_fill(apart, 0).amax(dim=1, keepdim=True)
    inputs["offset_mapping"] = offsets + (apart * lengths)[..., None]


def _labels(input_ids: torch.Tensor, spans: Sequence[ResponseSpan]) -> torch.Tensor:
    """Copy the token ids of each answer and of the token that ends it."""
    labels = torch.full_like(input_ids, IGNORED_LABEL)
    for row, span in enumerate(spans):
        labels[row, span.start : span.stop] = input_ids[row, span.start : span.stop]
    return labels
