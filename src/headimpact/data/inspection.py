"""Open every picture and mask of a folder in parallel: samples, skips and faults come out."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from PIL import Image

from headimpact.core.errors import DataFormatError
from headimpact.data.dataset import Skip
from headimpact.data.entries import Fault, FolderContent, Frames, PictureEntry
from headimpact.data.key_choice import MaskedObject, choose_key_objects
from headimpact.data.masks import SizeHW
from headimpact.data.pictures import PictureFacts, read_picture_facts
from headimpact.data.sample import KeyObject, Sample

Progress = Callable[[int, int], None]
"""Called with the number of pictures done and of all pictures, in the calling thread."""

Chooser = Callable[[str, Sequence[str], Sequence[MaskedObject]], list[MaskedObject]]
"""Chooses the key objects of a picture from its id, its captions and its objects; called by several threads."""

BLOCK = 1024
"""Pictures handed to the workers at a time."""


@dataclass(frozen=True)
class Inspection:
    """What came out of opening everything.

    Attributes:
        samples: Pictures that say something, in the order of their ids.
        skips: Pictures that say nothing, with the reason.
        faults: Everything that is wrong, in the order of the lists.
    """

    samples: tuple[Sample, ...]
    skips: tuple[Skip, ...]
    faults: tuple[Fault, ...]


def inspect_content(
    content: FolderContent,
    *,
    progress: Progress | None = None,
    workers: int | None = None,
    choose: Chooser | None = None,
) -> Inspection:
    """Open every picture and mask that a reader listed.

    Decoding runs in threads: Pillow lets others work meanwhile. Nothing is kept but sizes, compressed
    masks and texts.

    Args:
        content: What the reader of a format found.
        progress: Called after every picture.
        workers: Threads; by default one per processor that this process may use.
        choose: Chooses the key objects; by default `choose_key_objects` does.

    Returns:
        Samples, skips and all faults, the reader's included.
    """
    workers = workers or usable_processors()
    outcomes = list(_inspect_all(content.entries, progress=progress, workers=workers, choose=choose or _choose))
    return Inspection(
        samples=tuple(outcome for outcome in outcomes if isinstance(outcome, Sample)),
        skips=tuple(outcome for outcome in outcomes if isinstance(outcome, Skip)),
        faults=(
            *content.faults,
            *_split_faults(content.entries),
            *(fault for outcome in outcomes if isinstance(outcome, list) for fault in outcome),
        ),
    )


def _split_faults(entries: Sequence[PictureEntry]) -> Sequence[Fault]:
    """Find splits whose names differ in case only, each where it first comes."""
    first: dict[str, str] = {}
    found: dict[str, Fault] = {}
    for entry in entries:
        known = first.setdefault(entry.split.casefold(), entry.split) if entry.split is not None else None
        if entry.split is not None and entry.split != known and entry.split not in found:
            what = f"Split {entry.split!r} differs from {known!r} in case only; expected one name for one split."
            found[entry.split] = Fault(entry.file, entry.where, f"{what} Write it alike.")
    return tuple(found.values())


def _inspect_all(
    entries: Sequence[PictureEntry], *, progress: Progress | None, workers: int, choose: Chooser
) -> Iterator[Sample | Skip | list[Fault]]:
    """Inspect every entry, results in order.

    Yields:
        A sample, a skip, or the faults of each entry.
    """
    Image.init()  # loads the decoders once, before threads ask for them
    with warnings.catch_warnings(), ThreadPoolExecutor(max_workers=workers) as pool:
        warnings.filterwarnings("ignore", module=r"PIL\.")  # what matters of it becomes a fault
        done = 0
        for block in _blocks(entries):
            for outcome in pool.map(partial(_inspect_entry, choose=choose), block):
                done += 1
                if progress is not None:
                    progress(done, len(entries))
                yield outcome


def _blocks(entries: Sequence[PictureEntry]) -> Iterator[Sequence[PictureEntry]]:
    """Cut a sequence into blocks."""
    return (entries[start : start + BLOCK] for start in range(0, len(entries), BLOCK))


def _inspect_entry(entry: PictureEntry, *, choose: Chooser) -> Sample | Skip | list[Fault]:
    """Open one picture and its masks: a sample, a reason to skip it, or faults."""
    faults: list[Fault] = []
    facts: PictureFacts | None = None
    try:
        facts = read_picture_facts(entry.path)
    except DataFormatError as error:
        faults.append(_fault(entry, entry.where, str(error)))
    if facts is not None and entry.claimed_hw not in {None, facts.stored_hw, facts.size_hw}:
        faults.append(_fault(entry, entry.where, _wrong_claim(entry, facts)))
    masked: list[MaskedObject] = []
    for listed in entry.objects:
        try:
            masked.append((listed, listed.read_mask(_frames(entry, facts))))
        except DataFormatError as error:
            faults.append(_fault(entry, listed.where, str(error), file=listed.file))
    if faults or facts is None:
        return faults
    return _sample_or_skip(entry, facts, masked, choose)


def _sample_or_skip(
    entry: PictureEntry, facts: PictureFacts, masked: Sequence[MaskedObject], choose: Chooser
) -> Sample | Skip:
    """Make the sample of a sound picture, or say why it says nothing."""
    if not entry.captions:
        return Skip(entry.image_id, "no_caption", entry.split)
    chosen = choose(entry.image_id, entry.captions, masked)
    if not chosen:
        return Skip(entry.image_id, "no_annotation", entry.split)
    if not any(mask.area for _, mask in chosen):
        return Skip(entry.image_id, "empty_mask", entry.split)
    return Sample(
        image_id=entry.image_id,
        image_path=entry.path,
        size_hw=facts.size_hw,
        key_objects=tuple(
            KeyObject(listed.category, listed.names, mask.source, listed.origin) for listed, mask in chosen
        ),
        captions=entry.captions,
        captions_original=entry.captions_original,
        split=entry.split,
        prompt=entry.prompt,
        licence=entry.licence,
        orientation=facts.orientation,
        caption_origin=entry.caption_origin,
        categories=entry.categories,
    )


def _choose(_image_id: str, captions: Sequence[str], objects: Sequence[MaskedObject]) -> list[MaskedObject]:
    """Choose as where nothing else is asked for."""
    return choose_key_objects(objects, captions)


def _frames(entry: PictureEntry, facts: PictureFacts | None) -> Frames:
    """List the sizes that a mask may have: the picture's; where that is at fault already, the listed one."""
    if facts is not None and entry.claimed_hw in {None, facts.stored_hw, facts.size_hw}:
        return facts.stored_hw, facts.size_hw
    return (entry.claimed_hw,) if entry.claimed_hw is not None else ()


def _wrong_claim(entry: PictureEntry, facts: PictureFacts) -> str:
    """Say that the listed size is not the picture's."""
    claimed: SizeHW = entry.claimed_hw or (0, 0)
    return (
        f"Picture of another size: listed as {claimed[0]} x {claimed[1]} (height x width), {entry.path.name} is "
        f"{facts.stored_hw[0]} x {facts.stored_hw[1]}. Fetch the picture that was annotated."
    )


def _fault(entry: PictureEntry, where: str, what: str, *, file: str | None = None) -> Fault:
    """Lay a fault on one picture."""
    return Fault(file or entry.file, where, what, image_id=entry.image_id)


def usable_processors() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
