"""From captions to masks: phrases, boxes and masks for one batch of pictures.

In: pictures, each with a caption. Out: for each picture its `MadeMask`s and what was left out and why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PIL.Image import Image

from headimpact.annotation.annotators import LoadedDetector, LoadedSegmenter, LoadedTextSegmenter
from headimpact.annotation.boxes import Box
from headimpact.annotation.checks import check_rows, check_share
from headimpact.annotation.detection import BOX_THRESHOLD, MAX_OVERLAP, detect_phrases
from headimpact.annotation.phrases import Phrase, find_phrases
from headimpact.annotation.segmentation import INSTANCE_THRESHOLD, segment_boxes, segment_phrases
from headimpact.core.shapes import ObjectMask
from headimpact.data.masks import RleMask

MIN_MASK_CONFIDENCE = 0.5
"""Least confidence of a mask: as many of its pixels right as wrong or missing. SAM 2's own mask generator takes 0.8."""

Reason = Literal["no_phrase", "not_found", "low_mask_confidence", "empty_mask"]
"""Why something was left out: the caption names nothing; no box of the phrase reaches the threshold; the mask of a box
is below its threshold, or has no pixel."""


@dataclass(frozen=True)
class MadeMask:
    """A mask that models made from a caption.

    Attributes:
        phrase: The words of the caption that were looked for.
        box: Corners (x0, y0, x1, y1) in pixels of the picture.
        box_confidence: The detector's, in [0, 1].
        mask_confidence: The segmenter's, in [0, 1]; None where one model gives one number for box and mask together.
        mask: The mask in the picture's size.
    """

    phrase: Phrase
    box: Box
    box_confidence: float
    mask_confidence: float | None
    mask: RleMask


@dataclass(frozen=True)
class LeftOut:
    """Something that came to nothing.

    Attributes:
        reason: Why.
        phrase: The phrase that it was about; None where the caption has none.
    """

    reason: Reason
    phrase: Phrase | None = None


@dataclass(frozen=True)
class PictureMasks:
    """What a caption gave in its picture.

    Attributes:
        masks: In the order of the phrases, the most confident box of a phrase first.
        left_out: Phrases without a box, and boxes without a sound mask.
    """

    masks: tuple[MadeMask, ...]
    left_out: tuple[LeftOut, ...]


def make_masks(
    images: Sequence[Image],
    captions: Sequence[str],
    *,
    detector: LoadedDetector,
    segmenter: LoadedSegmenter,
    box_threshold: float = BOX_THRESHOLD,
    max_overlap: float = MAX_OVERLAP,
    min_mask_confidence: float = MIN_MASK_CONFIDENCE,
) -> list[PictureMasks]:
    """Make masks of what captions name, by a detector and a segmenter.

    A picture with several captions is passed once for each: phrases of different captions may name one object, and
    would take each other's boxes if they were asked together.

    Args:
        images: Upright RGB pictures, one batch; what fits the device's memory.
        captions: A caption for each.
        detector: Finds boxes.
        segmenter: Finds the mask in a box.
        box_threshold: Least confidence of a box, in [0, 1].
        max_overlap: Overlap in [0, 1] above which two boxes of one phrase count as the same.
        min_mask_confidence: Least confidence of a mask, in [0, 1].

    Returns:
        For each picture its masks and what was left out. It does not depend on the other pictures of the batch, up
        to rounding.

    Raises:
        OptionError: If a threshold is outside [0, 1].
        DataFormatError: If there are more or fewer captions than pictures.
        RunFailedError: If a model's numbers overflow.
    """
    check_share("min-mask-confidence", min_mask_confidence)
    check_rows(images, captions, "captions")
    phrases = [find_phrases(caption) for caption in captions]
    boxes = detect_phrases(
        detector,
        images,
        [[phrase.text for phrase in of_picture] for of_picture in phrases],
        box_threshold=box_threshold,
        max_overlap=max_overlap,
    )
    masks = segment_boxes(segmenter, images, [[found.box for found in of_picture] for of_picture in boxes])
    results = []
    for row, of_picture in enumerate(phrases):
        collected = _Collected(of_picture, min_mask_confidence)
        for found, made in zip(boxes[row], masks[row], strict=True):
            collected.add(found.phrase_index, found.box, found.confidence, made.confidence, made.mask)
        results.append(collected.result())
    return results


def make_masks_by_text(
    images: Sequence[Image],
    captions: Sequence[str],
    *,
    segmenter: LoadedTextSegmenter,
    threshold: float = INSTANCE_THRESHOLD,
) -> list[PictureMasks]:
    """Make masks of what captions name, by one model that takes text.

    Args:
        images: Upright RGB pictures.
        captions: A caption for each.
        segmenter: Finds boxes and masks of a phrase.
        threshold: Least confidence of an object, in [0, 1].

    Returns:
        For each picture its masks and what was left out.

    Raises:
        OptionError: If the threshold is outside [0, 1].
        DataFormatError: If there are more or fewer captions than pictures.
        RunFailedError: If the model's numbers overflow.
    """
    check_rows(images, captions, "captions")
    phrases = [find_phrases(caption) for caption in captions]
    texts = [[phrase.text for phrase in of_picture] for of_picture in phrases]
    objects = segment_phrases(segmenter, images, texts, threshold=threshold)
    results = []
    for of_picture, found in zip(phrases, objects, strict=True):
        collected = _Collected(of_picture, 0.0)
        for each in found:
            collected.add(each.phrase_index, each.box, each.confidence, None, each.mask)
        results.append(collected.result())
    return results


class _Collected:
    """Gathers the masks of one caption, and what is left out."""

    def __init__(self, phrases: Sequence[Phrase], min_mask_confidence: float) -> None:
        """Begin with nothing found."""
        self._phrases = phrases
        self._min_mask_confidence = min_mask_confidence
        self._masks: list[MadeMask] = []
        self._left_out: list[LeftOut] = []
        self._found: set[int] = set()

    def add(
        self, phrase_index: int, box: Box, box_confidence: float, mask_confidence: float | None, mask: ObjectMask
    ) -> None:
        """Take a box with its mask, or leave it out."""
        phrase = self._phrases[phrase_index]
        self._found.add(phrase_index)
        if mask_confidence is not None and mask_confidence < self._min_mask_confidence:
            self._left_out.append(LeftOut("low_mask_confidence", phrase))
        elif not mask.any():
            self._left_out.append(LeftOut("empty_mask", phrase))
        else:
            self._masks.append(MadeMask(phrase, box, box_confidence, mask_confidence, RleMask.from_mask(mask)))

    def result(self) -> PictureMasks:
        """Give what was gathered, adding phrases for which there was no box."""
        missing = [LeftOut("not_found", phrase) for i, phrase in enumerate(self._phrases) if i not in self._found]
        if not self._phrases:
            missing.append(LeftOut("no_phrase"))
        return PictureMasks(tuple(self._masks), (*self._left_out, *missing))
