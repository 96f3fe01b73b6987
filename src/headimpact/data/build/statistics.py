"""Count what is in a built data set, from its tables alone; nothing is opened but these and no line is kept."""

import codecs
import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from headimpact.core.errors import DataFormatError
from headimpact.data.build.tables import ATTRIBUTION_FILE, DECISIONS_FILE, LEFT_OUT_FILE, QUESTIONS_FILE
from headimpact.data.formats.jsonl import INFO_FILE, METADATA_FILE

AREA_STEP = 0.05
"""Width of the steps in which area shares are counted."""


@dataclass(frozen=True)
class DatasetStatistics:
    """Counts of a data set; every mapping is from a name to a number of pictures unless it says otherwise.

    Attributes:
        pictures: Pictures in it.
        decided: Pictures that were looked at; 0 where it is not known.
        reasons: What became of these, by reason.
        splits: By split; "(none)" for those without.
        categories: Category to the key objects of it.
        area_steps: By the share that the key objects cover, in steps of `AREA_STEP` from 0.
        key_objects: Number of key objects to pictures.
        captions: Captions in all.
        words: Words of all captions.
        questions: Kind and answer, with a blank between, to questions.
        licences: By licence; "(unknown)" for those without.
        made: "masks" and "captions" to the pictures whose masks or captions models made.
        has_attribution: Whether a table names the pictures' sources.
        info: What the data set says of itself.
    """

    pictures: int
    decided: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    splits: Mapping[str, int] = field(default_factory=dict)
    categories: Mapping[str, int] = field(default_factory=dict)
    area_steps: Mapping[int, int] = field(default_factory=dict)
    key_objects: Mapping[int, int] = field(default_factory=dict)
    captions: int = 0
    words: int = 0
    questions: Mapping[str, int] = field(default_factory=dict)
    licences: Mapping[str, int] = field(default_factory=dict)
    made: Mapping[str, int] = field(default_factory=dict)
    has_attribution: bool = False
    info: Mapping[str, Any] = field(default_factory=dict)


class _Block(msgspec.Struct):
    """What is counted of a key object."""

    category: str | None = None
    mask_origin: Any = None


class _Line(_Block):
    """What is counted of a line of `metadata.jsonl`."""

    split: str | None = None
    licence: str | None = None
    captions: list[str] | str | None = None
    text: list[str] | str | None = None
    key_objects: list[_Block] | None = None
    area_share: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    caption_origin: Any = None


class _Decision(msgspec.Struct):
    """What is counted of a line of `decisions.jsonl`."""

    reason: Any = None


class _Question(msgspec.Struct):
    """What is counted of a line of `questions.jsonl`."""

    kind: Any = None
    answer: Any = None


_RECORD = msgspec.json.Decoder(dict[str, Any])
_LINE = msgspec.json.Decoder(_Line)
_DECISION, _QUESTION = msgspec.json.Decoder(_Decision), msgspec.json.Decoder(_Question)

_Row = TypeVar("_Row")


def collect_statistics(folder: Path) -> DatasetStatistics:
    """Count what is in a data set.

    Args:
        folder: A folder with `metadata.jsonl`; decisions and questions are counted where they are there.

    Returns:
        The counts, largest first where order means nothing.

    Raises:
        DataFormatError: If there is no `metadata.jsonl`, or a line of a table cannot be read.
    """
    if not (folder / METADATA_FILE).is_file():
        raise DataFormatError(
            f"No data set in our own format: {folder} has no {METADATA_FILE}. Pass a folder written by "
            "`headimpact dataset build coco`, `pictures` or `hub`; of others, scenes among them, `headimpact dataset "
            "validate` counts the pictures."
        )
    counts: dict[str, Counter[Any]] = {
        name: Counter()
        for name in ("splits", "categories", "area_steps", "key_objects", "questions", "licences", "made")
    }
    pictures = captions = words = 0
    for line in _decode_lines(folder / METADATA_FILE, _LINE):
        pictures += 1
        texts = _texts(line)
        captions, words = captions + len(texts), words + sum(len(text.split()) for text in texts)
        counts["splits"][line.split or "(none)"] += 1
        counts["licences"][line.licence or "(unknown)"] += 1
        blocks: Sequence[_Block] = line.key_objects or [line]
        counts["key_objects"][len(blocks)] += 1
        counts["categories"].update(block.category or "(none)" for block in blocks)
        counts["made"]["masks"] += any(block.mask_origin for block in blocks)
        counts["made"]["captions"] += bool(line.caption_origin)
        if line.area_share is not None:
            counts["area_steps"][_area_step(line.area_share)] += 1
    counts["reasons"] = _count_reasons(folder, pictures)
    for question in _decode_lines(folder / QUESTIONS_FILE, _QUESTION):
        counts["questions"][f"{question.kind} {'(name)' if question.kind == 'which' else question.answer}"] += 1
    info = next(iter(read_lines(folder / INFO_FILE, whole=True)), {})
    return DatasetStatistics(
        pictures=pictures,
        decided=sum(counts["reasons"].values()),
        has_attribution=(folder / ATTRIBUTION_FILE).is_file(),
        captions=captions,
        words=words,
        info=info,
        **{
            name: dict(sorted(found.items()) if name in {"area_steps", "key_objects"} else found.most_common())
            for name, found in counts.items()
        },
    )


def read_left_out(path: Path) -> list[tuple[str, str]]:
    """Read id and reason of each picture that was left out of a set of one's own; a table that is missing has none.

    Raises:
        DataFormatError: If the table cannot be read.
    """
    if not path.is_file():
        return []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [(row["image_id"], row["reason"]) for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise DataFormatError(
            f"Broken table: {path.name}: {error}; expected the columns image_id and reason. Mend it."
        ) from error


def read_lines(path: Path, *, whole: bool = False) -> Iterator[dict[str, Any]]:
    """Read the JSON objects of a table, line by line, or of a file that holds one.

    Args:
        path: The file; one that is missing holds none.
        whole: Whether the file as a whole is one object.

    Yields:
        The objects.

    Raises:
        DataFormatError: If a line is no JSON object; the message names it.
    """
    yield from _decode_lines(path, _RECORD, whole=whole)


def _count_reasons(folder: Path, pictures: int) -> Counter[str]:
    """Count what became of the pictures that were looked at, by the list of those left out, else by the decisions."""
    if (folder / LEFT_OUT_FILE).is_file():
        return Counter({"kept": pictures}) + Counter(reason for _, reason in read_left_out(folder / LEFT_OUT_FILE))
    return Counter(str(decision.reason) for decision in _decode_lines(folder / DECISIONS_FILE, _DECISION))


def _decode_lines(path: Path, decoder: "msgspec.json.Decoder[_Row]", *, whole: bool = False) -> Iterator[_Row]:
    """Decode a table line by line, or as a whole; one that is missing has no lines.

    Yields:
        What the decoder makes of each line.

    Raises:
        DataFormatError: If it refuses a line.
    """
    if not path.is_file():
        return
    number = 0
    try:
        with path.open("rb") as file:
            for number, row in enumerate([file.read()] if whole else file, start=1):  # noqa: B007 - named below
                text = row.removeprefix(codecs.BOM_UTF8).strip()
                if text:
                    yield decoder.decode(text.decode("utf-8"))
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise DataFormatError(
            f"Broken table: {path.name} line {number}: {error}; expected a JSON object in UTF-8. Mend the line."
        ) from error


def _texts(line: _Line) -> list[str]:
    """Give the captions of a line."""
    texts = line.captions or line.text or []
    return [texts] if isinstance(texts, str) else texts


def _area_step(share: float) -> int:
    """Give the step that a share lies in; the last ends with 1 itself."""
    return min(int(share / AREA_STEP + 1e-9), round(1 / AREA_STEP) - 1)
