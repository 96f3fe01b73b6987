"""What models add to one's own pictures: captions where there are none, masks where there are none.

In: the pictures as listed. Out: the same pictures with what was made, marked as made. The work is done in blocks that
a stopped run does not lose.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tqdm import tqdm

from headimpact.core.provenance import hash_texts
from headimpact.data.build.decisions import PictureDecision
from headimpact.data.entries import FolderContent, Frames, ObjectEntry, PictureEntry, ReadMask
from headimpact.data.masks import RleMask, refuse_other_frame
from headimpact.data.origins import MaskOrigin, name_model
from headimpact.data.pictures import load_upright_rgb, read_picture_facts, unturn_mask
from headimpact.data.texts import clean_text
from headimpact.workflows.configs import ModelOptions
from headimpact.workflows.line_parts import Line, LineParts
from headimpact.workflows.opening import open_model
from headimpact.workflows.picture_configs import BuildPicturesConfig

if TYPE_CHECKING:
    from headimpact.annotation.key_masks import MadeObject
    from headimpact.annotation.masks_from_text import PictureMasks

CAPTIONS, MASKS = "made_captions", "made_masks"
WORK = (f"{CAPTIONS}/part-*", f"{MASKS}/part-*", f"{CAPTIONS}.jsonl", f"{MASKS}.jsonl")
"""Files of a run that are worth keeping when it fails."""

Item = TypeVar("Item")
Masker = Callable[[Sequence[Any], Sequence[str]], "list[PictureMasks]"]
"""From pictures and a caption for each to what was found."""


@dataclasses.dataclass(frozen=True)
class MadeContent:
    """Pictures with what models added.

    Attributes:
        content: All pictures.
        decisions: For pictures with made masks, what became of them, by id.
        counts: What was made and left out, by words for people.
    """

    content: FolderContent
    decisions: Mapping[str, PictureDecision]
    counts: Mapping[str, int]


def add_captions(content: FolderContent, entries: Sequence[PictureEntry], config: BuildPicturesConfig) -> MadeContent:
    """Describe pictures by the model that the user names.

    Args:
        content: All pictures.
        entries: Those to describe.
        config: Options of the command.

    Returns:
        All pictures; one about which the model says nothing stays without a caption.
    """
    from headimpact.annotation.describing import PROMPT
    from headimpact.annotation.records import read_caption

    prompt = config.describe_prompt or PROMPT
    identity = {"describer": config.describer, "revision": config.describer_revision, "prompt": prompt}
    parts = LineParts(
        config.out, CAPTIONS, _blocks(entries, config), identity={**identity, "max_new_tokens": config.max_new_tokens}
    )
    _fill(parts, entries, config, what="describe", make=partial(_describe, config=config, prompt=prompt))
    made = {image_id: read_caption(line) for image_id, line in parts.join().items()}
    changed = {
        image_id: {"captions": (clean_text(text),), "caption_origin": origin}
        for image_id, (text, origin) in made.items()
        if clean_text(text)
    }
    cut = sum(not origin.is_complete for _, origin in made.values())
    counts = {"captions made": len(changed), "captions cut at --max-new-tokens": cut}
    return MadeContent(_changed(content, changed), {}, _without_zeros(counts))


def add_masks(content: FolderContent, entries: Sequence[PictureEntry], config: BuildPicturesConfig) -> MadeContent:
    """Make masks of what the captions name.

    Args:
        content: All pictures.
        entries: Those to make masks for; each has a caption.
        config: Options of the command.

    Returns:
        All pictures; one in which nothing is found, or nothing found is key, stays without a mask.
    """
    identity = {
        name: getattr(config, name)
        for name in (
            "detector", "detector_revision", "segmenter", "segmenter_revision", "text_segmenter",
            "text_segmenter_revision", "box_threshold", "max_overlap", "min_mask_confidence", "threshold",
        )
    }  # fmt: skip
    captions = hash_texts(text for entry in entries for text in (entry.image_id, *entry.captions, ""))
    blocks = _blocks(entries, config)
    parts = LineParts(config.out, MASKS, blocks, identity={**identity, "captions": captions})
    _fill(parts, entries, config, what="make masks", make=partial(_mask, config=config))
    lines = parts.join()
    changed: dict[str, dict[str, Any]] = {}
    decisions: dict[str, PictureDecision] = {}
    for entry in entries:
        line = lines[entry.image_id]
        objects, decisions[entry.image_id] = _choose(entry, line, take_all=config.key_objects == "all")
        changed[entry.image_id] = {"objects": tuple(_object_entry(found, line["models"]) for found in objects)}
    left_out = Counter(
        f"phrases or boxes left out, {left['reason']}" for line in lines.values() for left in line["left_out"]
    )
    counts = {"masks made": sum(len(line["masks"]) for line in lines.values()), **dict(sorted(left_out.items()))}
    return MadeContent(_changed(content, changed), decisions, counts)


def _blocks(entries: Sequence[PictureEntry], config: BuildPicturesConfig) -> list[list[str]]:
    """Cut pictures into blocks, by id."""
    ids = [entry.image_id for entry in entries]
    return [ids[start : start + config.shard_size] for start in range(0, len(ids), config.shard_size)]


def _fill(
    parts: LineParts,
    entries: Sequence[PictureEntry],
    config: BuildPicturesConfig,
    *,
    what: str,
    make: Callable[[], Callable[[Sequence[PictureEntry]], list[Line]]],
) -> None:
    """Make the blocks that no earlier attempt wrote; models are loaded only if there are any."""
    missing = parts.missing()
    if not missing:
        return
    work = make()
    blocks = {index: entries[index * config.shard_size : (index + 1) * config.shard_size] for index in missing}
    finished = len(entries) - sum(map(len, blocks.values()))
    with tqdm(total=len(entries), initial=finished, desc=what, unit="picture", leave=False) as bar:
        for index, block in blocks.items():
            parts.write(index, work(block))
            bar.update(len(block))


def _describe(*, config: BuildPicturesConfig, prompt: str) -> Callable[[Sequence[PictureEntry]], list[Line]]:
    """Load the describer and give what describes a block."""
    from headimpact.annotation.describing import describe_pictures
    from headimpact.annotation.records import caption_record

    loaded = open_model(
        ModelOptions(
            model=str(config.describer), revision=config.describer_revision, device=config.device, dtype=config.dtype
        )
    )

    def work(block: Sequence[PictureEntry]) -> list[Line]:
        lines = []
        for batch in _batches(block, config.batch_size):
            images = [load_upright_rgb(entry.path) for entry in batch]
            made = describe_pictures(loaded, images, prompt=prompt, max_new_tokens=config.max_new_tokens)
            lines += [caption_record(entry.image_id, one) for entry, one in zip(batch, made, strict=True)]
        return lines

    return work


def _mask(*, config: BuildPicturesConfig) -> Callable[[Sequence[PictureEntry]], list[Line]]:
    """Load the models and give what makes the masks of a block."""
    from headimpact.annotation.records import masks_record

    masker, models = _load_masker(config)

    def work(block: Sequence[PictureEntry]) -> list[Line]:
        results: dict[str, list[PictureMasks]] = {entry.image_id: [] for entry in block}
        sizes: dict[str, tuple[int, int]] = {}
        asked = [(entry, caption) for entry in block for caption in entry.captions]
        for batch in _batches(asked, config.batch_size):
            images = [load_upright_rgb(entry.path) for entry, _ in batch]
            made = masker(images, [caption for _, caption in batch])
            for (entry, _), image, result in zip(batch, images, made, strict=True):
                sizes[entry.image_id] = image.height, image.width
                results[entry.image_id].append(_stored(result, entry.path))
        return [masks_record(name, sizes[name], found, models=models) for name, found in results.items()]

    return work


def _load_masker(config: BuildPicturesConfig) -> tuple[Masker, list[str]]:
    """Load the models that make masks; give what they do together, and their names."""
    from transformers.utils.logging import disable_progress_bar

    from headimpact.annotation.loading import load_detector, load_segmenter, load_text_segmenter
    from headimpact.annotation.masks_from_text import make_masks, make_masks_by_text

    disable_progress_bar()
    place = {"device": config.device, "dtype": config.dtype}
    if config.text_segmenter is not None:
        alone = load_text_segmenter(config.text_segmenter, revision=config.text_segmenter_revision, **place)
        names = [name_model(alone.name, alone.revision)]
        return partial(make_masks_by_text, segmenter=alone, threshold=config.threshold), names
    detector = load_detector(str(config.detector), revision=config.detector_revision, **place)
    segmenter = load_segmenter(str(config.segmenter), revision=config.segmenter_revision, **place)
    names = [name_model(loaded.name, loaded.revision) for loaded in (detector, segmenter)]
    masker = partial(
        make_masks,
        detector=detector,
        segmenter=segmenter,
        box_threshold=config.box_threshold,
        max_overlap=config.max_overlap,
        min_mask_confidence=config.min_mask_confidence,
    )
    return masker, names


def _stored(result: "PictureMasks", path: Path) -> "PictureMasks":
    """Turn masks of the upright picture back into the frame in which it is stored, where masks are kept."""
    orientation = read_picture_facts(path).orientation if result.masks else 1
    if orientation == 1:
        return result
    turned = [
        dataclasses.replace(made, mask=RleMask.from_mask(unturn_mask(made.mask.decode(), orientation)))
        for made in result.masks
    ]
    return dataclasses.replace(result, masks=tuple(turned))


def _choose(entry: PictureEntry, line: Line, *, take_all: bool) -> tuple[Sequence["MadeObject"], PictureDecision]:
    """Put a picture's masks together and choose the key ones."""
    from headimpact.annotation.key_masks import choose_key_masks, merge_masks
    from headimpact.annotation.records import read_masks

    objects = merge_masks(read_masks(line))
    size_hw = (line["size"][0], line["size"][1])
    key, decision = choose_key_masks(entry.image_id, size_hw, entry.captions, objects)
    return objects if take_all else key, decision


def _object_entry(found: "MadeObject", models: Sequence[str]) -> ObjectEntry:
    """List a made object as a key object."""
    made = found.mask
    origin = MaskOrigin(
        models=tuple(models),
        phrase=made.phrase.text,
        box=made.box,
        box_confidence=made.box_confidence,
        mask_confidence=made.mask_confidence,
    )
    return ObjectEntry(
        category=found.category,
        names=found.names,
        file=f"{MASKS}.jsonl",
        where=f"phrase {made.phrase.text!r}",
        read_mask=partial(_read_made, made.mask),
        is_key=True,
        origin=origin,
    )


def _read_made(mask: RleMask, frames: Frames) -> ReadMask:
    """Give a made mask if the picture still has its size."""
    refuse_other_frame(mask.size_hw, frames)
    return ReadMask(mask, mask.area)


def _changed(content: FolderContent, changes: Mapping[str, Mapping[str, Any]]) -> FolderContent:
    """Change some pictures of a folder."""
    entries = tuple(dataclasses.replace(entry, **changes.get(entry.image_id, {})) for entry in content.entries)
    return dataclasses.replace(content, entries=entries)


def _batches(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """Cut a list into batches."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def _without_zeros(counts: Mapping[str, int]) -> dict[str, int]:
    """Leave out what did not happen."""
    return {what: count for what, count in counts.items() if count}
