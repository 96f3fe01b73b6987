"""Read and write the questions of a data folder: `questions.jsonl`, or VQA's `questions.json` and `answers.json`.

A folder of any format may hold them. In `questions.jsonl` every line is one question: `question_id`, `image_id`,
`question`, `answer` (or a list of `answers`), and if wanted `choices`, `kind` and `categories`.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from headimpact.core.errors import DataFormatError
from headimpact.data.closed_questions import ClosedQuestion
from headimpact.data.dataset import KeyObjectDataset, Skip
from headimpact.data.entries import Fault, id_order
from headimpact.data.folder_files import (
    Record,
    list_records,
    optional_text,
    read_id,
    read_json_lines,
    read_json_object,
    text_list,
)
from headimpact.data.sample import Sample
from headimpact.data.texts import clean_text

LINES_FILE = "questions.jsonl"
QUESTIONS_FILE, ANSWERS_FILE = "questions.json", "answers.json"
FIELDS = ("question_id", "image_id", "question", "answer", "answers", "choices", "kind", "categories", "split")

Questions = dict[str, tuple[ClosedQuestion, ...]]
"""Picture id to its questions."""


def has_questions(root: Path) -> bool:
    """Tell whether a folder holds questions."""
    return (root / LINES_FILE).is_file() or (root / QUESTIONS_FILE).is_file()


def read_questions(root: Path) -> Questions:
    """Read all questions of a folder.

    Args:
        root: The data folder.

    Returns:
        Questions of each picture, in the order of the file.

    Raises:
        DataFormatError: If there are none, or the file has faults; `faults` holds all of them.
    """
    faults: list[Fault] = []
    if (root / LINES_FILE).is_file():
        name, records = LINES_FILE, read_json_lines(root / LINES_FILE, LINES_FILE, faults, fields=FIELDS)
    elif (root / QUESTIONS_FILE).is_file():
        name, records = QUESTIONS_FILE, _vqa_records(root, faults)
    else:
        raise DataFormatError(
            f"No questions in {root}: expected {LINES_FILE}, or VQA's files as {QUESTIONS_FILE} and {ANSWERS_FILE}. "
            "headimpact dataset build coco and dataset build scenes write them."
        )
    found: dict[str, list[ClosedQuestion]] = {}
    seen: set[str] = set()
    for where, record in records:
        try:
            image_id, question = _read_question(record)
        except DataFormatError as error:
            faults.append(Fault(name, where, str(error)))
            continue
        if question.question_id in seen:
            faults.append(Fault(name, where, f"Duplicate id: question_id {question.question_id!r} came before."))
        seen.add(question.question_id)
        found.setdefault(image_id, []).append(question)
    if faults:
        summary = f"Questions cannot be used: {len(faults)} faults in {root}, first {faults[0]} Mend them."
        raise DataFormatError(summary, faults=[str(fault) for fault in faults])
    return {image_id: tuple(questions) for image_id, questions in found.items()}


def add_questions(dataset: KeyObjectDataset) -> KeyObjectDataset:
    """Give every picture the questions that its data folder asks about it; there may be none.

    Args:
        dataset: A data set as read, whole or a part of it.

    Raises:
        DataFormatError: If the folder has no questions, or they have faults.
    """
    questions = read_questions(dataset.root)
    asked = (dataclasses.replace(sample, questions=questions.get(sample.image_id, ())) for sample in dataset)
    return dataclasses.replace(dataset, samples=tuple(asked))


def with_questions(dataset: KeyObjectDataset) -> KeyObjectDataset:
    """Take the pictures that their data folder asks something about, with these questions.

    Args:
        dataset: A data set as read, whole or a part of it.

    Returns:
        The pictures with questions; others are left out, counted as `no_question`.

    Raises:
        DataFormatError: If the folder has no questions, or they have faults.
    """
    asked = add_questions(dataset)
    bare = [Skip(sample.image_id, "no_question", sample.split) for sample in asked if not sample.questions]
    return dataclasses.replace(
        asked,
        samples=tuple(sample for sample in asked if sample.questions),
        skips=tuple(sorted((*asked.skips, *bare), key=lambda skip: id_order(skip.image_id))),
    )


def write_questions(samples: Iterable[Sample], folder: Path) -> None:
    """Write the questions of samples as `questions.jsonl`; no file where there are none.

    Args:
        samples: Pictures with their questions.
        folder: Folder to write into.
    """
    with (folder / LINES_FILE).open("w", encoding="utf-8", newline="\n") as file:
        for sample in samples:
            for question in sample.questions:
                file.write(question_line(question, image_id=sample.image_id, split=sample.split) + "\n")
        is_empty = not file.tell()
    if is_empty:
        (folder / LINES_FILE).unlink()


def question_line(question: ClosedQuestion, *, image_id: str, split: str | None) -> str:
    """Write a line of `questions.jsonl`, without the line break.

    Args:
        question: The question.
        image_id: The picture that it is about.
        split: The picture's split, if any.
    """
    answers = {"answer": question.answer} if len(question.answers) == 1 else {"answers": list(question.answers)}
    record = {
        "question_id": question.question_id,
        "image_id": image_id,
        "kind": question.kind,
        "question": question.question,
        **answers,
        "choices": list(question.choices),
        "categories": list(question.categories),
        **({"split": split} if split else {}),
    }
    return json.dumps(record, ensure_ascii=False)


def count_questions(root: Path) -> int:
    """Count the questions of a folder; 0 where it has no file of them.

    Raises:
        DataFormatError: If the file has faults.
    """
    return sum(map(len, read_questions(root).values())) if has_questions(root) else 0


def check_questions(dataset: KeyObjectDataset) -> int:
    """Refuse questions about pictures that a whole data set does not list.

    Args:
        dataset: A data set with all its pictures.

    Returns:
        Number of questions; 0 where the folder has no file of them.

    Raises:
        DataFormatError: If a question points nowhere, or the file has other faults.
    """
    questions = read_questions(dataset.root) if has_questions(dataset.root) else {}
    known = {*dataset.image_ids, *(skip.image_id for skip in dataset.skips)}
    faults = [
        f"{LINES_FILE if (dataset.root / LINES_FILE).is_file() else QUESTIONS_FILE}: question {one.question_id}: "
        f"Points nowhere: image_id {image_id!r} is no picture of this folder."
        for image_id, asked in questions.items()
        if image_id not in known
        for one in asked
    ]
    if faults:
        raise DataFormatError(f"Questions about unknown pictures: {len(faults)}, first {faults[0]}", faults=faults)
    return sum(map(len, questions.values()))


def _vqa_records(root: Path, faults: list[Fault]) -> Iterator[tuple[str, Record]]:
    """Join VQA's questions with their answers.

    Yields:
        Place of a question and its record, in the form of a line of `questions.jsonl`.
    """
    asked = read_json_object(root / QUESTIONS_FILE, QUESTIONS_FILE, faults)
    answered = read_json_object(root / ANSWERS_FILE, ANSWERS_FILE, faults)
    by_question = {
        read_id(one.get("question_id")): one for one in list_records(answered, "annotations", ANSWERS_FILE, faults)
    }
    for index, record in enumerate(list_records(asked, "questions", QUESTIONS_FILE, faults)):
        answer = by_question.get(read_id(record.get("question_id")), {})
        given = answer.get("answers")
        texts = [one.get("answer") for one in given if isinstance(one, dict)] if isinstance(given, list) else []
        place = f"questions[{index}]"
        if texts:
            yield place, {**record, "answers": texts, "kind": answer.get("question_type")}
        else:
            what = f"No answer to question_id {record.get('question_id')!r} in {ANSWERS_FILE}; expected at least one."
            faults.append(Fault(QUESTIONS_FILE, place, what))


def _read_question(record: Record) -> tuple[str, ClosedQuestion]:
    """Read one question and the id of its picture.

    Raises:
        DataFormatError: If a field is missing, blank or of another kind.
    """
    ids = {name: read_id(record.get(name)) for name in ("question_id", "image_id")}
    for name, value in ids.items():
        if value is None:
            raise DataFormatError(f"Field {name!r} is {record.get(name)!r}, expected a whole number or a clean text.")
    answers = text_list(record, "answers") or text_list(record, "answer")
    return str(ids["image_id"]), ClosedQuestion(
        question_id=str(ids["question_id"]),
        question=clean_text(optional_text(record, "question") or ""),
        answers=tuple(map(clean_text, answers)),
        choices=tuple(map(clean_text, text_list(record, "choices"))),
        kind=optional_text(record, "kind"),
        categories=tuple(map(clean_text, text_list(record, "categories"))),
    )
