"""A built data set's folder -> its card: `README.md` in the form of the Hugging Face hub, with two plots.

Comes in: the tables of the folder. Goes out: `README.md`, its front matter included, `categories.svg`, `areas.svg`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from headimpact.core.artifacts import atomic_file
from headimpact.data.build.decisions import PICTURE_REASONS
from headimpact.data.build.statistics import AREA_STEP, DatasetStatistics, collect_statistics
from headimpact.data.formats.hub_card import FOLDER_FILES, card_configs
from headimpact.report.figures.bars import render_bars

CARD_FILE = "README.md"
CATEGORIES_FILE, AREAS_FILE = "categories.svg", "areas.svg"
MOST_CATEGORIES = 25
"""Categories that are drawn; the others are summed up."""

OTHER_REASONS = {
    "bad_picture": "has a fault of its own",
    "dropped": "was marked as bad by a person",
    "empty_mask": "has a mask without a pixel",
}
"""What becomes of a picture beside what the rule says."""

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))

FIELDS = (
    ("image_id", "identifier of the picture"),
    ("file_name", "picture"),
    ("mask_file_name", "mask of all key objects, of one bit, white on them"),
    ("category", "category of the first key object"),
    ("key_objects", "where there are two: category and mask of each"),
    ("captions", "descriptions"),
    ("split", "calibration, train, validation or test, or as asked for"),
    ("licence", "licence of the picture"),
    ("area_share", "share of the picture that the key objects cover"),
)
"""Fields of a line of `metadata.jsonl`."""

COCO_FIELDS = (
    ("captions", "descriptions, those that name the key objects first; cleaned"),
    ("captions_original", "captions as they were given"),
    ("categories", "categories of everything annotated"),
)
"""What is said of these, or beside the others, where the set was built from COCO's lists."""

MADE_FIELDS = {
    "masks": ("mask_origin", "models that made a mask, what they looked for, how sure they were; else people drew it"),
    "captions": ("caption_origin", "model that made the descriptions, and what it was asked; else people wrote them"),
}
"""Fields of lines where models made something, by what they made."""

RULE_LIMITS = (
    "Only what the annotations have a category for can be key; captions may be about something else.",
    "Captions are read with lists of English words, not with a parser; in another language a category's plain name is "
    "found, and little else.",
    "Where captions speak of one object and several are annotated, the largest is taken if it is twice the next; a "
    "caption may mean a smaller one.",
    "Pictures without a clear key object are left out, so crowded scenes and tiny objects are rare.",
)
"""Where the rule chose the key objects."""

MASKS_LIMIT = "Masks are as exact as their source; polygons in COCO are coarse at thin parts and holes are filled."
QUESTIONS_LIMIT = "Questions have the answer that the annotations give; what annotators missed is wrong here too."
MADE_LIMITS = {
    "masks": "Masks that models made may be of another object than the word says.",
    "captions": "Descriptions that a model wrote may speak of what is not there.",
}


def write_card(folder: Path) -> DatasetStatistics:
    """Write the card of a data set; the text is last.

    Args:
        folder: A folder with `metadata.jsonl`.

    Returns:
        What it says.

    Raises:
        DataFormatError: If a table is missing or broken.
        RunFailedError: If the file system refuses.
    """
    found = collect_statistics(folder)
    plots = {CATEGORIES_FILE: category_rows(found), AREAS_FILE: area_rows(found)}
    titles = {CATEGORIES_FILE: "Key objects by category", AREAS_FILE: "Pictures by the share that key objects cover"}
    for name, rows in plots.items():
        _write(folder / name, render_bars(titles[name], rows))
    _write(folder / CARD_FILE, render_card(found))
    return found


def render_card(found: DatasetStatistics) -> str:
    """Write a card's text, in Markdown with the hub's front matter.

    Args:
        found: Counts and what the data set says of itself.
    """
    info = found.info
    parts = [
        f"---\n{yaml.safe_dump(front_matter(found), sort_keys=False, allow_unicode=True)}---",
        f"# {_title(info)}",
        _summary(found),
        "## What is in it",
        _table(("split", "pictures"), found.splits.items()),
        _facts(found),
        f"![Key objects by category]({CATEGORIES_FILE})\n\n![Pictures by area]({AREAS_FILE})",
        "## Fields",
        "One line a picture in `metadata.jsonl`"
        + ("; closed questions with their answers in `questions.jsonl`." if found.questions else "."),
        _table(("field", ""), ((f"`{name}`", meaning) for name, meaning in _fields(found).items())),
        *_made(found),
        *_left_out(found),
        "## Licences",
        "Every picture keeps its own licence"
        + ("; whoever passes it on names its source: `attribution.csv`." if found.has_attribution else "."),
        _table(("licence", "pictures"), found.licences.items()),
        "## Known limits",
        "\n".join(f"- {limit}" for limit in _limits(found)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def front_matter(found: DatasetStatistics) -> dict[str, Any]:
    """Give what the hub reads of a card."""
    licence = next(iter(found.licences)) if len(found.licences) == 1 else "one for each picture"
    named = {"license": "other", "license_name": licence}
    named |= {"license_link": "attribution.csv"} if found.has_attribution else {}
    questions = ["visual-question-answering"] if found.questions else []
    return {
        "pretty_name": _title(found.info),
        "language": ["en"],
        **({"license": "unknown"} if licence == "(unknown)" else named),
        "task_categories": ["image-to-text", *questions, "image-segmentation"],
        "size_categories": [next((name for most, name in _SIZES if found.pictures < most), "n>1M")],
        "tags": ["key-objects", "attention", "image-captioning"],
        "configs": card_configs(FOLDER_FILES),
    }


def category_rows(found: DatasetStatistics) -> list[tuple[str, int]]:
    """Give the categories to draw, the largest first, the rest in one."""
    rows = list(found.categories.items())
    rest = rows[MOST_CATEGORIES:]
    return [*rows[:MOST_CATEGORIES], *([(f"{len(rest)} others", sum(n for _, n in rest))] if rest else [])]


def area_rows(found: DatasetStatistics) -> list[tuple[str, int]]:
    """Give the steps of area shares to draw, without gaps."""
    last = max(found.area_steps, default=-1)
    return [
        (f"{step * AREA_STEP:.2f} to {(step + 1) * AREA_STEP:.2f}", found.area_steps.get(step, 0))
        for step in range(last + 1)
    ]


def _title(info: Mapping[str, Any]) -> str:
    """Give the title."""
    source = (info.get("source") or {}).get("description")
    return _cell(f"Key objects of {source}" if source else "Pictures with key objects")


def _summary(found: DatasetStatistics) -> str:
    """Say in a paragraph what this is."""
    of = f" of {found.decided:,} that were looked at" if found.decided else ""
    questions = f", and {sum(found.questions.values()):,} closed questions" if found.questions else ""
    by_us = " made from the annotations" if questions and "source" in found.info else ""
    return (
        f"{found.pictures:,} pictures{of}, each with a mask of what its descriptions are about (its key objects), "
        f"{found.captions:,} descriptions{questions}{by_us}. Made to score which attention heads of a vision-language "
        "model look at key objects."
    )


def _limits(found: DatasetStatistics) -> list[str]:
    """List the limits of what is in a set."""
    by_rule = found.info.get("key_objects", "rule") == "rule"
    made = [MADE_LIMITS[what] for what, count in found.made.items() if count]
    return [*(RULE_LIMITS if by_rule else ()), MASKS_LIMIT, *([QUESTIONS_LIMIT] if found.questions else []), *made]


def _fields(found: DatasetStatistics) -> Mapping[str, str]:
    """List the fields of a line with what they mean."""
    by_models = [MADE_FIELDS[what] for what, count in found.made.items() if count]
    return dict((*FIELDS, *(COCO_FIELDS if "source" in found.info else ()), *by_models))


def _facts(found: DatasetStatistics) -> str:
    """List a few numbers."""
    per_picture = found.captions / max(found.pictures, 1)
    several = sum(count for number, count in found.key_objects.items() if number > 1)
    kinds: dict[str, int] = {}
    for name, count in found.questions.items():
        kinds[name.split(" ")[0]] = kinds.get(name.split(" ")[0], 0) + count
    lines = [
        f"categories of key objects: {len(found.categories)}; pictures with more than one key category: {several:,}",
        f"{per_picture:.1f} descriptions a picture, {found.words / max(found.captions, 1):.1f} words each",
    ]
    lines += [f"{what} made by models: {count:,} pictures" for what, count in found.made.items() if count]
    if kinds:
        lines.append("questions: " + ", ".join(f"{count:,} {kind}" for kind, count in kinds.items()))
    return "\n".join(f"- {line}" for line in lines)


def _made(found: DatasetStatistics) -> list[str]:
    """Say how it was made."""
    info, source = found.info, found.info.get("source") or {}
    if not info:
        return []
    files = [
        f"`{_cell(source[kind])}` (SHA-256 begins {source.get('hashes', {}).get(kind, '')})"
        for kind in ("instances", "captions")
        if kind in source
    ]
    origin = f", from {' and '.join(files)}" if files else ""
    said = f"By {_cell(info.get('made_by', 'hand'))}{origin}."
    inside = info.get("pictures") != "reference"
    where = "" if inside else " The pictures are not in this folder: names are relative to the source's own."
    rules = [*_options("rule", info), *_options("questions", info), *_options("splits", info)]
    seeds = [(name, info[name]) for name in ("key_objects", "seed", "limit", "license") if info.get(name) is not None]
    rows = [(f"`{name}`", _cell(json.dumps(value))) for name, value in (*rules, *seeds) if value != []]
    return ["## How it was made", said + where, _table(("option", "value"), rows)]


def _options(name: str, info: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """List the options of a block of `info.json`."""
    block = info.get(name)
    return [(f"{name}.{key}", value) for key, value in block.items()] if isinstance(block, dict) else []


def _left_out(found: DatasetStatistics) -> list[str]:
    """Say what was left out, and why."""
    meanings = {**PICTURE_REASONS, **OTHER_REASONS}
    rows = [(meanings.get(reason, reason), count) for reason, count in found.reasons.items() if reason != "kept"]
    if not rows:
        return []
    by_us = "source" in found.info
    where = (
        "Every decision with its evidence is a line of `decisions.jsonl`." if by_us else "`left_out.csv` lists them."
    )
    intro = f"{where} Why pictures are left out:"
    return ["## Left out", intro, _table(("", "pictures"), rows)]


def _table(head: Sequence[str], rows: Iterable[tuple[object, object]]) -> str:
    """Write a table of two columns."""
    lines = [f"| {head[0]} | {head[1]} |", f"|---|{'---:' if head[1] == 'pictures' else '---'}|"]
    return "\n".join([*lines, *(f"| {_cell(name)} | {_cell(value)} |" for name, value in rows)])


def _cell(value: object) -> str:
    """Write a value so that it cannot break a table or become markup."""
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _write(path: Path, text: str) -> None:
    """Write a file whole."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
