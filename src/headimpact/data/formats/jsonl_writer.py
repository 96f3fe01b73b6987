"""Write a data set in our own format; reading it again, with its questions, gives the same samples."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from headimpact.core.artifacts import atomic_folder
from headimpact.core.errors import OptionError
from headimpact.core.shapes import ObjectMask
from headimpact.data.dataset import KeyObjectDataset
from headimpact.data.formats.jsonl import INFO_FILE, METADATA_FILE
from headimpact.data.formats.questions import write_questions
from headimpact.data.mask_png import encode_mask
from headimpact.data.masks import mask_share
from headimpact.data.pictures import unturn_mask
from headimpact.data.sample import KeyObject, Sample

PLACINGS = ("link", "copy", "reference")
"""How a picture comes into a folder: as a hard link (else a copy), as a copy, or not at all: it stays where it is."""


def write_jsonl_dataset(dataset: KeyObjectDataset, out: Path, *, overwrite: bool = False) -> None:
    """Write `metadata.jsonl`, `images/`, `masks/` and, where samples have questions, `questions.jsonl`.

    The folder is there whole or not at all. Picture files are hard-linked, or copied where the file system cannot, so
    their EXIF data stay. Masks are 1-bit PNGs, white on the object, in the frame in which they were stored. A picture
    with several key objects has a mask for each in `key_objects` and their union in `mask_file_name`.

    Args:
        dataset: What to write; pictures that were left out are not.
        out: Folder to make.
        overwrite: Replace a folder that already holds something.

    Raises:
        DataFormatError: If a mask cannot be read any more.
        OptionError: If `out` is or holds the folder that the pictures come from.
        OutputInUseError: If `out` already holds something and `overwrite` is off.
        RunFailedError: If the file system refuses (disk full, no permission).
    """
    if dataset.root.resolve().is_relative_to(out.resolve()):
        raise OptionError(f"Cannot write over the source: {out} holds {dataset.root}. Choose another folder.")
    with atomic_folder(out, overwrite=overwrite) as folder:
        with (folder / METADATA_FILE).open("w", encoding="utf-8", newline="\n") as file:
            for line in write_samples(dataset.samples, folder):
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        write_questions(dataset, folder)
        if dataset.info:
            text = json.dumps(dict(dataset.info), indent=1)
            (folder / INFO_FILE).write_text(text + "\n", encoding="utf-8")


def write_samples(samples: Sequence[Sample], folder: Path) -> Iterator[dict[str, Any]]:
    """Write the pictures and masks of samples.

    Args:
        samples: The samples.
        folder: Folder to write into; `images` and `masks` are made.

    Yields:
        The line of each in `metadata.jsonl`, as values, when its files are there.

    Raises:
        DataFormatError: If a mask cannot be read any more.
        OSError: If the file system refuses.
    """
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    several = any(len(sample.key_objects) > 1 for sample in samples)
    originals = any(sample.captions_original for sample in samples)
    stems = unique_stems(sample.image_path.stem for sample in samples)
    for sample, stem in zip(samples, stems, strict=True):
        yield _write_sample(sample, stem, folder, several=several, originals=originals)


def _write_sample(sample: Sample, stem: str, folder: Path, *, several: bool, originals: bool) -> dict[str, Any]:
    """Write picture and masks of one sample and give its line.

    All lines have `key_objects` and `captions_original` or none has: `datasets` reads no list that is only in some.
    """
    file_name = f"images/{stem}{sample.image_path.suffix}"
    place_picture(sample.image_path, folder / file_name)
    first = sample.key_objects[0]
    line: dict[str, Any] = {
        "image_id": sample.image_id,
        "file_name": file_name,
        "mask_file_name": f"masks/{stem}.png",
        "captions": list(sample.captions),
        **({"captions_original": list(sample.captions_original)} if originals else {}),
        "category": first.category,
        "names": list(first.names),
    }
    if len(sample.key_objects) == 1:
        union = first.mask.decode()
        block = {"mask_file_name": line["mask_file_name"], "category": first.category, "names": list(first.names)}
        line |= {"key_objects": [{**block, **_origin(first)}]} if several else _origin(first)
    else:
        (folder / "masks" / "objects").mkdir(exist_ok=True)
        line["key_objects"] = [
            _write_key_object(key_object, f"masks/objects/{stem}.{number}.png", folder, sample)
            for number, key_object in enumerate(sample.key_objects)
        ]
        union = unturn_mask(sample.load_mask(), sample.orientation)
    (folder / line["mask_file_name"]).write_bytes(mask_file(union, sample))
    line |= {"split": sample.split, "prompt": sample.prompt, "licence": sample.licence, "area_share": mask_share(union)}
    if sample.categories is not None:
        line["categories"] = list(sample.categories)
    if sample.caption_origin is not None:
        line["caption_origin"] = sample.caption_origin.as_record()
    return line


def _write_key_object(key_object: KeyObject, name: str, folder: Path, sample: Sample) -> dict[str, Any]:
    """Write the mask of one of several key objects and give its block."""
    (folder / name).write_bytes(mask_file(key_object.mask.decode(), sample))
    block = {"mask_file_name": name, "category": key_object.category, "names": list(key_object.names)}
    return {**block, **_origin(key_object)}


def _origin(key_object: KeyObject) -> dict[str, Any]:
    """Say how models made a mask, where they did."""
    return {} if key_object.origin is None else {"mask_origin": key_object.origin.as_record()}


def mask_file(mask: ObjectMask, sample: Sample) -> bytes:
    """Give a mask of a sample as a PNG file.

    A mask in the frame of a stored picture that is turned carries its EXIF orientation, so that programs which turn
    the picture, as `datasets` does, turn the mask alike. We read it as stored.

    Args:
        mask: The mask.
        sample: The sample that it belongs to.
    """
    is_stored = mask.shape == sample.stored_hw
    return encode_mask(mask, orientation=sample.orientation if is_stored else 1)


def place_picture(source: Path, target: Path, *, images_as: str = "link") -> None:
    """Put a picture file into a folder, in place of what an unfinished run may have left there.

    Args:
        source: The picture; links are followed.
        target: Where to put it; its folder is there.
        images_as: One of `PLACINGS`; nothing is done for "reference".

    Raises:
        OSError: If the file system refuses.
    """
    if images_as == "reference":
        return
    target.unlink(missing_ok=True)
    if images_as == "link":
        with contextlib.suppress(OSError):  # another disk, too many links: a copy does as well
            os.link(source.resolve() if source.is_symlink() else source, target)
            return
    shutil.copyfile(source, target)


def unique_stems(stems: Iterable[str]) -> list[str]:
    """Number the file stems that came before, upper and lower case alike.

    Example:
        >>> unique_stems(["a", "b", "A"])
        ['a', 'b', 'A_2']
    """
    unique: list[str] = []
    taken: set[str] = set()
    for place, stem in enumerate(stems):
        candidate = stem
        while candidate.casefold() in taken:
            candidate = f"{candidate}_{place}"
        taken.add(candidate.casefold())
        unique.append(candidate)
    return unique
