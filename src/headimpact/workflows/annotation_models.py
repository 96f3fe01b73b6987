"""The models that the making of captions and masks loads, and what they do to a block of pictures."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from PIL.Image import Image
from transformers.utils.logging import disable_progress_bar

from headimpact.annotation.describing import describe_pictures
from headimpact.annotation.loading import load_detector, load_segmenter, load_text_segmenter
from headimpact.annotation.masks_from_text import PictureMasks, make_masks, make_masks_by_text
from headimpact.annotation.records import caption_record, masks_record
from headimpact.data.entries import PictureEntry
from headimpact.data.masks import RleMask, SizeHW
from headimpact.data.origins import name_model
from headimpact.data.pictures import load_upright_rgb, read_picture_facts, unturn_mask
from headimpact.models.batching import BatchSize, run_in_batches
from headimpact.models.placement import resolve_device
from headimpact.workflows.configs import ModelOptions
from headimpact.workflows.line_parts import Line
from headimpact.workflows.opening import open_model
from headimpact.workflows.picture_configs import BuildPicturesConfig

Asked = tuple[PictureEntry, str]
"""A picture with one of its captions."""

Masker = Callable[[Sequence[Image], Sequence[str]], list[PictureMasks]]
"""From pictures and a caption for each to what was found."""


def load_describer(config: BuildPicturesConfig, *, prompt: str) -> Callable[[Sequence[PictureEntry]], list[Line]]:
    """Load the model that describes pictures.

    Args:
        config: Options of the command.
        prompt: What it is asked.

    Returns:
        From the pictures of a block to their lines.

    Raises:
        HeadImpactError: If the model cannot be loaded; the message says why.
    """
    loaded = open_model(
        ModelOptions(
            model=str(config.describer), revision=config.describer_revision, device=config.device, dtype=config.dtype
        )
    )
    describe = partial(describe_pictures, loaded, prompt=prompt, max_new_tokens=config.max_new_tokens)
    size = BatchSize(config.batch_size)
    overlap = _has_own_device(config)

    def load(batch: Sequence[PictureEntry]) -> list[Image]:
        return [load_upright_rgb(entry.path) for entry in batch]

    def work(block: Sequence[PictureEntry]) -> list[Line]:
        made = run_in_batches(block, prepare=load, run=describe, size=size, overlap=overlap)
        return [caption_record(entry.image_id, one) for entry, one in zip(block, made, strict=True)]

    return work


def load_masker(config: BuildPicturesConfig) -> Callable[[Sequence[PictureEntry]], list[Line]]:
    """Load the models that make masks.

    Args:
        config: Options of the command.

    Returns:
        From the pictures of a block, each with a caption, to their lines.

    Raises:
        HeadImpactError: If a model cannot be loaded; the message says why.
    """
    masker, models = _load_mask_models(config)
    size = BatchSize(config.batch_size)
    overlap = _has_own_device(config)

    def load(batch: Sequence[Asked]) -> list[tuple[Asked, Image]]:
        return [((entry, caption), load_upright_rgb(entry.path)) for entry, caption in batch]

    def make(batch: Sequence[tuple[Asked, Image]]) -> list[tuple[SizeHW, PictureMasks]]:
        made = masker([image for _, image in batch], [caption for (_, caption), _ in batch])
        return [
            ((image.height, image.width), _stored(result, entry.path))
            for ((entry, _), image), result in zip(batch, made, strict=True)
        ]

    def work(block: Sequence[PictureEntry]) -> list[Line]:
        asked = [(entry, caption) for entry in block for caption in entry.captions]
        found = iter(run_in_batches(asked, prepare=load, run=make, size=size, overlap=overlap))
        lines = []
        for entry in block:
            of_picture = [next(found) for _ in entry.captions]
            results = [result for _, result in of_picture]
            lines.append(masks_record(entry.image_id, of_picture[0][0], results, models=models))
        return lines

    return work


def _has_own_device(config: BuildPicturesConfig) -> bool:
    """Tell whether models run elsewhere than on the processor, so that pictures can be loaded meanwhile."""
    return resolve_device(config.device).type != "cpu"


def _load_mask_models(config: BuildPicturesConfig) -> tuple[Masker, list[str]]:
    """Load the models that make masks; give what they do together, and their names."""
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


def _stored(result: PictureMasks, path: Path) -> PictureMasks:
    """Turn masks of the upright picture back into the frame in which it is stored, where masks are kept."""
    orientation = read_picture_facts(path).orientation if result.masks else 1
    if orientation == 1:
        return result
    turned = [
        dataclasses.replace(made, mask=RleMask.from_mask(unturn_mask(made.mask.decode(), orientation)))
        for made in result.masks
    ]
    return dataclasses.replace(result, masks=tuple(turned))
