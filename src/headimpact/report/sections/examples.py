"""Example pictures of a scoring run -> each picture under the best and the worst heads."""

from collections.abc import Sequence

from headimpact.core.shapes import HeadValues
from headimpact.report.examples import ExamplePicture
from headimpact.report.figures.attention_picture import render_attention, render_picture, render_shared_parts
from headimpact.report.page import ExampleView, Look, LookGroup
from headimpact.report.ranking import Head, rank_heads
from headimpact.report.wording import number

HEADS_SHOWN = 3
"""Best and worst heads shown over each picture."""

PICTURES_SHOWN = 8
"""Example pictures shown."""


def example_intro(examples: Sequence[ExamplePicture]) -> str:
    """Explain the pictures; empty where there are none."""
    if not examples:
        return ""
    return (
        "Attention from the words of the response to the picture, averaged over the words. Colour marks the places "
        "that get more than an even share, the brightest the most; each map has its own scale. The light blue line is "
        f"the outline of the key object. {_sinks_said(examples)}The heads were ranked over all scored pictures, of "
        "which these are a few."
    )


def _sinks_said(examples: Sequence[ExamplePicture]) -> str:
    """Explain the rings at sinks, where they were looked for."""
    counts = [int(example.sinks.sum()) for example in examples[:PICTURES_SHOWN] if example.sinks is not None]
    if not counts:
        return ""
    return "A ring in the same blue marks a sink. " if sum(counts) else "None of these pictures has a sink. "


def example_views(examples: Sequence[ExamplePicture], values: HeadValues, *, prefix: str) -> tuple[ExampleView, ...]:
    """Draw the example pictures.

    Args:
        examples: Pictures with all heads' maps.
        values: Head Impact, by which heads are ranked.
        prefix: Start of the element ids, unique on the page.

    Returns:
        One view per picture, at most `PICTURES_SHOWN`.
    """
    best, worst = rank_heads(values, count=HEADS_SHOWN)
    shown = [example for example in examples if example.maps.shape[:2] == values.shape][:PICTURES_SHOWN]
    return tuple(
        _view(example, f"{prefix}-{index}", (("Highest Head Impact", best), ("Lowest", worst)), values)
        for index, example in enumerate(shown)
    )


def _view(
    example: ExamplePicture, name: str, groups: Sequence[tuple[str, Sequence[Head]]], values: HeadValues
) -> ExampleView:
    """Draw one picture under every head shown."""
    what = f"{example.key_object} in picture {example.image_id}"
    return ExampleView(
        image_id=example.image_id,
        key_object=example.key_object,
        response=example.response,
        shared=render_shared_parts(example, name),
        picture=render_picture(
            example, name, label=f"Picture {example.image_id} with the {example.key_object} outlined"
        ),
        groups=tuple(
            LookGroup(title, tuple(_look(example, name, head, what, float(values[head])) for head in heads))
            for title, heads in groups
            if heads
        ),
    )


def _look(example: ExamplePicture, name: str, head: Head, what: str, value: float) -> Look:
    """Draw one head's attention."""
    label = f"Attention of layer {head[0]}, head {head[1]} (HI {number(value)}) around the {what}"
    return Look(f"layer {head[0]}, head {head[1]}", render_attention(example, name, head, label=label))
