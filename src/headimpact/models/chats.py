"""Lays out one exchange by the checkpoint's chat template, pictures and text in the order that is asked for."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

from headimpact.core.errors import DataFormatError, UnsupportedModelError
from headimpact.models.loading import LoadedModel
from headimpact.models.response_spans import special_ids

PICTURE = "<image>"
"""Marks a picture's place in a prompt, as in the data files of common trainers; without marks, pictures come first."""

_MARKER = "RESPONSEGOESHERE"
"""Stands in for the response while the template is rendered; plain letters, so that no filter changes it."""


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


def render_chat(loaded: LoadedModel, prompt: str, *, response: str | None, num_images: int) -> RenderedChat:
    """Lay out one exchange by the checkpoint's chat template.

    Args:
        loaded: Model and processor.
        prompt: What the user asks; `PICTURE` marks where pictures go, without marks they come first.
        response: What the model is taken to answer, or None to end where it would begin.
        num_images: Pictures of the prompt.

    Returns:
        The text, cut around the response. Space around the response is the template's, not its own.

    Raises:
        DataFormatError: If the prompt marks places for another number of pictures.
        UnsupportedModelError: If no form of the template shows a place for every picture, or the response
            does not come through the template unchanged.
    """
    parts = split_prompt(prompt, num_images)
    for content_style in ("parts", "text"):
        rendered = _render(loaded, parts, style=content_style, answered=response is not None)
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
    asked = _render(loaded, parts, style=content_style, answered=False) or ""
    if asked[-1:].isspace() and asked.split() == head.split():
        head = asked  # LLaVA-OneVision's template writes a space more before an answer that is there
    if not found:
        raise UnsupportedModelError(
            f"Response not found: the chat template of {loaded.name!r} drops or changes what the assistant says. "
            "Check chat_template.jinja beside the checkpoint."
        )
    return RenderedChat(head, response.strip(), _ended(loaded.processor.tokenizer, tail))


def end_of_answer(loaded: LoadedModel) -> int:
    """Give the token with which an answer ends in the checkpoint's chat template, its end token where it writes none.

    Args:
        loaded: Model and processor.
    """
    tokenizer = loaded.processor.tokenizer
    tail = render_chat(loaded, "What is it?", response="It.", num_images=1).tail
    special = special_ids(tokenizer)
    end: int = next(index for index in tokenizer(tail, add_special_tokens=False)["input_ids"] if index in special)
    return end


def split_prompt(prompt: str, num_images: int) -> tuple[str | None, ...]:
    """Cut a prompt into its texts and the places of its pictures.

    Args:
        prompt: Text in which `PICTURE` may mark places.
        num_images: Pictures that need a place.

    Returns:
        Texts, and None for each picture, in order; the pictures first where the prompt marks no place.

    Raises:
        DataFormatError: If the prompt marks places for another number of pictures.

    Example:
        >>> split_prompt("What is in <image> and not in <image>?", 2)
        ('What is in ', None, ' and not in ', None, '?')
        >>> split_prompt("Describe it.", 1)
        (None, 'Describe it.')
    """
    texts = prompt.split(PICTURE)
    if len(texts) == 1:
        return (*[None] * num_images, prompt)
    if len(texts) - 1 != num_images:
        raise DataFormatError(
            f"Prompt marks {len(texts) - 1} places for pictures ({PICTURE}), expected {num_images}: {prompt[:60]!r}. "
            "Mark one place per picture, or none for pictures before the text."
        )
    parts = [part for text in texts for part in (text, None)][:-1]
    return tuple(part for part in parts if part != "")


def _render(loaded: LoadedModel, parts: Sequence[str | None], *, style: str, answered: bool) -> str | None:
    """Render through the template in one content style; None where the template does not take it."""
    processor = loaded.processor
    template = processor.chat_template or processor.tokenizer.chat_template
    if template is None:
        return _render_plain(loaded, parts, answered=answered)
    content: Any = [{"type": "image"} if part is None else {"type": "text", "text": part} for part in parts]
    answer: Any = [{"type": "text", "text": _MARKER}]
    if style == "text":
        between = "\n" if _pictures_come_first(parts) else ""
        content, answer = between.join(processor.image_token if part is None else part for part in parts), _MARKER
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


def _render_plain(loaded: LoadedModel, parts: Sequence[str | None], *, answered: bool) -> str:
    """Lay out the exchange for a checkpoint without a chat template, where the family has a known form.

    Raises:
        UnsupportedModelError: If the family has none.
    """
    if loaded.family.plain_template is None:
        raise UnsupportedModelError(
            f"No chat template: {loaded.name!r} brings none, and {loaded.family.model_type!r} has no form to fall "
            "back on. Add the original checkpoint's chat_template.jinja to the folder."
        )
    before, _, after = loaded.family.plain_template.partition("{image}")
    between = after.partition("{prompt}")[0]
    joined = between if _pictures_come_first(parts) else ""
    prompt = joined.join(loaded.processor.image_token if part is None else part for part in parts)
    text = before + after.removeprefix(between).replace("{prompt}", prompt)
    return f"{text}{'' if text[-1].isspace() else ' '}{_MARKER}" if answered else text


def _pictures_come_first(parts: Sequence[str | None]) -> bool:
    """Say whether the parts are pictures and then one text: the order that templates are written for."""
    return None not in parts[-1:] and all(part is None for part in parts[:-1])


def _ended(tokenizer: Any, tail: str) -> str:
    """Add the end token where the template leaves it out: the model must learn to stop."""
    ids = tokenizer(tail, add_special_tokens=False)["input_ids"] if tail else []
    if set(ids) & set(special_ids(tokenizer)):
        return tail
    return tail + str(tokenizer.eos_token or "")
