"""Writes seeded scenes as a COCO-format folder: pictures, masks, captions, questions and answers.

In: a task, numbers of pictures, a seed. Out: a folder that goes through the same readers as real data:

- ``images/<split>_<index>.png``
- ``instances.json``: COCO instances of all objects with uncompressed RLE masks (runs in column-major
  order, as pycocotools reads them) of the visible pixels; ``images[].split`` and
  ``annotations[].is_key_object`` are added, ``info.prompt`` is the task's prompt, ``info.answer_template`` that of
  the questions
- ``captions.json``: COCO captions, one reference a picture
- ``questions.json`` and ``answers.json``: VQA v2 open-ended questions and their annotations
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from headimpact.core.artifacts import atomic_folder
from headimpact.core.errors import OptionError, UnknownNameError
from headimpact.core.registry import unknown_name_message
from headimpact.core.shapes import ObjectMask
from headimpact.embedded.attributes import SHAPES, SIDE, SPLIT_CODES, Scene, SceneObject
from headimpact.embedded.language import question_turns
from headimpact.embedded.layout import scene_generator
from headimpact.embedded.tasks import TASKS, Task

__all__ = ["TASKS", "build_scenes", "draw_scene"]

LICENSE = {"id": 1, "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"}


def draw_scene(*, task: str, split: str, index: int, seed: int) -> Scene:
    """Draw one scene.

    Args:
        task: One of ``TASKS``.
        split: One of ``attributes.SPLIT_CODES``; splits never share a picture.
        index: Number of the picture within the split, from 0.
        seed: Seed of the data set.

    Returns:
        The scene; same arguments, same bytes.

    Raises:
        UnknownNameError: If task or split is unknown.
    """
    return _find_task(task).draw(scene_generator(seed=seed, split=split, index=index))


def build_scenes(out: Path, *, task: str, counts: Mapping[str, int], seed: int, overwrite: bool = False) -> Path:
    """Write a folder of scenes, whole or not at all.

    Args:
        out: The folder to make.
        task: One of ``TASKS``.
        counts: Split -> number of pictures.
        seed: Seed of the data set.
        overwrite: Replace a folder that already holds something.

    Returns:
        `out`.

    Raises:
        OptionError: If no picture or a negative number of pictures is asked for.
        OutputInUseError: If `out` already holds something and `overwrite` is off.
        UnknownNameError: If the task or a split is unknown.
    """
    chosen = _find_task(task)
    for split in counts:
        if split not in SPLIT_CODES:
            raise UnknownNameError(unknown_name_message("split", split, SPLIT_CODES))
    if not counts or min(counts.values()) < 0 or sum(counts.values()) == 0:
        raise OptionError(
            f"Number of scenes: given {dict(counts)}; expected at least one picture and no negative number. "
            "Ask for pictures of at least one split."
        )
    with atomic_folder(out, overwrite=overwrite) as folder:
        (folder / "images").mkdir()
        tables = _Tables(task=task, prompt=chosen.prompt, seed=seed)
        for split, index in _places(counts):
            scene = chosen.draw(scene_generator(seed=seed, split=split, index=index))
            file_name = f"{split}_{index:06d}.png"
            Image.fromarray(scene.pixels).save(folder / "images" / file_name)
            tables.add(scene, split=split, file_name=file_name, caption=chosen.write_caption(scene))
        for name, content in tables.files().items():
            (folder / name).write_text(json.dumps(content) + "\n", encoding="utf-8")
    return out


def encode_mask(mask: ObjectMask) -> dict[str, list[int]]:
    """Encode a mask as uncompressed COCO RLE.

    Args:
        mask: Which pixels belong to the object.

    Returns:
        ``counts``: lengths of runs down the columns, beginning with zeros; ``size``: height, width.

    Example:
        >>> encode_mask(np.array([[False, True], [True, True]]))
        {'counts': [1, 3], 'size': [2, 2]}

    Source: cocodataset/cocoapi, ``common/maskApi.h``.
    """
    flat = np.concatenate([[False], mask.ravel(order="F")])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    runs = np.diff(np.concatenate([[0], changes, [mask.size]]))
    return {"counts": [int(run) for run in runs], "size": [int(side) for side in mask.shape]}


class _Tables:
    """Collects the records of the four JSON files."""

    def __init__(self, *, task: str, prompt: str, seed: int) -> None:
        """Start empty tables."""
        self._info = {
            "description": f"headimpact scenes, task {task!r}, seed {seed}",
            "version": "1",
            "task": task,
            "seed": seed,
            "prompt": prompt,
            "answer_template": "bare",
        }
        self._images: list[dict[str, Any]] = []
        self._objects: list[dict[str, Any]] = []
        self._captions: list[dict[str, Any]] = []
        self._questions: list[dict[str, Any]] = []
        self._answers: list[dict[str, Any]] = []

    def add(self, scene: Scene, *, split: str, file_name: str, caption: str) -> None:
        """Add one picture with its objects, caption and questions."""
        image_id = len(self._images) + 1
        self._images.append(
            {
                "id": image_id,
                "file_name": file_name,
                "height": SIDE,
                "width": SIDE,
                "license": LICENSE["id"],
                "split": split,
            }
        )
        for item in scene.objects:
            self._objects.append(
                {"id": len(self._objects) + 1, "image_id": image_id} | _annotate(item, is_key=item is scene.key_object)
            )
        self._captions.append({"id": image_id, "image_id": image_id, "caption": caption})
        for turn in question_turns(scene):
            question_id = len(self._questions) + 1
            self._questions.append({"question_id": question_id, "image_id": image_id, "question": turn.prompt})
            self._answers.append(
                {
                    "question_id": question_id,
                    "image_id": image_id,
                    "question_type": turn.kind,
                    "answer_type": "yes/no" if turn.answer in {"yes", "no"} else "other",
                    "multiple_choice_answer": turn.answer,
                    "answers": [{"answer": turn.answer, "answer_confidence": "yes", "answer_id": 1}],
                }
            )

    def files(self) -> dict[str, dict[str, Any]]:
        """Return file name -> content."""
        head = {"info": self._info, "licenses": [LICENSE]}
        categories = [{"id": SHAPES.index(shape) + 1, "name": shape, "supercategory": "shape"} for shape in SHAPES]
        vqa = {"info": self._info, "license": LICENSE, "data_type": "headimpact-scenes"}
        return {
            "instances.json": head | {"images": self._images, "annotations": self._objects, "categories": categories},
            "captions.json": head | {"images": self._images, "annotations": self._captions},
            "questions.json": vqa | {"task_type": "Open-Ended", "questions": self._questions},
            "answers.json": vqa | {"annotations": self._answers},
        }


def _annotate(item: SceneObject, *, is_key: bool) -> dict[str, Any]:
    """Return the COCO record of one object, without its ids."""
    rows, columns = np.flatnonzero(item.mask.any(axis=1)), np.flatnonzero(item.mask.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return {
        "category_id": SHAPES.index(item.shape) + 1,
        "segmentation": encode_mask(item.mask),
        "area": item.area,
        "bbox": [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1],
        "iscrowd": 0,
        "is_key_object": is_key,
        "attributes": {"colour": item.colour, "texture": item.texture, "place": item.place},
    }


def _find_task(name: str) -> Task:
    """Look a task up.

    Raises:
        UnknownNameError: If there is no such task.
    """
    if name not in TASKS:
        raise UnknownNameError(unknown_name_message("task", name, TASKS))
    return TASKS[name]


def _places(counts: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Yield split and index of every picture to draw."""
    for split, count in counts.items():
        for index in range(count):
            yield split, index
