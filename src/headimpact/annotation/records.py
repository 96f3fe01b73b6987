"""What models made, as lines of JSON: written while they work, read when the data set is put together."""

from collections.abc import Mapping, Sequence
from typing import Any

from headimpact.annotation.boxes import SizeHW
from headimpact.annotation.describing import MadeDescription
from headimpact.annotation.masks_from_text import MadeMask, PictureMasks
from headimpact.annotation.phrases import Phrase
from headimpact.core.errors import DataFormatError
from headimpact.data.masks import RleMask
from headimpact.data.origins import CaptionOrigin, name_model

Record = Mapping[str, Any]


def masks_record(
    image_id: str, size_hw: SizeHW, results: Sequence[PictureMasks], *, models: Sequence[str]
) -> dict[str, Any]:
    """Write what the captions of a picture gave.

    Args:
        image_id: The picture.
        size_hw: Its height and width, upright; boxes are in this frame.
        results: One for each caption, masks in the frame in which the picture is stored.
        models: Names of the models, with revisions.
    """
    return {
        "image_id": image_id,
        "size": list(size_hw),
        "models": list(models),
        "masks": [
            {
                "caption": number,
                "phrase": [made.phrase.text, made.phrase.start, made.phrase.end],
                "box": list(made.box),
                "box_confidence": made.box_confidence,
                "mask_confidence": made.mask_confidence,
                "size": list(made.mask.size_hw),
                "counts": made.mask.counts.decode("ascii"),
            }
            for number, result in enumerate(results)
            for made in result.masks
        ],
        "left_out": [
            {"caption": number, "reason": left.reason, "phrase": None if left.phrase is None else left.phrase.text}
            for number, result in enumerate(results)
            for left in result.left_out
        ],
    }


def read_masks(record: Record) -> tuple[MadeMask, ...]:
    """Read the masks of a line again.

    Raises:
        DataFormatError: If the line is not as `masks_record` writes it.
    """
    try:
        return tuple(
            MadeMask(
                phrase=Phrase(*made["phrase"]),
                box=tuple(made["box"]),
                box_confidence=made["box_confidence"],
                mask_confidence=made["mask_confidence"],
                mask=RleMask(tuple(made["size"]), made["counts"].encode("ascii")),
            )
            for made in record["masks"]
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DataFormatError(_broken(record, error)) from error


def caption_record(image_id: str, made: MadeDescription) -> dict[str, Any]:
    """Write a description of a picture."""
    return {
        "image_id": image_id,
        "caption": made.text,
        "is_complete": made.is_complete,
        "model": name_model(made.model, made.revision),
        "prompt": made.prompt,
    }


def read_caption(record: Record) -> tuple[str, CaptionOrigin]:
    """Read a description again.

    Returns:
        The caption, and how it was made.

    Raises:
        DataFormatError: If the line is not as `caption_record` writes it.
    """
    try:
        origin = {name: record[name] for name in ("model", "prompt", "is_complete")}
        return str(record["caption"]), CaptionOrigin.from_record(origin)
    except (KeyError, TypeError) as error:
        raise DataFormatError(_broken(record, error)) from error


def _broken(record: Record, error: Exception) -> str:
    """Say that a line is none of ours."""
    return f"Broken line: {str(record)[:60]}... ({error!r}). Run again with --overwrite."
