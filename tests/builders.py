"""Tiny makers with defaults, used by all tests."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headimpact.data.masks import RleMask
from headimpact.data.sample import KeyObject, Sample
from headimpact.data.synonyms import category_names

SHARED_DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


def shared_data(name: str) -> Path:
    """Give a folder of real data, or skip the test where it is missing."""
    folder = SHARED_DATA / name
    if not folder.is_dir():
        pytest.skip(f"needs the real data folder {name!r} beside the project, which is missing here")
    return folder


def mask(*rows: str) -> np.ndarray:
    """Draw a bool mask: `mask("..#.", "...#")`."""
    return np.array([[character == "#" for character in row] for row in rows], dtype=bool)


def picture(path: Path, size_hw: tuple[int, int] = (4, 6), *, orientation: int = 1, seed: int = 0) -> Path:
    """Write a small picture of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if orientation == 1:
        image.save(path)
    else:
        exif = image.getexif()
        exif[0x0112] = orientation
        image.save(path, exif=exif)
    return path


def sample(
    folder: Path,
    *rows: str,
    image_id: str = "1",
    category: str = "dog",
    captions: Sequence[str] = ("A dog.",),
    **fields: Any,
) -> Sample:
    """Make a sample whose picture lies in `folder` and whose mask is drawn; of 4 x 6 pixels by default."""
    drawn = mask(*(rows or ("......", ".##...", ".##...", "......")))
    size_hw = (drawn.shape[0], drawn.shape[1])
    return Sample(
        image_id=image_id,
        image_path=picture(folder / f"{image_id}.png", size_hw),
        size_hw=size_hw,
        key_objects=(KeyObject(category, category_names(category), RleMask.from_mask(drawn)),),
        captions=tuple(captions),
        **fields,
    )


Edit = Callable[[dict[str, Any], dict[str, Any]], object]


def coco_folder(root: Path, *, count: int = 3, edit: Edit | None = None, split: str | None = None) -> Path:
    """Write a sound COCO folder of pictures 1, 2, ... with a dog each.

    Args:
        root: Folder to make.
        count: Number of pictures, of 4 x 6 pixels each.
        edit: Called with the content of instances.json and captions.json before they are written.
        split: Extra field of every picture.
    """
    ids = range(1, count + 1)
    extra = {} if split is None else {"split": split}
    instances: dict[str, Any] = {
        "info": {"description": "tiny"},
        "images": [{"id": n, "file_name": f"{n}.png", "height": 4, "width": 6, **extra} for n in ids],
        "annotations": [
            {
                "id": 10 * n,
                "image_id": n,
                "category_id": 18,
                "segmentation": [[1, 1, 3, 1, 3, 3, 1, 3]],
                "area": 4,
                "bbox": [1, 1, 2, 2],
                "iscrowd": 0,
            }
            for n in ids
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 17, "name": "cat"}],
    }
    captions: dict[str, Any] = {"annotations": [{"id": n, "image_id": n, "caption": f"Dog {n}."} for n in ids]}
    for n in ids:
        picture(root / "images" / f"{n}.png", seed=n)
    if edit is not None:
        edit(instances, captions)
    (root / "instances.json").write_text(json.dumps(instances), encoding="utf-8")
    (root / "captions.json").write_text(json.dumps(captions), encoding="utf-8")
    return root


def jsonl_folder(root: Path, *lines: dict[str, Any]) -> Path:
    """Write a folder in our own format; every line is laid over a sound default."""
    text = []
    for number, line in enumerate(lines or ({}, {}), start=1):
        name = line.get("file_name", f"{number}.png")
        record = {"file_name": name, "mask_file_name": f"masks/{number}.png", "category": "dog", "captions": ["A dog."]}
        if isinstance(name, str) and not name.startswith(("/", "..")):
            picture(root / name, seed=number)
        (root / "masks").mkdir(parents=True, exist_ok=True)
        drawn = mask("......", ".##...", ".##...", "......")
        Image.fromarray(drawn.astype(np.uint8) * 255).save(root / "masks" / f"{number}.png")
        text.append(json.dumps(record | line))
    (root / "metadata.jsonl").write_text("\n".join(text) + "\n", encoding="utf-8")
    return root
