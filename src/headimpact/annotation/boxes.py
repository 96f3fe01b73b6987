"""Boxes on a picture: clipping, overlap, and one box for each object where several say the same."""

import numpy as np
from jaxtyping import Float

SizeHW = tuple[int, int]

Box = tuple[float, float, float, float]
"""One rectangle as plain numbers, as in `Boxes`."""

Boxes = Float[np.ndarray, "boxes 4"]
"""Rectangles (x0, y0, x1, y1) in pixels of the picture, x to the right and y down, fractions allowed."""

Confidences = Float[np.ndarray, " boxes"]
"""One number in [0, 1] per box."""


def clip_boxes(boxes: Boxes, size_hw: SizeHW) -> Boxes:
    """Cut boxes at the picture's edges; a box outside it keeps no area.

    Args:
        boxes: Any boxes.
        size_hw: Height and width of the picture.

    Returns:
        Boxes within the picture.

    Example:
        >>> clip_boxes(np.array([[-2.0, 1.0, 9.0, 3.0]]), (4, 6)).tolist()
        [[0.0, 1.0, 6.0, 3.0]]
    """
    height, width = size_hw
    clipped: np.ndarray = np.clip(boxes, 0.0, np.array([width, height, width, height], dtype=boxes.dtype))
    return clipped


def box_areas(boxes: Boxes) -> Float[np.ndarray, " boxes"]:
    """Give the area of each box in pixels; 0 where its corners are the wrong way round."""
    areas: np.ndarray = np.clip(boxes[:, 2] - boxes[:, 0], 0.0, None) * np.clip(boxes[:, 3] - boxes[:, 1], 0.0, None)
    return areas


def box_overlaps(box: Float[np.ndarray, " 4"], boxes: Boxes) -> Float[np.ndarray, " boxes"]:
    """Give the overlap of one box with others: shared area by joint area.

    Args:
        box: One box.
        boxes: The others.

    Returns:
        Intersection over union in [0, 1]; 0 where both have no area.

    Example:
        >>> box_overlaps(np.array([0.0, 0.0, 2.0, 2.0]), np.array([[1.0, 0.0, 3.0, 2.0]])).round(3).tolist()
        [0.333]
    """
    corners = np.concatenate([np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])], axis=1)
    shared = box_areas(corners)
    joint = box_areas(box[None])[0] + box_areas(boxes) - shared
    overlaps: np.ndarray = np.divide(shared, joint, out=np.zeros_like(shared), where=joint > 0)
    return overlaps


def order_boxes(boxes: Boxes, confidences: Confidences) -> np.ndarray:
    """Order boxes by falling confidence; equal ones by their corners, so that the order is always the same.

    Returns:
        Their places in order.
    """
    order: np.ndarray = np.lexsort((boxes[:, 3], boxes[:, 2], boxes[:, 1], boxes[:, 0], -confidences))
    return order


def suppress_duplicates(boxes: Boxes, confidences: Confidences, *, max_overlap: float) -> list[int]:
    """Keep the most confident of boxes that overlap more than allowed: greedy non-maximum suppression.

    Written out here because the usual one is torchvision's, which is not needed otherwise.

    Args:
        boxes: Boxes of one phrase in one picture.
        confidences: Their confidences.
        max_overlap: Overlap in [0, 1] up to which both of two boxes stay; 1 keeps all.

    Returns:
        Places of the boxes kept, the most confident first.

    Source: the greedy rule of torchvision's `ops.nms` (a box goes if its overlap with a kept one is greater).

    Example:
        >>> boxes = np.array([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 3.9], [5.0, 5.0, 6.0, 6.0]])
        >>> suppress_duplicates(boxes, np.array([0.5, 0.9, 0.4]), max_overlap=0.8)
        [1, 2]
    """
    kept: list[int] = []
    waiting = order_boxes(boxes, confidences)
    while len(waiting):
        best, waiting = waiting[0], waiting[1:]
        kept.append(int(best))
        waiting = waiting[box_overlaps(boxes[best], boxes[waiting]) <= max_overlap]
    return kept


def plain_box(box: Float[np.ndarray, " 4"]) -> Box:
    """Give a box as plain numbers."""
    x0, y0, x1, y1 = (float(edge) for edge in box)
    return x0, y0, x1, y1
