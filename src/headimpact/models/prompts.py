"""Turns pictures, prompts and responses into model inputs, and says where the response's tokens are."""

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any, Literal

import torch
from jinja2 import TemplateError
from PIL.Image import Image
from transformers import BatchFeature

from headimpact.core.errors import DataFormatError, UnsupportedModelError
from headimpact.models.image_tokens import ImageTokenLayout
from headimpact.models.loading import LoadedModel
from headimpact.models.response_spans import IGNORED_LABEL, ResponseSpan, find_response_span

_MARKER = "RESPONSEGOESHERE"
"""Stands in for the response while the template is rendered; plain letters, so that no filter changes it."""


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


@dataclasses.dataclass(frozen=True)
class RenderedChat:
    """A chat as text, cut around the response.

    Attributes:
        head: Everything before the response's text.
        response: The response's text, without space around it; empty where the model is to write it.
        tail: Everything after it, an end token at least; empty where the model is to write the response.
    """

    head: str
    response: str
    tail: str

    @property
    def text(self) -> str:
        """The whole chat."""
        return self.head + self.response + self.tail


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
        images: Upright RGB pictures, one or several per row; they come before the prompt.
        prompts: What the user asks, one per row.
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
    _check_rows(loaded.processor, pictures, prompts, responses)
    answers: Sequence[str | None] = responses if responses is not None else [None] * len(prompts)
    chats = [
        render_chat(loaded, prompt, response=answer, num_images=len(row))
        for prompt, answer, row in zip(prompts, answers, pictures, strict=True)
    ]
    inputs = _process(loaded, chats, pictures, padding_side)
    offsets = inputs.pop("offset_mapping")
    sizes_hw = [[(picture.height, picture.width) for picture in row] for row in pictures]
    layouts = loaded.family.image_token_layouts(loaded.config, loaded.processor, inputs, sizes_hw)
    spans = [
        find_response_span(loaded.processor.tokenizer, ids, row_offsets, response=chat.response, tail=chat.tail)
        for ids, row_offsets, chat in zip(inputs["input_ids"], offsets, chats, strict=True)
    ]
    labels = None if responses is None else _labels(inputs["input_ids"], spans)
    return EncodedBatch(
        inputs=inputs.to(loaded.device, dtype=loaded.dtype),
        response_spans=tuple((span.start, span.end) for span in spans),
        layouts=tuple(layouts),
        labels=None if labels is None else labels.to(loaded.device),
    )


def render_chat(loaded: LoadedModel, prompt: str, *, response: str | None, num_images: int) -> RenderedChat:
    """Lay out one exchange by the checkpoint's chat template.

    Args:
        loaded: Model and processor.
        prompt: What the user asks.
        response: What the model is taken to answer, or None to end where it would begin.
        num_images: Pictures before the prompt.

    Returns:
        The text, cut around the response. Space around the response is the template's, not its own.

    Raises:
        UnsupportedModelError: If no form of the template shows a place for every picture, or the response
            does not come through the template unchanged.
    """
    for content_style in ("parts", "text"):
        rendered = _render(loaded, prompt, style=content_style, num_images=num_images, answered=response is not None)
        if rendered is not None and rendered.count(loaded.processor.image_token) == num_images:
            break
    else:
        raise UnsupportedModelError(
            f"Image placeholder not found: the chat template of {loaded.name!r} does not show "
            f"{loaded.processor.image_token!r} {num_images} times for {num_images} pictures. Check chat_template.jinja "
            "beside the checkpoint."
        )
    if response is None:
        return RenderedChat(rendered, "", "")
    head, found, tail = rendered.partition(_MARKER)
    if not found:
        raise UnsupportedModelError(
            f"Response not found: the chat template of {loaded.name!r} drops or changes what the assistant says. "
            "Check chat_template.jinja beside the checkpoint."
        )
    return RenderedChat(head, response.strip(), _ended(loaded.processor.tokenizer, tail))


def _check_rows(
    processor: Any, pictures: list[list[Image]], prompts: Sequence[str], responses: Sequence[str] | None
) -> None:
    """Refuse rows that do not belong together and texts that would be read as something else.

    Raises:
        DataFormatError: If they do.
    """
    counts = {len(pictures), len(prompts), len(prompts if responses is None else responses)}
    if len(counts) != 1 or not pictures:
        raise DataFormatError(
            f"Rows differ in number: {len(pictures)} picture lists, {len(prompts)} prompts, "
            f"{'no' if responses is None else len(responses)} responses. Expected one of each per row."
        )
    if not all(pictures):
        raise DataFormatError("A row has no picture. Expected at least one per prompt.")
    for text in [*prompts, *(responses or ())]:
        if processor.image_token in text:
            raise DataFormatError(
                f"Text holds the image token {processor.image_token!r}: {text[:60]!r}. Remove it; pictures are placed "
                "by the chat template."
            )
    for row, response in enumerate(responses or ()):
        if not response.strip():
            raise DataFormatError(
                f"Empty response in row {row} for prompt {prompts[row][:60]!r}. Leave the sample out."
            )


def _render(loaded: LoadedModel, prompt: str, *, style: str, num_images: int, answered: bool) -> str | None:
    """Render through the template in one content style; None where the template does not take it."""
    processor = loaded.processor
    template = processor.chat_template or processor.tokenizer.chat_template
    if template is None:
        return _render_plain(loaded, prompt, num_images=num_images, answered=answered)
    content: Any = [{"type": "image"}] * num_images + [{"type": "text", "text": prompt}]
    answer: Any = [{"type": "text", "text": _MARKER}]
    if style == "text":
        content, answer = "\n".join([processor.image_token] * num_images + [prompt]), _MARKER
    messages = [{"role": "user", "content": content}]
    if answered:
        messages.append({"role": "assistant", "content": answer})
    try:
        return str(
            processor.apply_chat_template(
                messages, chat_template=template, tokenize=False, add_generation_prompt=not answered
            )
        )
    except (TemplateError, TypeError, ValueError):
        return None


def _render_plain(loaded: LoadedModel, prompt: str, *, num_images: int, answered: bool) -> str:
    """Lay out the exchange for a checkpoint without a chat template, where the family has a known form.

    Raises:
        UnsupportedModelError: If the family has none.
    """
    if loaded.family.plain_template is None:
        raise UnsupportedModelError(
            f"No chat template: {loaded.name!r} brings none, and {loaded.family.model_type!r} has no form to fall "
            "back on. Add the original checkpoint's chat_template.jinja to the folder."
        )
    template = loaded.family.plain_template
    between = template.partition("{image}")[2].partition("{prompt}")[0]
    image = between.join([loaded.processor.image_token] * num_images)
    text = template.replace("{image}", image).replace("{prompt}", prompt)
    return f"{text}{'' if template[-1].isspace() else ' '}{_MARKER}" if answered else text


def _ended(tokenizer: Any, tail: str) -> str:
    """Add the end token where the template leaves it out: the model must learn to stop."""
    ids = tokenizer(tail, add_special_tokens=False)["input_ids"] if tail else []
    if set(ids) & set(tokenizer.all_special_ids):
        return tail
    return tail + str(tokenizer.eos_token or "")


def _process(
    loaded: LoadedModel, chats: Sequence[RenderedChat], pictures: list[list[Image]], padding_side: str
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
    bos = tokenizer.bos_token
    texts = _texts(loaded.processor, chats)
    try:
        inputs: BatchFeature = loaded.processor(
            **texts,
            images=pictures,
            padding=True,
            padding_side=padding_side,
            truncation=False,
            add_special_tokens=not (bos and chats[0].head.startswith(bos)),
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
    limit = getattr(loaded.config.get_text_config(), "max_position_embeddings", None)
    if limit is not None and inputs["input_ids"].shape[1] > limit:
        raise DataFormatError(
            f"Row too long: {inputs['input_ids'].shape[1]} tokens with the picture's; the model has {limit} positions. "
            "Shorten prompt or response, or make pictures smaller; nothing is truncated."
        )
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
