"""Reads anybody's COCO result file and what it is measured against; needs no model and no pictures."""

import json
from pathlib import Path
from typing import Any

from headimpact.core.errors import DataFormatError
from headimpact.data.folder_files import resolve_inside
from headimpact.evaluation.evaluate import check_predictions
from headimpact.evaluation.results import Prediction


def read_coco_results(results: Path, references: Path, *, instances: Path | None = None) -> tuple[Prediction, ...]:
    """Read anybody's COCO result file and the captions it is measured against.

    Args:
        results: JSON list of `{"image_id", "caption"}`, one per picture.
        references: COCO captions file: `annotations` with `image_id` and `caption`.
        instances: COCO instances file, which says what is in the pictures; nothing is known of that if left out.

    Returns:
        One prediction per entry of the results, in their order. Pictures of the references that have no
        result are not measured, as in pycocoevalcap's example.

    Raises:
        DataFormatError: If a file is missing, is not JSON or lacks a field, or if a picture comes twice or
            has no reference.
    """
    answers = _entries(_read(results), results)
    captions = _read(references)
    if not isinstance(captions, dict) or "annotations" not in captions:
        raise DataFormatError(f"Not a COCO captions file: {references}. Expected an object with 'annotations'.")
    by_image: dict[str, list[str]] = {}
    for image_id, caption in _entries(captions["annotations"], references):
        by_image.setdefault(image_id, []).append(caption)
    objects = None if instances is None else _read_objects(instances)
    predictions = tuple(
        Prediction(
            image_id=image_id,
            prediction=caption,
            references=tuple(by_image.get(image_id, ())),
            objects=None if objects is None else objects.get(image_id),
        )
        for image_id, caption in answers
    )
    check_predictions(predictions, where=str(results))
    return predictions


def read_picture_files(references: Path, images: Path) -> dict[str, Path]:
    """Find the pictures that a captions file lists.

    Args:
        references: COCO captions file with `images`.
        images: Folder of the pictures.

    Returns:
        Picture id to its file, which may be missing.

    Raises:
        DataFormatError: If the file lists no pictures, or a name leaves the folder.
    """
    root = images.resolve()
    try:
        listed = {str(one["id"]): one["file_name"] for one in _read(references)["images"]}
    except (KeyError, TypeError) as error:
        raise DataFormatError(
            f"No list of pictures in {references}: {error!r}. Expected 'images' with id and file_name."
        ) from error
    return {image_id: resolve_inside(root, root, name) for image_id, name in listed.items()}


def _read(path: Path) -> Any:
    """Read a JSON file of others.

    Raises:
        DataFormatError: If it is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataFormatError(f"File not found: {path}. Expected a COCO JSON file.") from None
    except IsADirectoryError:
        raise DataFormatError(
            f"Not a file: {path} is a folder. Expected a COCO JSON file, such as captions.json."
        ) from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataFormatError(f"Cannot read {path} as JSON: {error}. Expected a COCO JSON file.") from error


def _entries(content: Any, path: Path) -> list[tuple[str, str]]:
    """Take (image_id, caption) from a list of objects.

    Raises:
        DataFormatError: If it is no list, or an entry lacks a field.
    """
    if not isinstance(content, list):
        raise DataFormatError(f"Not a list of captions: {path}. Expected [{{'image_id': …, 'caption': …}}, …].")
    found = []
    for place, entry in enumerate(content):
        if not isinstance(entry, dict) or "image_id" not in entry or not isinstance(entry.get("caption"), str):
            raise DataFormatError(
                f"Not a caption: {path}, entry {place}: {entry!r:.80}. Expected an object with image_id and caption."
            )
        found.append((str(entry["image_id"]), entry["caption"]))
    return found


def _read_objects(path: Path) -> dict[str, tuple[str, ...]]:
    """Read which categories are annotated in each picture that an instances file lists.

    Raises:
        DataFormatError: If it is no such file.
    """
    content = _read(path)
    try:
        names = {str(one["id"]): str(one["name"]) for one in content["categories"]}
        found: dict[str, set[str]] = {str(one["id"]): set() for one in content["images"]}
        for one in content["annotations"]:
            found[str(one["image_id"])].add(names[str(one["category_id"])])
    except (KeyError, TypeError) as error:
        raise DataFormatError(
            f"Not a COCO instances file: {path}: {error!r}. Expected an object with images, categories and annotations "
            "whose ids are in these lists."
        ) from error
    return {image_id: tuple(sorted(categories)) for image_id, categories in found.items()}
