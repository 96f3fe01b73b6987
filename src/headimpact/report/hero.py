"""Scoring run -> one wide picture for a front page: the object, the best head, the worst head, the head map.

A single SVG file that loads nothing, follows the reader's light or dark mode, and is made from files alone.
"""

import importlib.resources
from pathlib import Path

from markupsafe import Markup

from headimpact.core.artifacts import atomic_file, refuse_used
from headimpact.core.errors import DataFormatError, OptionError
from headimpact.report.examples import ExamplePicture, read_examples
from headimpact.report.figures.attention_picture import render_attention, render_picture, render_shared_parts
from headimpact.report.figures.colours import scale_css
from headimpact.report.figures.svg import element, short, text
from headimpact.report.ranking import Head, rank_heads
from headimpact.report.sections.scores import head_panels
from headimpact.report.wording import heading, number
from headimpact.scoring.head_scores import HeadScores

_WIDTH, _HEIGHT, _SIDE, _GAP = 900.0, 292.0, 204.0, 20.0
_LETTERS = 33


def build_hero(run_folder: Path, out: Path, *, example: int = 0, overwrite: bool = False) -> Path:
    """Write the front-page picture of a scoring run.

    Args:
        run_folder: Run folder of `score` with its `examples/`.
        out: The SVG file to write.
        example: Which example picture, 0-based.
        overwrite: Replace a file that is there.

    Returns:
        `out`.

    Raises:
        DataFormatError: If the folder's files are missing or broken, or no head has a score.
        OptionError: If there is no such example.
        OutputInUseError: If `out` is there and `overwrite` is off.
        RunFailedError: If the file system refuses.
    """
    refuse_used(out, overwrite=overwrite)
    scores, examples = HeadScores.read(run_folder), read_examples(run_folder / "examples")
    if not 0 <= example < len(examples):
        raise OptionError(
            f"No example {example} in {run_folder}: it has {len(examples)}, counted from 0. Name another."
        )
    best, worst = rank_heads(scores.values[scores.score], count=1)
    if not best or not worst:
        raise DataFormatError(f"Fewer than two heads of {run_folder} have a score; expected a best and a worst one.")
    drawn = render_hero(scores, examples[example], best=best[0], worst=worst[-1])
    with atomic_file(out) as temporary:
        temporary.write_text(f"{drawn}\n", encoding="utf-8")
    return out


def render_hero(scores: HeadScores, example: ExamplePicture, *, best: Head, worst: Head) -> Markup:
    """Draw the front-page picture.

    Args:
        scores: Scores of every head.
        example: The picture shown.
        best: Head shown as the best.
        worst: Head shown as the worst.

    Returns:
        A whole SVG document.
    """
    name = heading(scores.score)
    parts = [
        (
            render_picture(example, "hero", label=example.key_object),
            f"key object: {example.key_object}",
            example.response,
        ),
        (render_attention(example, "hero", best, label="best"), "the head that looks most", _numbers(scores, best)),
        (render_attention(example, "hero", worst, label="worst"), "the head that looks least", _numbers(scores, worst)),
        (head_panels(scores, chosen_layers=())[0].drawing, f"{name} of every head", "a dot: more than chance"),
    ]
    style = (importlib.resources.files("headimpact.report") / "templates" / "style.css").read_text(encoding="utf-8")
    rules = (
        "svg.hero text{font-size:12.5px}svg.hero svg text{font-size:12px}"
        "svg.hero .head{fill:var(--ink);font-weight:600}"
    )
    label = f"Attention of two heads over a picture of a {example.key_object}, and the {name} of every head."
    return element(
        "svg",
        element("style", Markup(style + scale_css() + rules)),
        element("rect", width=_WIDTH, height=_HEIGHT, fill="var(--paper)"),
        render_shared_parts(example, "hero"),
        *(_column(index, *part) for index, part in enumerate(parts)),
        xmlns="http://www.w3.org/2000/svg",
        class_="hero",
        role="img",
        aria_label=label,
        viewBox=f"0 0 {short(_WIDTH)} {short(_HEIGHT)}",
    )


def _column(index: int, drawn: str, title: str, note: str) -> Markup:
    """Place one drawing with two lines below it."""
    x, y = _GAP + index * (_SIDE + _GAP - 5), 16.0
    is_map = index == 3
    place = element("svg", drawn, x=x, y=y, width=_SIDE, height=_SIDE + (14 if is_map else 0))
    below = y + _SIDE + 36
    return element(
        "g", place, text(x, below, _cut(title), class_="head"), text(x, below + 19, _cut(note), class_="tick")
    )


def _cut(words: str) -> str:
    """Shorten a text to what fits below a picture."""
    return words if len(words) <= _LETTERS else f"{words[: _LETTERS - 1].rstrip()}…"


def _numbers(scores: HeadScores, head: Head) -> str:
    """Write a head's place and score."""
    return f"layer {head[0]}, head {head[1]}: {number(float(scores.values[scores.score][head]))}"
