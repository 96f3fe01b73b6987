"""Masks: of what is in a box, with SAM 2, or of what a phrase says, with SAM 3.

In: pictures with boxes or phrases. Out: bool masks of the pictures' sizes with the model's confidence in each.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from PIL.Image import Image
from torch.nn import functional

from headimpact.annotation.annotators import LoadedSegmenter, LoadedTextSegmenter
from headimpact.annotation.boxes import Box, SizeHW, box_areas, clip_boxes, order_boxes, plain_box
from headimpact.annotation.checks import check_rows, check_share, refuse_nan
from headimpact.core.errors import DataFormatError, OptionError
from headimpact.core.shapes import ObjectMask

BOXES_AT_ONCE = 32
"""Boxes of one picture that go through SAM 2's decoder together."""

INSTANCE_THRESHOLD = 0.5
"""Least confidence of an object that SAM 3 finds; the value of its makers' example."""

MASK_PROBABILITY = 0.5
"""Probability above which a pixel belongs to the mask."""


@dataclass(frozen=True, eq=False)
class BoxMask:
    """The mask of what is in a box.

    Attributes:
        mask: Bool, in the picture's size.
        confidence: In [0, 1]: the overlap with the true mask that the model expects.
    """

    mask: ObjectMask
    confidence: float


@dataclass(frozen=True, eq=False)
class PhraseMask:
    """One object that a phrase stands for.

    Attributes:
        phrase_index: Which of the picture's phrases it is.
        box: Corners (x0, y0, x1, y1) in pixels of the picture, within it.
        confidence: In [0, 1], for box and mask together.
        mask: Bool, in the picture's size.
    """

    phrase_index: int
    box: Box
    confidence: float
    mask: ObjectMask


def segment_boxes(
    segmenter: LoadedSegmenter,
    images: Sequence[Image],
    boxes: Sequence[Sequence[Box]],
    *,
    boxes_at_once: int = BOXES_AT_ONCE,
) -> list[tuple[BoxMask, ...]]:
    """Find the mask of what is in each box.

    The pictures are encoded together; their boxes go through the decoder picture by picture, since they differ in
    number. One mask is taken for each box: the model's single one, or where that is unstable the best of its three.

    Args:
        segmenter: The model.
        images: Upright RGB pictures, one batch; what fits the device's memory.
        boxes: For each picture boxes (x0, y0, x1, y1) in its pixels; may be empty.
        boxes_at_once: Boxes of a picture that are decoded together, at least 1.

    Returns:
        For each picture one mask for each box, in the order of the boxes.

    Raises:
        OptionError: If `boxes_at_once` is below 1.
        DataFormatError: If rows differ in number, or a box has no area within its picture.
        RunFailedError: If the model's numbers overflow.
    """
    if boxes_at_once < 1:
        raise OptionError(f"--boxes-at-once is {boxes_at_once}; expected 1 or more.")
    check_rows(images, boxes, "lists of boxes")
    rows = [row for row, of_picture in enumerate(boxes) if len(of_picture)]
    clipped = {row: _clipped(boxes[row], images[row]) for row in rows}
    found: list[tuple[BoxMask, ...]] = [() for _ in images]
    if not rows:
        return found
    with torch.inference_mode():
        pixels = segmenter.processor.prepare_pictures([images[row] for row in rows])
        embeddings = segmenter.model.get_image_embeddings(pixels.to(segmenter.device, dtype=segmenter.dtype))
        for place, row in enumerate(rows):
            embedding = [level[place : place + 1] for level in embeddings]
            size_hw = (images[row].height, images[row].width)
            found[row] = tuple(_decode(segmenter, embedding, clipped[row], size_hw, boxes_at_once))
    return found


def segment_phrases(
    segmenter: LoadedTextSegmenter,
    images: Sequence[Image],
    phrases: Sequence[Sequence[str]],
    *,
    threshold: float = INSTANCE_THRESHOLD,
) -> list[tuple[PhraseMask, ...]]:
    """Find boxes and masks of each picture's phrases, without a detector.

    Each picture is encoded once; its phrases are asked one by one.

    Args:
        segmenter: The model.
        images: Upright RGB pictures.
        phrases: For each picture what to look for; may be empty.
        threshold: Least confidence of an object, in [0, 1].

    Returns:
        For each picture its objects, in the order of the phrases, the most confident first.

    Raises:
        OptionError: If the threshold is outside [0, 1].
        DataFormatError: If rows differ in number, or a phrase is empty or longer than the model reads.
        RunFailedError: If the model's numbers overflow.
    """
    check_share("threshold", threshold)
    check_rows(images, phrases, "lists of phrases")
    encoded = [[_encode_phrase(segmenter, text) for text in texts] for texts in phrases]
    return [
        _ask(segmenter, image, texts, threshold) if texts else () for image, texts in zip(images, encoded, strict=True)
    ]


def mask_from_logits(logits: Float[torch.Tensor, "rows columns"], size_hw: SizeHW, *, threshold: float) -> ObjectMask:
    """Scale a map to the picture's size and cut it at a threshold.

    Args:
        logits: The model's map over the whole picture, on its own grid.
        size_hw: Height and width of the picture in pixels.
        threshold: Value above which a pixel belongs to the mask.

    Returns:
        Bool mask in the picture's size.

    Source: transformers, `Sam2ImageProcessor.post_process_masks` and `Sam3ImageProcessor`: bilinear, corners not
    aligned.
    """
    scaled = functional.interpolate(logits[None, None].float(), size=size_hw, mode="bilinear", align_corners=False)
    mask: np.ndarray = (scaled[0, 0] > threshold).cpu().numpy()
    return mask


def objects_from_outputs(
    logits: Float[torch.Tensor, " queries"],
    presence: Float[torch.Tensor, " 1"] | None,
    corners: Float[torch.Tensor, "queries 4"],
    maps: Float[torch.Tensor, "queries rows columns"],
    size_hw: SizeHW,
    *,
    threshold: float,
) -> list[tuple[Box, float, ObjectMask]]:
    """Turn SAM 3's outputs for one picture and phrase into objects.

    Args:
        logits: How well each query fits the phrase.
        presence: Whether the phrase is in the picture at all, as a logit; None where the model does not say.
        corners: Boxes (x0, y0, x1, y1) in shares of the picture.
        maps: Each query's map over the picture, as logits.
        size_hw: Height and width of the picture in pixels.
        threshold: Least confidence, in [0, 1].

    Returns:
        Box in pixels within the picture, confidence and mask of each object, the most confident first. The
        confidence is the query's probability times the phrase's presence.

    Raises:
        RunFailedError: If the model's numbers overflow.

    Source: transformers, `Sam3ImageProcessor.post_process_instance_segmentation`.
    """
    confidences = logits.detach().float().sigmoid()
    if presence is not None:
        confidences = confidences * presence.detach().float().sigmoid()
    scores = confidences.cpu().numpy()
    refuse_nan(scores, "the segmenter")
    height, width = size_hw
    scale = np.array([width, height, width, height], dtype=np.float32)
    boxes = clip_boxes(corners.detach().float().cpu().numpy() * scale, size_hw)
    kept = np.flatnonzero((scores >= threshold) & (box_areas(boxes) > 0))
    kept = kept[order_boxes(boxes[kept], scores[kept])]
    return [
        (
            plain_box(boxes[query]),
            float(scores[query]),
            mask_from_logits(maps[query].float().sigmoid(), size_hw, threshold=MASK_PROBABILITY),
        )
        for query in kept.tolist()
    ]


def _clipped(boxes: Sequence[Box], image: Image) -> Float[np.ndarray, "boxes 4"]:
    """Cut boxes at the picture's edges.

    Raises:
        DataFormatError: If one has no area within the picture.
    """
    clipped = clip_boxes(np.array(boxes, dtype=np.float64).reshape(-1, 4), (image.height, image.width))
    empty = np.flatnonzero(~(box_areas(clipped) > 0))
    if len(empty):
        raise DataFormatError(
            f"Box without area in its picture: {tuple(boxes[int(empty[0])])}, the picture is {image.height} x "
            f"{image.width} (height x width). Expected (x0, y0, x1, y1) in pixels with x0 < x1 and y0 < y1."
        )
    return clipped


def _decode(
    segmenter: LoadedSegmenter,
    embedding: list[torch.Tensor],
    boxes: Float[np.ndarray, "boxes 4"],
    size_hw: SizeHW,
    boxes_at_once: int,
) -> Iterator[BoxMask]:
    """Run the decoder over the boxes of one picture.

    Yields:
        The mask of each box.
    """
    for start in range(0, len(boxes), boxes_at_once):
        prompts = segmenter.processor.prepare_boxes(boxes[start : start + boxes_at_once], size_hw)
        outputs = segmenter.model(
            image_embeddings=embedding, input_boxes=prompts.to(segmenter.device), multimask_output=False
        )
        refuse_nan(outputs.iou_scores.float().cpu().numpy(), "the segmenter")
        for logits, confidence in zip(outputs.pred_masks[0, :, 0], outputs.iou_scores[0, :, 0], strict=True):
            yield BoxMask(mask_from_logits(logits, size_hw, threshold=0.0), min(max(float(confidence), 0.0), 1.0))


def _encode_phrase(segmenter: LoadedTextSegmenter, phrase: str) -> dict[str, torch.Tensor]:
    """Tokenise one phrase.

    Raises:
        DataFormatError: If it is empty or longer than the model reads.
    """
    if not phrase.strip():
        raise DataFormatError(f"Cannot look for {phrase!r}: expected words. Leave it out.")
    inputs = segmenter.processor(text=phrase, return_tensors="pt")
    limit = int(segmenter.model.config.text_config.max_position_embeddings)
    if inputs["input_ids"].shape[1] > limit:
        raise DataFormatError(
            f"Phrase too long: {phrase[:60]!r}... has {inputs['input_ids'].shape[1]} tokens, the model reads {limit}. "
            "Shorten it."
        )
    return {name: inputs[name].to(segmenter.device) for name in ("input_ids", "attention_mask")}


def _ask(
    segmenter: LoadedTextSegmenter, image: Image, phrases: Sequence[dict[str, torch.Tensor]], threshold: float
) -> tuple[PhraseMask, ...]:
    """Encode one picture and ask for each of its phrases."""
    size_hw = (image.height, image.width)
    found: list[PhraseMask] = []
    with torch.inference_mode():
        pixels = segmenter.processor(images=image, return_tensors="pt")["pixel_values"]
        vision = segmenter.model.get_vision_features(pixels.to(segmenter.device, dtype=segmenter.dtype))
        for index, phrase in enumerate(phrases):
            outputs = segmenter.model(vision_embeds=vision, **phrase)
            presence = None if outputs.presence_logits is None else outputs.presence_logits[0]
            objects = objects_from_outputs(
                outputs.pred_logits[0],
                presence,
                outputs.pred_boxes[0],
                outputs.pred_masks[0],
                size_hw,
                threshold=threshold,
            )
            found += [PhraseMask(index, *found_object) for found_object in objects]
    return tuple(found)
