"""Several responses to one prompt: picture and prompt run once, each response continues from what they left.

    picture and prompt   | p p p p p p p p |               one pass; keys and values are kept
    response 0                             | q r r r       continues from them
    response 1                             | q r r r r r

The prompt's last tokens `q`, which predict a response's first token or may be read otherwise beside it, run with the
response, so that every row that looks is in its own pass.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from PIL.Image import Image
from transformers import DynamicCache

from headimpact.core.errors import UnsupportedModelError
from headimpact.models.chats import RenderedChat, render_chat
from headimpact.models.image_tokens import ImageTokenLayout
from headimpact.models.loading import LoadedModel
from headimpact.models.prompts import begins_with_special_tokens, check_rows, encode_chats, refuse_long_rows
from headimpact.models.response_spans import find_response_span


@dataclasses.dataclass(frozen=True, eq=False)
class Continuation:
    """One response per row, from where the shared part ends, padded on the right.

    Attributes:
        input_ids: Tokens behind the shared part.
        attention_mask: 1 for real tokens, those of the shared part first.
        response_spans: First and one-past-last token of each row's answer text, counted behind the shared part.
    """

    input_ids: Int[torch.Tensor, "batch queries"]
    attention_mask: Int[torch.Tensor, "batch keys"]
    response_spans: tuple[tuple[int, int], ...]


@dataclasses.dataclass(frozen=True, eq=False)
class SharedPrompts:
    """A batch of pictures with prompts and, for each, several responses.

    Attributes:
        inputs: Keyword arguments of the model for the shared part, padded on the left, on its device.
        layouts: Each row's image tokens, padding counted.
        continuations: The first response of every row, then the second, and so on; a row with fewer repeats its last.
    """

    inputs: dict[str, Any]
    layouts: tuple[ImageTokenLayout, ...]
    continuations: tuple[Continuation, ...]


@dataclasses.dataclass(frozen=True)
class _Told:
    """One response's chat as tokens, pictures not expanded: ids, and first and one-past-last token of the answer."""

    ids: tuple[int, ...]
    span: tuple[int, int]


def shares_prompts(loaded: LoadedModel) -> bool:
    """Say whether responses may continue from a prompt that ran once.

    Args:
        loaded: The model.
    """
    return loaded.family.continued_inputs is not None


def encode_shared(
    loaded: LoadedModel,
    images: Sequence[Image | Sequence[Image]],
    prompts: Sequence[str],
    responses: Sequence[Sequence[str]],
) -> SharedPrompts:
    """Encode pictures and prompts once, and every response as their continuation.

    A response is tokenised with the whole text of its chat, so its tokens are those of a row of its own.

    Args:
        loaded: Model and processor.
        images: Upright RGB pictures, one or several per row.
        prompts: What the user asks, one per row, as for `encode`.
        responses: For each row at least one text that the model is taken to answer.

    Returns:
        The batch.

    Raises:
        DataFormatError: As `encode`.
        UnsupportedModelError: As `encode`; or if the tokenizer reads a prompt otherwise beside its picture.
    """
    pictures = [[entry] if isinstance(entry, Image) else list(entry) for entry in images]
    for texts in zip(*_filled(responses), strict=True):
        check_rows(loaded.processor, pictures, prompts, texts)
    chats = [
        [render_chat(loaded, prompt, response=text, num_images=len(row)) for text in texts]
        for prompt, texts, row in zip(prompts, responses, pictures, strict=True)
    ]
    heads = [RenderedChat(row[0].head, "", "") for row in chats]
    shared = encode_chats(loaded, heads, pictures, padding_side="left")
    told = [[_tell(loaded, chat) for chat in row] for row in chats]
    bare = [_tell(loaded, head).ids for head in heads]
    behind = max(len(head) - _common(head, row) for head, row in zip(bare, told, strict=True))
    for row, (head, layout) in enumerate(zip(bare, shared.layouts, strict=True)):
        _refuse_other_reading(loaded, shared.inputs["input_ids"][row], head, layout, behind=behind)
    rows = [[_from(one, len(head) - behind) for one in row] for head, row in zip(bare, told, strict=True)]
    length = shared.inputs["input_ids"].shape[1]
    inputs = {
        name: value[:, : length - behind] if _runs_along(value, shared.inputs["input_ids"]) else value
        for name, value in shared.inputs.items()
    }
    continuations = [_stack(loaded, ranked, inputs["attention_mask"]) for ranked in zip(*_filled(rows), strict=True)]
    return SharedPrompts(inputs=inputs, layouts=shared.layouts, continuations=tuple(continuations))


def continued(loaded: LoadedModel, batch: SharedPrompts, cache: DynamicCache) -> Iterator[dict[str, Any]]:
    """Give the inputs of each continuation in turn, and forget what it left in the cache before the next.

    Args:
        loaded: The model.
        batch: What was encoded; its shared part has run into the cache.
        cache: Keys and values of the shared part.

    Yields:
        Keyword arguments of the backbone, one set per continuation.
    """
    further = loaded.family.continued_inputs
    for continuation in batch.continuations:
        count = continuation.input_ids.shape[1]
        inputs = {"input_ids": continuation.input_ids, "attention_mask": continuation.attention_mask}
        yield {**inputs, **(further(loaded.family.backbone(loaded.model), inputs) if further else {})}
        cache.crop(-count)


def _filled(rows: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Lengthen ragged rows by repeating their last entry."""
    longest = max((len(row) for row in rows), default=0)
    return [[*row, *[row[-1]] * (longest - len(row))] for row in rows]


def _tell(loaded: LoadedModel, chat: RenderedChat) -> _Told:
    """Tokenise one chat without its pictures."""
    tokenizer = loaded.processor.tokenizer
    told = tokenizer(
        chat.text,
        add_special_tokens=begins_with_special_tokens(tokenizer, chat),
        return_offsets_mapping=True,
        return_tensors="pt",
    )
    ids, offsets = told["input_ids"][0], told["offset_mapping"][0]
    span = find_response_span(tokenizer, ids, offsets, response=chat.response, tail=chat.tail)
    return _Told(ids=tuple(ids.tolist()), span=(span.start, span.end))


def _common(head: Sequence[int], row: Sequence[_Told]) -> int:
    """Count the first tokens that the prompt alone and every response's chat share, before any row that looks."""
    count = min(len(head), *(one.span[0] - 1 for one in row))
    for one in row:
        same = np.equal(head[:count], one.ids[:count])
        count = count if same.all() else int(same.argmin())
    return count


def _from(told: _Told, start: int) -> _Told:
    """Leave out the tokens that are shared."""
    return _Told(ids=told.ids[start:], span=(told.span[0] - start, told.span[1] - start))


def _refuse_other_reading(
    loaded: LoadedModel, processed: torch.Tensor, head: Sequence[int], layout: ImageTokenLayout, *, behind: int
) -> None:
    """Refuse a prompt whose last tokens are others once the processor has put the picture in.

    Raises:
        UnsupportedModelError: If they are.
    """
    first = len(processed) - behind
    if processed[first:].tolist() != list(head[len(head) - behind :]) or (layout.positions >= first).any():
        raise UnsupportedModelError(
            f"Prompt cannot be shared by several responses: the tokenizer of {loaded.name!r} reads its end otherwise "
            "beside the picture. Pass --captions-per-image 1."
        )


def _runs_along(value: torch.Tensor, input_ids: torch.Tensor) -> bool:
    """Say whether an input has one number per token."""
    return value.shape == input_ids.shape and not value.is_floating_point()


def _stack(loaded: LoadedModel, rows: Sequence[_Told], shared_mask: torch.Tensor) -> Continuation:
    """Pad one response per row on the right and put its mask behind that of the shared part.

    Raises:
        DataFormatError: If a row is longer than the model's positions.
    """
    length = max(len(row.ids) for row in rows)
    refuse_long_rows(loaded, shared_mask.shape[1] + length)
    pad = loaded.processor.tokenizer.pad_token_id
    ids = torch.tensor([[*row.ids, *[pad] * (length - len(row.ids))] for row in rows])
    mask = torch.tensor([[1] * len(row.ids) + [0] * (length - len(row.ids)) for row in rows])
    return Continuation(
        input_ids=ids.to(loaded.device),
        attention_mask=torch.cat([shared_mask, mask.to(shared_mask)], dim=1),
        response_spans=tuple(row.span for row in rows),
    )
