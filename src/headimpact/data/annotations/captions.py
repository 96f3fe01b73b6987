"""Read what is said about pictures from a JSONL or CSV file: captions, and what else a line may hold."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from headimpact.core.errors import DataFormatError
from headimpact.data.annotations.pictures import PictureIndex
from headimpact.data.annotations.repeats import Repeats
from headimpact.data.annotations.rows import TABLE_SUFFIXES, read_rows
from headimpact.data.entries import Fault
from headimpact.data.folder_files import Record, optional_text, read_id, text_list
from headimpact.data.texts import clean_prompt, clean_text

CAPTION_FIELDS = ("file_name", "captions", "caption", "text", "category", "image_id", "split", "prompt", "licence")
"""What a line may hold; of the three fields for captions one is enough."""


@dataclass
class SaidOfPicture:
    """What a captions file says about one picture.

    Attributes:
        where: Place of its first line.
        captions: Cleaned captions, blank ones left out.
        facts: The other fields, cleaned: `category`, `image_id`, `split`, `prompt`, `licence`.
    """

    where: str
    captions: list[str] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)


def read_captions(path: Path, pictures: PictureIndex, faults: list[Fault]) -> dict[str, SaidOfPicture]:
    """Read a captions file; no picture is opened.

    A JSONL line holds all captions of its picture. CSV has one caption a line, so a picture may be on several.

    Args:
        path: JSONL or CSV file.
        pictures: The pictures that it may name.
        faults: List that takes up what is wrong.

    Returns:
        What is said, by name of the picture.

    Raises:
        DataFormatError: If there is no such file or it is neither JSONL nor CSV by its ending.
    """
    if not path.is_file() or path.suffix.lower() not in TABLE_SUFFIXES:
        found = f"ends in {path.suffix!r}" if path.is_file() else "is not a file"
        raise DataFormatError(f"No captions file: {path} {found}; expected {' or '.join(TABLE_SUFFIXES)}.")
    said: dict[str, SaidOfPicture] = {}
    may_repeat, repeats = path.suffix.lower() == ".csv", Repeats()
    for where, record in read_rows(path, faults, fields=CAPTION_FIELDS):
        try:
            name = pictures.find(record.get("file_name"))
            if not may_repeat:
                repeats.refuse(name, where, repr(name))
            said[name] = _add(said.get(name) or SaidOfPicture(where), name, record)
        except DataFormatError as error:
            faults.append(Fault(path.name, where, str(error)))
    return said


def _add(before: SaidOfPicture, name: str, record: Record) -> SaidOfPicture:
    """Add what a line says to what lines before it say of the same picture.

    Raises:
        DataFormatError: If a field is of the wrong kind, or repeats or contradicts an earlier line.
    """
    captions = list(_captions(record))
    again = [caption for caption in captions if caption in before.captions]
    if again:
        raise DataFormatError(f"Duplicate entry: {name!r} has this caption in an earlier line. Leave one out.")
    facts = _facts(record)
    for key, value in facts.items():
        if before.facts.get(key, value) != value:
            raise DataFormatError(
                f"Field {key!r} of {name!r} is {value!r} and was {before.facts[key]!r} in {before.where}. "
                "Make them agree."
            )
    return SaidOfPicture(before.where, before.captions + captions, before.facts | facts)


def _captions(record: Record) -> Iterator[str]:
    """Give the captions of a line, cleaned, each once.

    Yields:
        A caption that is not blank.

    Raises:
        DataFormatError: If they are no texts.
    """
    texts = [text for key in ("captions", "caption", "text") for text in text_list(record, key)]
    yield from dict.fromkeys(filter(None, map(clean_text, texts)))


def _facts(record: Record) -> dict[str, str]:
    """Give the other fields of a line.

    Raises:
        DataFormatError: If one is no text.
    """
    found = {key: optional_text(record, key) for key in ("category", "split", "licence")}
    facts = {key: clean_text(value) for key, value in found.items() if value}
    prompt = optional_text(record, "prompt")
    if prompt:
        facts["prompt"] = clean_prompt(prompt)
    if record.get("image_id") is not None:
        image_id = read_id(record["image_id"])
        if image_id is None:
            raise DataFormatError(
                f"Field 'image_id' is {record['image_id']!r}, expected a whole number or a clean text."
            )
        facts["image_id"] = image_id
    return {key: value for key, value in facts.items() if value}
