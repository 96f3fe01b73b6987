"""Build a data set part by part, in processes, so that a build that is killed goes on where it stopped.

Comes in: a `PartTask`, some pictures of a pair of COCO lists as text. Goes out: their masks and pictures in the
folder, and a `PartResult`: their lines, and what is wrong. A part is a pure function of its task, and its lines are
written when its files are there, so a killed and resumed build ends with the same bytes.
"""

import gc
import json
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import connection, get_context, parent_process
from pathlib import Path

from headimpact.core.artifacts import atomic_file
from headimpact.core.errors import DataFormatError
from headimpact.data.build.built_picture import BuiltPicture, PictureLines, pack_lines, unpack_lines
from headimpact.data.build.coco_pictures import CocoSource, SourcePicture, read_coco_picture
from headimpact.data.build.mentions import MentionFinder
from headimpact.data.build.picture_builder import BuildRule, build_picture, picture_name
from headimpact.data.entries import Fault
from headimpact.data.folder_files import read_id
from headimpact.data.formats.coco_records import PictureRecord
from headimpact.data.formats.jsonl_writer import place_picture
from headimpact.data.mask_png import write_mask_file
from headimpact.data.masks import RleMask, SizeHW, format_size
from headimpact.data.pictures import read_picture_facts, read_picture_header

PART_SIZE = 256
"""Pictures of a part; few enough that what their captions say is remembered."""

PARTS_FOLDER = "parts"
CHECKS = ("whole", "header", "no")
"""How far pictures are read: to their end, up to their size, or not at all."""

_IN_FLIGHT = 3
"""Parts per process that are made ready ahead."""


@dataclass(frozen=True, kw_only=True)
class PartSettings:
    """What is the same for all parts.

    Attributes:
        folder: The data set's folder; None to write nothing.
        source: What is the same for all pictures.
        finder: Finds the mentions of the data set's categories.
        rule: All rules.
        images_as: One of `PLACINGS`.
        check: One of `CHECKS`.
        skip_bad: Leave pictures with a fault of their own out.
    """

    folder: Path | None
    source: CocoSource
    finder: MentionFinder
    rule: BuildRule
    images_as: str = "link"
    check: str = "whole"
    skip_bad: bool = False


@dataclass(frozen=True, kw_only=True)
class PartTask:
    """The pictures of a part.

    Attributes:
        index: Number of the part.
        records: Records of the pictures.
        stems: Names of the files made from them.
        objects: Text of the objects of each picture.
        captions: Text of the captions of each picture.
    """

    index: int
    records: Sequence[PictureRecord]
    stems: Sequence[str]
    objects: Sequence[Sequence[bytes]]
    captions: Sequence[Sequence[bytes]]


@dataclass(frozen=True, kw_only=True)
class PartResult:
    """What became of a part.

    Attributes:
        index: Number of the part.
        num_pictures: Pictures that were looked at.
        lines: Lines of its pictures, each packed into one.
        faults: Everything that is wrong.
    """

    index: int
    num_pictures: int
    lines: tuple[str, ...]
    faults: tuple[Fault, ...]

    def pictures(self) -> list[PictureLines]:
        """Give its pictures."""
        return [unpack_lines(line) for line in self.lines]


def build_parts(tasks: Iterable[PartTask], settings: PartSettings, *, workers: int) -> Iterator[PartResult]:
    """Build parts in processes.

    Args:
        tasks: The parts; taken as they are needed.
        settings: What is the same for all.
        workers: Processes; with 1 all is done in this one.

    Yields:
        The results, in the order of the tasks.

    Raises:
        OSError: If the file system refuses.
    """
    if workers == 1:
        yield from (build_part(task, settings) for task in tasks)
        return
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start_worker, initargs=(settings,))
    with pool:
        waiting: deque[Future[PartResult]] = deque()
        try:
            for task in tasks:
                waiting.append(pool.submit(_work, task))
                if len(waiting) > _IN_FLIGHT * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def build_part(task: PartTask, settings: PartSettings) -> PartResult:
    """Build one part; its masks and pictures are written, its lines are not.

    Each step is taken for all pictures before the next: the code and the word lists that a step needs stay in the
    processor's caches.

    Args:
        task: Its pictures.
        settings: What is the same for all.

    Returns:
        Its lines and faults; where there are faults some pictures have no lines.

    Raises:
        OSError: If the file system refuses.
    """
    read = [
        read_coco_picture(record, objects, captions, stem=stem, source=settings.source)
        for record, objects, captions, stem in zip(task.records, task.objects, task.captions, task.stems, strict=True)
    ]
    for source, _ in read:
        for caption in source.annotated.captions if source else ():
            settings.finder.read(caption)  # it remembers what the building of the picture asks for
    made = [build_picture(source, settings.finder, rule=settings.rule) if source else None for source, _ in read]
    built: list[BuiltPicture] = []
    faults: list[Fault] = []
    for record, (source, found), one in zip(task.records, read, made, strict=True):
        if source is not None and one is not None:
            built.append(_write_files(source, *one, settings, found))
        elif settings.skip_bad:
            built.append(_left_out(str(read_id(record.id)), found))
        faults += [fault for fault in found if fault.image_id is None or not settings.skip_bad]
    lines = tuple(pack_lines(one.lines()) for one in built)
    return PartResult(index=task.index, num_pictures=len(task.records), lines=lines, faults=tuple(faults))


def _write_files(
    source: SourcePicture,
    built: BuiltPicture,
    masks: Mapping[str, RleMask],
    settings: PartSettings,
    faults: list[Fault],
) -> BuiltPicture:
    """Write the files of a picture that was kept, unless it has a fault of its own, which is noted."""
    if built.entry is None:
        return built
    faults += _check_picture(source, settings)
    if faults:
        return _left_out(source.annotated.image_id, faults)
    if settings.folder is not None:
        for name, mask in masks.items():
            write_mask_file(mask, settings.folder / name)
        place_picture(source.path, settings.folder / picture_name(source), images_as=settings.images_as)
    return built


def write_part(folder: Path, result: PartResult) -> None:
    """Write the lines and faults of a part, whole or not at all.

    Raises:
        RunFailedError: If the file system refuses.
    """
    head = json.dumps({"num_pictures": result.num_pictures, "faults": [asdict(fault) for fault in result.faults]})
    with atomic_file(part_path(folder, result.index)) as temporary:
        temporary.write_text("\n".join((head, *result.lines)) + "\n", encoding="utf-8")


def read_part(folder: Path, index: int) -> tuple[Iterator[PictureLines], list[Fault]]:
    """Read what `write_part` wrote; a picture's lines are unpacked when it is their turn.

    Raises:
        DataFormatError: If the file is missing or something else.
    """
    try:
        head, *lines = part_path(folder, index).read_text(encoding="utf-8").split("\n")[:-1]
        faults = [Fault(**fault) for fault in json.loads(head)["faults"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataFormatError(
            f"Cannot read part {index} of {folder}: {error}. Build again with --overwrite."
        ) from error
    return map(unpack_lines, lines), faults


def part_path(folder: Path, index: int) -> Path:
    """Give the file of a part."""
    return folder / PARTS_FOLDER / f"part-{index:05d}.jsonl"


_settings: list[PartSettings] = []
"""In a worker: what is the same for all parts."""


def _start_worker(settings: PartSettings) -> None:
    """Keep the settings, and end when the parent is gone, even if it was killed."""
    _settings[:] = [settings]
    gc.freeze()
    gc.set_threshold(100_000)  # a picture makes many small values and no cycles
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Wait for the parent's end, then end at once: nobody is left to answer to."""
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _work(task: PartTask) -> PartResult:
    """Build a part in a worker."""
    return build_part(task, _settings[0])


def _check_picture(source: SourcePicture, settings: PartSettings) -> list[Fault]:
    """Read a picture as far as asked for and compare its size with the listed one."""
    image_id, name, listed_hw = source.annotated.image_id, settings.source.instances, source.annotated.size_hw
    try:
        frames = _frames(source.path, settings.check) or (listed_hw,)
    except DataFormatError as error:
        what = str(error).replace(str(source.path), source.file_name)  # no path of this machine goes into the data set
        return [Fault(name, f"image {image_id}", what, image_id=image_id)]
    if listed_hw in frames:
        return []
    what = (
        f"Picture of another size: listed as {format_size(listed_hw)} (height x width), {source.file_name} is "
        f"{format_size(frames[0])}. Fetch the picture that was annotated."
    )
    return [Fault(name, f"image {image_id}", what, image_id=image_id)]


def _frames(path: Path, check: str) -> tuple[SizeHW, ...]:
    """Give the sizes that a picture's masks may have.

    Raises:
        DataFormatError: If the picture cannot be read as far as asked for.
    """
    if check == "no":
        if not path.is_file():
            raise DataFormatError(f"Cannot open picture: {path} does not exist. Restore it or take it off the list.")
        return ()
    facts = read_picture_facts(path) if check == "whole" else read_picture_header(path)
    return facts.stored_hw, facts.size_hw


def _left_out(image_id: str, faults: Sequence[Fault]) -> BuiltPicture:
    """Give what became of a picture with faults."""
    says = " ".join(dict.fromkeys(fault.what for fault in faults))
    return BuiltPicture(decision={"image_id": image_id, "reason": "bad_picture", "says": says, "key_objects": []})
