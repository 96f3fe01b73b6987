"""Attention over a picture: a grey picture, one head's attention in colour, the key object outlined."""

import base64

import numpy as np
from jaxtyping import Float
from markupsafe import Markup
from PIL import Image

from headimpact.core.shapes import ObjectMask, TokenBoxes
from headimpact.report.examples import ExamplePicture, png_bytes
from headimpact.report.figures.colours import heat_table
from headimpact.report.figures.svg import element, short

_MAP_SIDE = 128

RING = 2.0
"""Smallest radius of the ring around a sink, in pixels of the thumbnail."""


def render_shared_parts(example: ExamplePicture, name: str) -> Markup:
    """Draw what all drawings of one picture share, to be put on the page once and before them.

    Args:
        example: The picture.
        name: Prefix of the element ids, unique on the page.

    Returns:
        A hidden `<svg>` that defines the picture in colour, in grey, and its outline with a ring at every sink.
    """
    width, height = example.thumbnail.size
    size = {"width": width, "height": height}
    grey = example.thumbnail.convert("L").point([38 + round(0.5 * level) for level in range(256)])
    outline = outline_path(example.mask)
    parts = [
        element("image", id=f"{name}-colour", href=data_uri(example.thumbnail), **size),
        element("image", id=f"{name}-grey", href=data_uri(grey), **size),
        element(
            "g",
            element("path", class_="outline-under", d=outline),
            element("path", class_="outline-over", d=outline),
            *_sink_rings(example),
            id=f"{name}-outline",
        ),
    ]
    return element("svg", element("defs", *parts), class_="shared", aria_hidden="true")


def render_picture(example: ExamplePicture, name: str, *, label: str) -> Markup:
    """Draw the picture itself with the key object outlined.

    Args:
        example: The picture.
        name: Prefix given to `render_shared_parts`.
        label: What a screen reader says.

    Returns:
        An `<svg>`.
    """
    return _framed(example, label, _use(f"{name}-colour"), _use(f"{name}-outline"))


def render_attention(example: ExamplePicture, name: str, head: tuple[int, int], *, label: str) -> Markup:
    """Draw one head's attention over the grey picture with the key object outlined.

    Args:
        example: The picture.
        name: Prefix given to `render_shared_parts`.
        head: (layer_idx, head_idx).
        label: What a screen reader says; also the tooltip.

    Returns:
        An `<svg>`; colours run from an even share of attention to the map's own highest value.
    """
    width, height = example.thumbnail.size
    weights = example.maps[head[0], head[1]].astype(np.float64)
    factor = min(1.0, _MAP_SIDE / max(width, height))
    size_wh = (max(1, round(width * factor)), max(1, round(height * factor)))
    levels = attention_levels(weights, example.boxes.astype(np.float64), size_wh)
    heat = Image.fromarray(heat_table()[np.round(255 * levels).astype(np.int64)])
    image = element("image", class_="heat", href=data_uri(heat), width=width, height=height, preserveAspectRatio="none")
    return _framed(example, label, element("title", label), _use(f"{name}-grey"), image, _use(f"{name}-outline"))


def attention_levels(
    weights: Float[np.ndarray, " image_tokens"], boxes: TokenBoxes, size_wh: tuple[int, int]
) -> Float[np.ndarray, "height width"]:
    """Lay attention out on the picture: how far each place gets more than an even share, the most = 1.

    Attention is taken per area, averaged where tokens overlap, and its mean over the places that tokens cover is
    taken off, so that a head that looks everywhere alike shows nothing. A pixel belongs to a token if its middle
    lies in the token's rectangle.

    Args:
        weights: Attention to each image token; NaN counts as none.
        boxes: The tokens' rectangles in shares of width and height; those without area are left out.
        size_wh: Width and height of the result in pixels.

    Returns:
        Levels in [0, 1]; zero where no token lies and where attention is at or below its mean.

    Example:
        >>> boxes = np.array([[0.0, 0.0, 0.25, 1.0], [0.25, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]])
        >>> attention_levels(np.array([0.5, 0.3, 0.2]), boxes, (4, 1))
        array([[1. , 0.2, 0. , 0. ]])
    """
    width, height = size_wh
    total, covered = np.zeros((height, width)), np.zeros((height, width))
    x_middle, y_middle = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    for weight, (x0, y0, x1, y1) in zip(np.nan_to_num(weights).tolist(), boxes.tolist(), strict=True):
        area = (x1 - x0) * (y1 - y0)
        if area <= 0:
            continue
        left, right = np.searchsorted(x_middle, [x0, x1])
        top, bottom = np.searchsorted(y_middle, [y0, y1])
        total[top:bottom, left:right] += weight / area
        covered[top:bottom, left:right] += 1.0
    if not covered.any():
        return total
    levels = np.divide(total, covered, out=np.zeros_like(total), where=covered > 0)
    above = np.where(covered > 0, np.maximum(levels - levels[covered > 0].mean(), 0.0), 0.0)
    highest = float(above.max())
    return above / highest if highest > 1e-9 * float(levels.max()) else np.zeros_like(above)


def outline_path(mask: ObjectMask) -> str:
    """Trace the edges between covered and uncovered pixels as an SVG path.

    Args:
        mask: Covered pixels.

    Returns:
        Straight runs along pixel edges, the longest possible; empty for an empty mask.

    Example:
        >>> outline_path(np.array([[True, True]]))
        'M0 0h2M0 1h2M0 0v1M2 0v1'
    """
    padded = np.pad(mask, 1).astype(np.int8)
    across = np.diff(padded, axis=0)[:, 1:-1] != 0
    down = np.diff(padded, axis=1)[1:-1, :] != 0
    runs = [f"M{start} {y}h{length}" for y, row in enumerate(across) for start, length in _runs(row)]
    runs += [f"M{x} {start}v{length}" for x, column in enumerate(down.T) for start, length in _runs(column)]
    return "".join(runs)


def data_uri(picture: Image.Image) -> str:
    """Write a picture as a PNG data URI."""
    return "data:image/png;base64," + base64.b64encode(png_bytes(picture)).decode("ascii")


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """List (start, length) of the runs of true values."""
    edges = np.flatnonzero(np.diff(np.pad(flags.astype(np.int8), 1)))
    return [(int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _sink_rings(example: ExamplePicture) -> list[Markup]:
    """Draw a ring in the middle of each image token that is a sink."""
    if example.sinks is None:
        return []
    width, height = example.thumbnail.size
    sides = example.boxes[example.sinks].astype(np.float64) * [width, height, width, height]
    return [
        element("circle", class_=f"outline-{layer}", cx=short((x0 + x1) / 2), cy=short((y0 + y1) / 2), r=short(radius))
        for x0, y0, x1, y1 in sides.tolist()
        if (radius := max(min(x1 - x0, y1 - y0) / 3, RING)) and x1 > x0 and y1 > y0
        for layer in ("under", "over")
    ]


def _framed(example: ExamplePicture, label: str, *parts: str) -> Markup:
    """Put parts in an `<svg>` of the picture's size."""
    width, height = example.thumbnail.size
    box = f"0 0 {short(width)} {short(height)}"
    return element("svg", *parts, class_="picture", role="img", aria_label=label, viewBox=box)


def _use(target: str) -> Markup:
    """Show an element defined elsewhere on the page."""
    return element("use", href=f"#{target}")
