"""What models add to one's own pictures: captions where there are none, masks where there are none.

In: the pictures as listed. Out: the same pictures with what was made, marked as made. The work is done in blocks that
a stopped run does not lose.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from headimpact.core.provenance import hash_texts
from headimpact.data.build.decisions import PictureDecision
from headimpact.data.entries import FolderContent, Frames, ObjectEntry, PictureEntry, ReadMask
from headimpact.data.masks import RleMask, refuse_other_frame
from headimpact.data.origins import MaskOrigin
from headimpact.data.texts import clean_text
from headimpact.workflows.line_parts import Line, LineParts
from headimpact.workflows.picture_configs import BuildPicturesConfig

if TYPE_CHECKING:
    from headimpact.annotation.key_masks import MadeObject

CAPTIONS, MASKS = "made_captions", "made_masks"
WORK = (f"{CAPTIONS}/part-*", f"{MASKS}/part-*", f"{CAPTIONS}.jsonl", f"{MASKS}.jsonl")
"""Files of a run that are worth keeping when it fails."""


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
    from headimpact.workflows.annotation_models import load_describer

    prompt = config.describe_prompt or PROMPT
    identity = {"describer": config.describer, "revision": config.describer_revision, "prompt": prompt}
    parts = LineParts(
        config.out, CAPTIONS, _blocks(entries, config), identity={**identity, "max_new_tokens": config.max_new_tokens}
    )
    _fill(parts, entries, config, what="describe", make=partial(load_describer, config, prompt=prompt))
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
    from headimpact.workflows.annotation_models import load_masker

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
    _fill(parts, entries, config, what="make masks", make=partial(load_masker, config))
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


def _without_zeros(counts: Mapping[str, int]) -> dict[str, int]:
    """Leave out what did not happen."""
    return {what: count for what, count in counts.items() if count}
