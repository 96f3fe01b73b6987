"""Boxes for phrases: open-vocabulary detection with Grounding DINO.

In: pictures, each with its phrases. Out: for each picture, boxes with the phrase and a confidence.

transformers' own `post_process_grounded_object_detection` gives the words whose tokens fired, which may be a part of a
phrase, parts of two, or none. Here every box is given to one of the phrases that were asked for; boxes, scale and the
meaning of the confidence are the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL.Image import Image

from headimpact.annotation.annotators import LoadedDetector
from headimpact.annotation.boxes import (
    Box,
    SizeHW,
    box_areas,
    clip_boxes,
    order_boxes,
    plain_box,
    suppress_duplicates,
)
from headimpact.annotation.checks import check_rows, check_share, refuse_nan
from headimpact.core.errors import DataFormatError

BOX_THRESHOLD = 0.35
"""Least confidence of a box; the value of Grounding DINO's own example."""

MAX_OVERLAP = 0.8
"""Most overlap of two boxes of one phrase; the value of Grounded-Segment-Anything's example."""

SEPARATORS = ".?"
"""Marks at which the model takes a new phrase to begin."""


@dataclass(frozen=True)
class DetectedBox:
    """Where a phrase was found.

    Attributes:
        phrase_index: Which of the picture's phrases it is.
        box: Corners (x0, y0, x1, y1) in pixels of the picture, within it.
        confidence: In [0, 1]: the highest probability among the phrase's tokens.
    """

    phrase_index: int
    box: Box
    confidence: float


@dataclass(frozen=True)
class _Query:
    """One picture with as many of its phrases as fit the model's text.

    Attributes:
        row: Which picture.
        phrase_indices: Which of its phrases.
        text: The phrases as one text.
        spans: First and one-past-last character of each phrase in the text.
    """

    row: int
    phrase_indices: tuple[int, ...]
    text: str
    spans: tuple[tuple[int, int], ...]


def detect_phrases(
    detector: LoadedDetector,
    images: Sequence[Image],
    phrases: Sequence[Sequence[str]],
    *,
    box_threshold: float = BOX_THRESHOLD,
    max_overlap: float = MAX_OVERLAP,
) -> list[tuple[DetectedBox, ...]]:
    """Find each picture's phrases in it.

    Pictures of one size go through the model together, so that none is padded: padding reaches features near the
    edge, and a picture's boxes would depend on its neighbours. Phrases that make a longer text than the model reads
    are asked in several passes. The model is trained to find each object once, but a low threshold lets near copies
    through; among boxes of one phrase the most confident stays.

    Args:
        detector: The model.
        images: Upright RGB pictures, one batch; what fits the device's memory.
        phrases: For each picture what to look for; may be empty.
        box_threshold: Least confidence, in [0, 1].
        max_overlap: Overlap in [0, 1] above which two boxes of one phrase count as the same; 1 keeps all.

    Returns:
        For each picture its boxes, in the order of the phrases, the most confident first.

    Raises:
        OptionError: If a threshold is outside [0, 1].
        DataFormatError: If rows differ in number, or a phrase is empty, holds "." or "?", or is too long.
        RunFailedError: If the model's numbers overflow.
    """
    check_share("box-threshold", box_threshold)
    check_share("max-overlap", max_overlap)
    check_rows(images, phrases, "lists of phrases")
    queries = [query for row, texts in enumerate(phrases) for query in _pack(detector, row, texts)]
    found: list[list[DetectedBox]] = [[] for _ in images]
    for size_hw, group in _group_by_size(queries, images):
        logits, centred, positions = _run(detector, [images[query.row] for query in group], group)
        for index, query in enumerate(group):
            boxes, confidences, chosen = boxes_from_outputs(
                logits[index], centred[index], positions[index], size_hw, box_threshold=box_threshold
            )
            for place, phrase_index in enumerate(query.phrase_indices):
                of_phrase = np.flatnonzero(chosen == place)
                kept = suppress_duplicates(boxes[of_phrase], confidences[of_phrase], max_overlap=max_overlap)
                found[query.row] += [
                    DetectedBox(phrase_index, plain_box(boxes[best]), float(confidences[best]))
                    for best in of_phrase[kept]
                ]
    return [tuple(row) for row in found]


def boxes_from_outputs(
    logits: Float[torch.Tensor, "queries tokens"],
    centred: Float[torch.Tensor, "queries 4"],
    positions: Sequence[Sequence[int]],
    size_hw: SizeHW,
    *,
    box_threshold: float,
) -> tuple[Float[np.ndarray, "boxes 4"], Float[np.ndarray, " boxes"], np.ndarray]:
    """Turn the model's outputs for one picture into boxes.

    A box goes to the phrase whose tokens fire most on average, so that "red cup" and "blue cup" are told apart by
    their colour. Its confidence is the highest probability among that phrase's tokens, as a threshold in
    transformers means it.

    Args:
        logits: For each query, how well it fits each token of the text; minus infinity where there is none.
        centred: For each query, its box as centre and size (x, y, width, height) in shares of the picture.
        positions: For each phrase, the positions of its tokens; a phrase without tokens gets no box.
        size_hw: Height and width of the picture in pixels.
        box_threshold: Least confidence, in [0, 1]; a box at it stays.

    Returns:
        Boxes (x0, y0, x1, y1) in pixels within the picture, their confidences, and each one's phrase, ordered by
        falling confidence; boxes that have no area within the picture are left out.

    Raises:
        RunFailedError: If the model's numbers overflow.

    Source: boxes and threshold as transformers, `GroundingDinoProcessor.post_process_grounded_object_detection`;
    the average as IDEA-Research/GroundingDINO, `demo/test_ap_on_coco.py` (`PostProcessCocoGrounding`).
    """
    if not positions:
        return np.zeros((0, 4), dtype=np.float32), np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.intp)
    probabilities = logits.detach().float().cpu().sigmoid().numpy()
    refuse_nan(probabilities, "the detector")
    means = np.full((len(probabilities), len(positions)), -1.0)
    highest = np.zeros((len(probabilities), len(positions)), dtype=np.float32)
    for phrase, tokens in enumerate(positions):
        if tokens:
            means[:, phrase] = probabilities[:, list(tokens)].mean(axis=1)
            highest[:, phrase] = probabilities[:, list(tokens)].max(axis=1)
    chosen = means.argmax(axis=1)
    confidences = highest[np.arange(len(chosen)), chosen]
    boxes = clip_boxes(corners_from_centres(centred, size_hw), size_hw)
    kept = np.flatnonzero((confidences >= box_threshold) & (means.max(axis=1) >= 0) & (box_areas(boxes) > 0))
    kept = kept[order_boxes(boxes[kept], confidences[kept])]
    return boxes[kept], confidences[kept], chosen[kept]


def corners_from_centres(centred: Float[torch.Tensor, "queries 4"], size_hw: SizeHW) -> Float[np.ndarray, "queries 4"]:
    """Turn centres and sizes in shares of a picture into corners in pixels.

    Args:
        centred: Boxes (x, y, width, height) in shares of the picture.
        size_hw: Height and width of the picture in pixels.

    Returns:
        Boxes (x0, y0, x1, y1) in pixels.

    Example:
        >>> corners_from_centres(torch.tensor([[0.5, 0.5, 0.5, 1.0]]), (10, 20)).tolist()
        [[5.0, 0.0, 15.0, 10.0]]
    """
    shares = centred.detach().float().cpu().numpy()
    centres, halves = shares[:, :2], shares[:, 2:] / 2
    height, width = size_hw
    scale = np.array([width, height, width, height], dtype=np.float32)
    corners: np.ndarray = np.concatenate([centres - halves, centres + halves], axis=1) * scale
    return corners


def join_phrases(phrases: Sequence[str]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Write phrases as the one text that the model reads, in lower case, each closed by a full stop.

    Args:
        phrases: At least one phrase.

    Returns:
        The text, and first and one-past-last character of each phrase in it.

    Example:
        >>> join_phrases(["Red sofa", "dog"])
        ('red sofa. dog.', ((0, 8), (10, 13)))
    """
    texts = [phrase.strip().lower() for phrase in phrases]
    starts = np.cumsum([0, *(len(text) + 2 for text in texts[:-1])]).tolist()
    spans = tuple((start, start + len(text)) for start, text in zip(starts, texts, strict=True))
    return ". ".join(texts) + ".", spans


def token_positions(offsets: Sequence[Sequence[int]], spans: Iterable[tuple[int, int]]) -> tuple[tuple[int, ...], ...]:
    """Find each phrase's tokens by their place in the text.

    Args:
        offsets: First and one-past-last character of each token; equal for tokens that stand for no text.
        spans: First and one-past-last character of each phrase.

    Returns:
        Positions of each phrase's tokens.

    Example:
        >>> token_positions([(0, 0), (0, 3), (4, 8), (8, 9), (10, 13), (13, 14), (0, 0)], [(0, 8), (10, 13)])
        ((1, 2), (4,))
    """
    return tuple(
        tuple(place for place, (first, last) in enumerate(offsets) if start <= first < last <= end)
        for start, end in spans
    )


def _pack(detector: LoadedDetector, row: int, phrases: Sequence[str]) -> list[_Query]:
    """Divide a picture's phrases among as few texts as the model's length allows, in order.

    Raises:
        DataFormatError: If a phrase is empty, holds a separator, or is longer than the model reads.
    """
    limit = int(detector.model.config.max_text_len) - 2  # a token before the text and one after it
    groups: list[list[int]] = []
    used = limit + 1
    for index, phrase in enumerate(phrases):
        if not phrase.strip() or set(phrase) & set(SEPARATORS):
            raise DataFormatError(
                f"Cannot look for {phrase!r}: expected words without full stop or question mark, at which the "
                "model takes a new phrase to begin. Split it, or leave the mark out."
            )
        length = len(detector.processor.tokenizer(join_phrases([phrase])[0], add_special_tokens=False)["input_ids"])
        if length > limit:
            raise DataFormatError(
                f"Phrase too long: {phrase[:60]!r}... has {length} tokens, the model reads {limit}. Shorten it."
            )
        if used + length > limit:
            groups.append([])
            used = 0
        groups[-1].append(index)
        used += length
    return [_Query(row, tuple(group), *join_phrases([phrases[index] for index in group])) for group in groups]


def _group_by_size(queries: Sequence[_Query], images: Sequence[Image]) -> list[tuple[SizeHW, list[_Query]]]:
    """Put queries about pictures of one size together, in order of appearance."""
    groups: dict[SizeHW, list[_Query]] = {}
    for query in queries:
        image = images[query.row]
        groups.setdefault((image.height, image.width), []).append(query)
    return list(groups.items())


def _run(detector: LoadedDetector, images: Sequence[Image], queries: Sequence[_Query]) -> tuple[Any, Any, list[Any]]:
    """Run the model on pictures of one size; give logits, boxes and each phrase's token positions."""
    inputs = detector.processor(
        images=list(images),
        text=[query.text for query in queries],
        padding=True,
        return_offsets_mapping=True,
        return_tensors="pt",
    )
    offsets = inputs.pop("offset_mapping").tolist()
    positions = [token_positions(row, query.spans) for row, query in zip(offsets, queries, strict=True)]
    with torch.inference_mode():
        outputs = detector.model(**inputs.to(detector.device, dtype=detector.dtype))
    return outputs.logits, outputs.pred_boxes, positions
