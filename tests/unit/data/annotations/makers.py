"""Small folders of pictures with captions and annotations, as people have them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from headimpact.data.annotations import read_pictures
from headimpact.data.inspection import inspect_content
from tests.builders import mask, picture

DRAWN = mask("......", ".##...", ".##...", "......")
SQUARE = [[1, 1], [3, 1], [3, 3], [1, 3]]
"""The outline of what is drawn, in the pictures' 4 x 6 pixels."""


def pictures(root: Path, *names: str) -> Path:
    """Write pictures of 4 x 6 pixels into `root/images`."""
    for number, name in enumerate(names or ("1.png", "2.png"), start=1):
        picture(root / "images" / name, seed=number)
    return root / "images"


def captions(root: Path, *lines: object) -> Path:
    """Write captions as JSONL; a text stands for itself."""
    records = lines or [{"file_name": f"{n}.png", "captions": [f"Dog {n}."]} for n in (1, 2)]
    path = root / "captions.jsonl"
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in records))
    return path


def png(path: Path, drawn: np.ndarray = DRAWN) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(drawn.astype(np.uint8) * 255).save(path)
    return path


def coco(root: Path, **changes: Any) -> Path:
    content = {
        "images": [{"id": 7, "file_name": "1.png", "height": 4, "width": 6}],
        "categories": [{"id": 18, "name": "dog"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 18, "segmentation": [[1, 1, 3, 1, 3, 3, 1, 3]]}],
    }
    path = root / "objects.json"
    path.write_text(json.dumps({**content, **changes}))
    return path


def labelme(root: Path, *shapes: dict[str, Any], name: str = "1.json", **changes: Any) -> Path:
    content = {
        "imagePath": "1.png",
        "imageHeight": 4,
        "imageWidth": 6,
        "imageData": "x" * 100,
        "shapes": list(shapes) or [{"label": "dog", "shape_type": "polygon", "points": SQUARE}],
    }
    folder = root / "labels"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps({**content, **changes}))
    return folder


def cvat(root: Path, *elements: str, image: str = 'name="1.png" width="6" height="4"', head: str = "") -> Path:
    shapes = elements or ('<polygon label="dog" points="1,1;3,1;3,3;1,3"/>',)
    lines = ['<?xml version="1.0" encoding="utf-8"?>', head, "<annotations>", f'<image id="0" {image}>', *shapes]
    path = root / "objects.xml"
    path.write_text("\n".join([*lines, "</image>", "</annotations>"]))
    return path


def boxes(root: Path, *lines: str) -> Path:
    path = root / "boxes.csv"
    path.write_text("\n".join(["file_name,category,x0,y0,x1,y1", *(lines or ("1.png,dog,1,1,3,3",))]) + "\n")
    return path


def faults_of(root: Path, **options: Any) -> list[str]:
    """Read the folder and open everything; list the faults as text."""
    return [str(fault) for fault in inspect_content(read_pictures(root / "images", **options)).faults]
