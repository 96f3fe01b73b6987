"""Make a data set from a folder of one's own pictures: read, checked, split, written in our own format."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from headimpact import __version__
from headimpact.annotation.checks import check_share
from headimpact.core.artifacts import atomic_file
from headimpact.core.errors import DataFormatError, OptionError
from headimpact.core.registry import unknown_name_message
from headimpact.data.annotations import ANNOTATION_FORMATS, read_pictures
from headimpact.data.annotations.key_rule import KeyRule
from headimpact.data.build.decisions import PictureDecision, decision_line
from headimpact.data.dataset import KeyObjectDataset
from headimpact.data.entries import FolderContent, PictureEntry
from headimpact.data.formats import check_content
from headimpact.data.formats.jsonl import METADATA_FILE
from headimpact.workflows.annotation import WORK, MadeContent, add_captions, add_masks
from headimpact.workflows.answers import print_answer
from headimpact.workflows.dataset import split_sizes
from headimpact.workflows.picture_configs import BuildPicturesConfig
from headimpact.workflows.publishing import publish, with_splits
from headimpact.workflows.run_folder import find_run, started_run

KEY_OBJECTS = ("rule", "largest", "all")
DECISIONS_FILE = "decisions.jsonl"


def build_pictures_command(config: BuildPicturesConfig) -> None:
    """Read a folder of pictures, make a data set of it, and say what came out.

    Raises:
        HeadImpactError: If an input is wrong; nothing is written then.
    """
    check_options(config)
    if find_run(config, done_file=METADATA_FILE):
        print_answer([f"finished already: {config.out}"], {"out": str(config.out)}, as_json=config.json)
        return
    content = read_own_pictures(config)
    dataset, decisions = check_pictures(content, config)
    to_describe, to_mask = find_gaps(content, dataset, config)
    if config.dry_run:
        print_plan(dataset, config, to_describe=len(to_describe), to_mask=len(to_mask))
        return
    if not to_describe and not to_mask:
        refuse_nothing(dataset, config)
    with started_run(config, work=WORK):
        made = fill_gaps(content, config, to_describe=to_describe, to_mask=to_mask)
        if made.content is not content:
            dataset, decisions = check_pictures(made.content, config, decided=made.decisions)
            refuse_nothing(dataset, config)
        dataset = dataclasses.replace(with_splits(dataset, seed=config.seed), info=_info(dataset, config))
        write_decisions(config.out / DECISIONS_FILE, decisions)
        publish(config.out, dataset, command="dataset build pictures")
    print_built(dataset, made.counts, config)


def check_options(config: BuildPicturesConfig) -> None:
    """Refuse options that cannot be carried out, before anything is read.

    Raises:
        OptionError: If a word is unknown, or one of `out` and `images` lies in the other.
        UnknownNameError: If the format of the masks is in no table.
    """
    if config.masks_format != "auto":
        ANNOTATION_FORMATS[config.masks_format]
    if config.key_objects not in KEY_OBJECTS:
        raise OptionError(unknown_name_message("choice of key objects", config.key_objects, KEY_OBJECTS))
    check_models(config)
    out, images = config.out.resolve(), config.images.resolve()
    if out.is_relative_to(images) or images.is_relative_to(out):
        raise OptionError(
            f"--out {config.out} and --images {config.images}: one lies in the other. Choose another --out."
        )


def check_models(config: BuildPicturesConfig) -> None:
    """Refuse models that do not go together and numbers out of range.

    Raises:
        OptionError: If one of two is missing or both ways are taken, or a number is out of range.
    """
    if (config.detector is None) != (config.segmenter is None):
        given, missing = ("detector", "segmenter") if config.detector else ("segmenter", "detector")
        raise OptionError(f"--{given} without --{missing}: masks need both; or pass --text-segmenter alone.")
    if config.detector is not None and config.text_segmenter is not None:
        raise OptionError("--text-segmenter beside --detector and --segmenter: pass one way of making masks.")
    for name in ("box_threshold", "max_overlap", "min_mask_confidence", "threshold"):
        check_share(name.replace("_", "-"), getattr(config, name))
    for name in ("batch_size", "shard_size", "max_new_tokens"):
        if getattr(config, name) < 1:
            raise OptionError(f"--{name.replace('_', '-')} is {getattr(config, name)}; expected 1 or more.")
    if config.describe_prompt is not None and not config.describe_prompt.strip():
        raise OptionError(f"--describe-prompt is {config.describe_prompt!r}; expected what the model is to be asked.")


def find_gaps(
    content: FolderContent, dataset: KeyObjectDataset, config: BuildPicturesConfig
) -> tuple[list[PictureEntry], list[PictureEntry]]:
    """Find the pictures that models are to describe, and those that they are to make masks for.

    A picture that is to be described is counted among the latter too: it will have a caption.
    """
    bad = set(dataset.skipped_ids.get("bad_picture", ()))
    entries = [entry for entry in content.entries if entry.image_id not in bad]
    silent = [entry for entry in entries if not entry.captions] if config.describer is not None else []
    spoken = {entry.image_id for entry in (*silent, *(entry for entry in entries if entry.captions))}
    makes_masks = config.detector is not None or config.text_segmenter is not None
    bare = [entry for entry in entries if not entry.objects and entry.image_id in spoken] if makes_masks else []
    return silent, bare


def fill_gaps(
    content: FolderContent,
    config: BuildPicturesConfig,
    *,
    to_describe: Sequence[PictureEntry],
    to_mask: Sequence[PictureEntry],
) -> MadeContent:
    """Let models make what is missing: captions first, then masks of what the captions name."""
    made = MadeContent(content, {}, {})
    if to_describe:
        made = add_captions(content, to_describe, config)
    if to_mask:
        wanted = {entry.image_id for entry in to_mask}
        spoken = [entry for entry in made.content.entries if entry.image_id in wanted and entry.captions]
        masked = add_masks(made.content, spoken, config)
        made = MadeContent(masked.content, masked.decisions, {**made.counts, **masked.counts})
    return made


def with_reasons(dataset: KeyObjectDataset, decisions: Mapping[str, PictureDecision]) -> KeyObjectDataset:
    """Say of pictures without a key object why none of their objects is one."""
    skips = [
        dataclasses.replace(skip, reason=decisions[skip.image_id].reason)
        if skip.reason == "no_annotation" and skip.image_id in decisions
        else skip
        for skip in dataset.skips
    ]
    return dataclasses.replace(dataset, skips=tuple(skips))


def read_own_pictures(config: BuildPicturesConfig) -> FolderContent:
    """Read all lists, no picture yet; `--key-objects all` marks every object."""
    content = read_pictures(
        config.images,
        captions=config.captions,
        masks=config.masks,
        masks_format=config.masks_format,
        category=config.category,
    )
    if config.key_objects != "all":
        return content
    entries = [
        dataclasses.replace(entry, objects=tuple(dataclasses.replace(one, is_key=True) for one in entry.objects))
        for entry in content.entries
    ]
    return dataclasses.replace(content, entries=tuple(entries))


def check_pictures(
    content: FolderContent, config: BuildPicturesConfig, *, decided: Mapping[str, PictureDecision] | None = None
) -> tuple[KeyObjectDataset, dict[str, PictureDecision]]:
    """Open every picture and mask, with a progress bar, and choose the key objects.

    Args:
        content: All pictures.
        config: Options of the command.
        decided: Decisions about made masks, by id.

    Returns:
        The data set, and what was decided about pictures with several objects, by id.

    Raises:
        DataFormatError: If there are faults; all are listed.
    """
    rule = KeyRule(content) if config.key_objects == "rule" else None
    with tqdm(desc="check pictures", unit="picture", leave=False, delay=1.0) as bar:

        def advance(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        dataset = check_content(config.images, content, skip_bad=config.skip_bad, progress=advance, choose=rule)
    found = {**(decided or {}), **(rule.decisions if rule else {})}
    decisions = {entry.image_id: found[entry.image_id] for entry in content.entries if entry.image_id in found}
    return with_reasons(dataset, decisions), decisions


def _info(dataset: KeyObjectDataset, config: BuildPicturesConfig) -> dict[str, Any]:
    """Give what the data set says of itself."""
    return {
        **dataset.info,
        "made_by": f"headimpact {__version__}, dataset build pictures",
        "key_objects": config.key_objects,
        "seed": config.seed,
    }


def refuse_nothing(dataset: KeyObjectDataset, config: BuildPicturesConfig) -> None:
    """Refuse a data set without a picture.

    Raises:
        DataFormatError: If none is left.
    """
    if not len(dataset):
        reasons = ", ".join(f"{count} {reason}" for reason, count in dataset.skipped.items())
        raise DataFormatError(
            f"No picture left of {config.images}: {reasons}. A picture needs a caption (--captions, or --describer for "
            "a model's) and a mask (--masks, or --detector and --segmenter)."
        )


def write_decisions(path: Path, decisions: Mapping[str, PictureDecision]) -> None:
    """Write what became of the objects of each picture where there was something to decide."""
    if decisions:
        with atomic_file(path) as temporary:
            lines = "".join(f"{decision_line(decision)}\n" for decision in decisions.values())
            temporary.write_text(lines, encoding="utf-8")


def print_plan(dataset: KeyObjectDataset, config: BuildPicturesConfig, *, to_describe: int, to_mask: int) -> None:
    """Say what a run would do."""
    print_answer(
        [
            "dry run, nothing was written",
            f"pictures that have all: {len(dataset)}",
            *(f"left out, {reason}: {count}" for reason, count in dataset.skipped.items()),
            *([f"to describe: {to_describe}"] if to_describe else []),
            *([f"to make masks for: {to_mask}"] if to_mask else []),
        ],
        {"pictures": len(dataset), "left_out": dataset.skipped, "to_describe": to_describe, "to_mask": to_mask},
        as_json=config.json,
    )


def print_built(dataset: KeyObjectDataset, made: Mapping[str, int], config: BuildPicturesConfig) -> None:
    """Say what came out."""
    splits, categories = split_sizes(dataset), Counter(one.category for s in dataset for one in s.key_objects)
    answer: dict[str, Any] = {
        "out": str(config.out),
        "pictures": len(dataset),
        "splits": splits,
        "categories": dict(categories.most_common()),
        "left_out": dataset.skipped,
        "made": dict(made),
    }
    print_answer(
        [
            f"wrote {len(dataset)} pictures to {config.out}",
            *(f"  split {name}: {count}" for name, count in splits.items()),
            f"  key objects: {', '.join(f'{count} {name}' for name, count in categories.most_common(8))}",
            *(f"  left out, {reason}: {count}" for reason, count in dataset.skipped.items()),
            *(f"  {what}: {count}" for what, count in made.items()),
        ],
        answer,
        as_json=config.json,
    )
