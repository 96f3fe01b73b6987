"""Writes a pair of lists with the shape of COCO train2017: as many records, about as many bytes, invented content.

Pictures have 0 to 25 objects of 1 to 3 categories: polygons of 8 to 37 points, one in eight in two parts; one object in
a hundred is a crowd in run lengths. Five captions a picture (a few have six) are put together from words for these
categories and for others; sizes of objects are log-normal. The same seed gives the same bytes.
"""

import json
import math
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np
from PIL import Image

from headimpact.data.synonyms import SYNONYMS, plural

IMAGES, ANNOTATIONS, CAPTIONS = 118_287, 860_001, 591_753
SIZES = ((640, 480), (480, 640), (640, 427), (427, 640), (640, 480), (500, 375), (640, 360), (612, 612))
"""Width and height."""

LICENCES = (
    "Attribution-NonCommercial-ShareAlike License", "Attribution-NonCommercial License",
    "Attribution-NonCommercial-NoDerivs License", "Attribution License", "Attribution-ShareAlike License",
    "Attribution-NoDerivs License", "No known copyright restrictions", "United States Government Work",
)  # fmt: skip
_LOOKS = (
    "large", "small", "brown", "black", "white", "red", "blue", "old", "young", "wooden", "striped", "two-tone",
    "shiny", "wet", "dusty",
)  # fmt: skip
_DOINGS = ("standing", "sitting", "lying", "parked", "resting", "waiting", "seen", "left", "shown", "placed")
_PLACES = (
    "in a field", "on a street", "near a wall", "in a kitchen", "by the water", "on the grass", "under a tree",
    "in a room",
)  # fmt: skip
_JOINS = ("next to", "with", "beside", "behind", "and", "in front of", "near")
CATEGORIES = tuple(SYNONYMS)


def write_coco_like(folder: Path, *, share: float = 1.0, seed: int = 0) -> tuple[Path, Path]:
    """Write `instances.json` and `captions.json`.

    Args:
        folder: Folder to write into.
        share: Share of COCO's numbers to write.
        seed: Seed of everything.
    """
    images, annotations, captions = (max(1, round(n * share)) for n in (IMAGES, ANNOTATIONS, CAPTIONS))
    pictures = list(_invent_pictures(images, annotations, seed))
    instances_path, captions_path = folder / "instances.json", folder / "captions.json"
    folder.mkdir(parents=True, exist_ok=True)
    head = {
        "info": {"description": "invented, with the shape of COCO train2017", "year": 2017},
        "licenses": [
            {"url": f"http://creativecommons.org/licenses/{n}/2.0/", "id": n + 1, "name": name}
            for n, name in enumerate(LICENCES)
        ],
    }
    listed = [_image_record(number, size) for number, (size, _) in enumerate(pictures)]
    categories = [{"supercategory": "thing", "id": n + 1, "name": name} for n, name in enumerate(CATEGORIES)]
    with instances_path.open("w", encoding="utf-8") as file:
        start = json.dumps({**head, "images": listed})[:-1]
        file.write(f'{start}, "annotations": [')
        _write_separated(file, _annotation_records(pictures, seed))
        file.write(f'], "categories": {json.dumps(categories)}}}')
    with captions_path.open("w", encoding="utf-8") as file:
        file.write(f'{json.dumps({**head, "images": listed})[:-1]}, "annotations": [')
        _write_separated(file, _caption_records(pictures, captions, seed))
        file.write("]}")
    return instances_path, captions_path


def _invent_pictures(images: int, annotations: int, seed: int) -> Iterator[tuple[tuple[int, int], list[int]]]:
    """Yield size and categories (one an object) of every picture; the objects add up."""
    generator = random.Random(seed)
    weights = [generator.random() ** 2 for _ in range(images)]
    scale = annotations / sum(weights)
    owed = 0.0
    for weight in weights:
        owed += weight * scale
        count = round(owed)
        owed -= count
        kinds = generator.choices(range(len(CATEGORIES)), k=min(3, 1 + count // 4))
        if generator.random() < 0.5:
            kinds[0] = 0  # person
        yield generator.choice(SIZES), sorted(generator.choices(kinds, k=count))


def _image_record(number: int, size: tuple[int, int]) -> dict[str, object]:
    """Give the record of a picture."""
    name = f"{number + 1:012d}.jpg"
    return {
        "license": number % 8 + 1, "file_name": name, "coco_url": f"http://images.cocodataset.org/train2017/{name}",
        "height": size[1], "width": size[0], "date_captured": "2013-11-14 17:02:52",
        "flickr_url": f"http://farm9.staticflickr.com/8186/8119{number:06d}_{number * 7919 % 10**10:010x}_z.jpg",
        "id": number + 1,
    }  # fmt: skip


def _annotation_records(pictures: list[tuple[tuple[int, int], list[int]]], seed: int) -> Iterator[str]:
    """Yield the JSON of every annotated object."""
    generator = np.random.default_rng(seed)
    number = 0
    for index, ((width, height), kinds) in enumerate(pictures):
        for kind in kinds:
            number += 1
            crowd = number % 100 == 0
            box, segmentation, area = _crowd(generator, width, height) if crowd else _shape(generator, width, height)
            yield (
                f'{{"segmentation": {segmentation}, "area": {area:.4f}, "iscrowd": {int(crowd)}, '
                f'"image_id": {index + 1}, '
                f'"bbox": [{", ".join(f"{n:.2f}" for n in box)}], "category_id": {kind + 1}, "id": {number}}}'
            )


def _shape(generator: np.random.Generator, width: int, height: int) -> tuple[tuple[float, ...], str, float]:
    """Give box, polygons and area of a wobbly disc."""
    radius = min(0.45 * min(width, height), 6 + 45 * math.exp(0.9 * generator.standard_normal()))
    points = int(generator.integers(8, 38))
    angles = np.linspace(0, 2 * math.pi, points, endpoint=False)
    radii = radius * (1 + 0.3 * generator.uniform(-1, 1, points))
    x = np.clip(generator.uniform(0.1, 0.9) * width + radii * np.cos(angles), 0, width)
    y = np.clip(generator.uniform(0.1, 0.9) * height + radii * np.sin(angles), 0, height)
    parts = [np.stack([x, y], 1)]
    if generator.random() < 0.125:
        parts = [parts[0][: points // 2 + 1], parts[0][points // 2 :]]
    written = ", ".join("[" + ", ".join(f"{n:.2f}" for n in part.ravel().tolist()) + "]" for part in parts)
    area = 0.5 * abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))))
    left, top = float(x.min()), float(y.min())
    return (left, top, float(x.max()) - left, float(y.max()) - top), f"[{written}]", area


def _crowd(generator: np.random.Generator, width: int, height: int) -> tuple[tuple[float, ...], str, float]:
    """Give box, run lengths and area of a band of columns."""
    first, columns = int(generator.integers(0, width - 60)), int(generator.integers(20, 60))
    top, rows = int(generator.integers(0, height // 2)), int(generator.integers(20, height // 2))
    runs = [first * height + top]
    for _ in range(columns - 1):
        runs += [rows, height - rows]
    runs += [rows, width * height - sum(runs) - rows]
    segmentation = json.dumps({"counts": runs, "size": [height, width]})
    return (first, top, columns, rows), segmentation, rows * columns


def _caption_records(pictures: list[tuple[tuple[int, int], list[int]]], captions: int, seed: int) -> Iterator[str]:
    """Yield the JSON of every caption; the first pictures have one more."""
    generator = random.Random(seed + 1)
    words = {
        name: [name, *(w for w in SYNONYMS[name] if w not in {"couple", "crowd", "family", "team"})]
        for name in CATEGORIES
    }
    number = 0
    for index, (_, kinds) in enumerate(pictures):
        for _ in range(captions // len(pictures) + (index < captions % len(pictures))):
            number += 1
            text = _caption(generator, words, [CATEGORIES[kind] for kind in dict.fromkeys(kinds)])
            yield json.dumps({"image_id": index + 1, "id": number, "caption": text})


def _caption(generator: random.Random, words: dict[str, list[str]], there: list[str]) -> str:
    """Put a caption together; three in four speak of the first category."""
    named = there[:2] if generator.random() < 0.75 else there[::-1][:2]
    if not named or generator.random() < 0.1:
        named = [generator.choice(CATEGORIES)]
    phrases = []
    for name in named:
        word, look = generator.choice(words[name]), generator.choice(_LOOKS)
        phrases.append(f"two {look} {plural(word)}" if generator.random() < 0.2 else f"a {look} {word}")
    text = f"{phrases[0]} {generator.choice(_DOINGS)} "
    if len(phrases) > 1:
        text += f"{generator.choice(_JOINS)} {phrases[1]} "
    return f"{text}{generator.choice(_PLACES)}{generator.choice(['.', '.', '', ' '])}".capitalize()


def _write_separated(file: TextIO, records: Iterator[str]) -> None:
    """Write records with commas between them."""
    for number, record in enumerate(records):
        file.write(f", {record}" if number else record)


def write_pictures(folder: Path, instances: Path) -> None:
    """Write a picture of the right size for every record: hard links to one grey picture of each size."""
    folder.mkdir(parents=True, exist_ok=True)
    for width, height in dict.fromkeys(SIZES):
        Image.new("RGB", (width, height), "grey").save(folder / f".{width}x{height}.jpg")
    for record in json.loads(instances.read_bytes())["images"]:
        os.link(folder / f".{record['width']}x{record['height']}.jpg", folder / record["file_name"])
