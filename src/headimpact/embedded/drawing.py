"""Draws shapes, textures and backgrounds as antialiased pixels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float

from headimpact.core.shapes import ObjectMask
from headimpact.embedded.attributes import BACKGROUNDS, COLOURS, SIDE

_SUPERSAMPLING = 4
_STRIPE_PERIOD = 6.0
_DOT_PERIOD = 7.0
_DOT_RADIUS = 2.0
_CHECKER_CELL = 4.0
_LIGHT = np.array([248.0, 248.0, 248.0])
_DARK = np.array([22.0, 22.0, 22.0])
_STAR_INNER = 0.5

Points = Float[np.ndarray, "..."]
Inside = Bool[np.ndarray, "..."]
Canvas = Float[np.ndarray, "height width 3"]


@dataclass(frozen=True, kw_only=True)
class Stroke:
    """An object to draw: its look and the top left corner of its box, in whole pixels.

    Args:
        shape: One of ``attributes.SHAPES``.
        colour: One of ``attributes.COLOURS``.
        texture: One of ``attributes.TEXTURES``.
        diameter: Width and height of the box in pixels.
        left: Column of the box's left edge.
        top: Row of the box's upper edge.
    """

    shape: str
    colour: str
    texture: str
    diameter: int
    left: int
    top: int

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the box, to index a picture with."""
        return slice(self.top, self.top + self.diameter), slice(self.left, self.left + self.diameter)


@cache
def shape_alpha(shape: str, diameter: int) -> Float[np.ndarray, "height width"]:
    """Return how much of each pixel of a box the shape covers.

    Every shape is a test on points of [-1, 1] x [-1, 1] (y downwards), averaged over 4 x 4 points a
    pixel. The few hundred pairs of shape and size are computed once.

    Args:
        shape: One of ``attributes.SHAPES``.
        diameter: Width and height of the box in pixels.

    Returns:
        Coverage in [0, 1], read-only.
    """
    count = diameter * _SUPERSAMPLING
    line = (np.arange(count) + 0.5) / count * 2 - 1
    x, y = line[None, :], line[:, None]
    inside: Inside = _INSIDE[shape](x, y)
    squares = inside.reshape(diameter, _SUPERSAMPLING, diameter, _SUPERSAMPLING)
    alpha = np.asarray(squares.mean(axis=(1, 3)))
    alpha.setflags(write=False)
    return alpha


def _is_heart(x: Points, y: Points) -> Inside:
    """Scale and shift the curve (a^2 + b^2 - 1)^3 = a^2 b^3 so that it fills the box."""
    a, b = x * 1.16, 0.1 - y * 1.12
    return np.asarray((a**2 + b**2 - 1) ** 3 - a**2 * b**3 <= 0)


def _is_star(x: Points, y: Points) -> Inside:
    """Fold the angle into half a point of the five-pointed star and test against its straight edge."""
    fold = abs((np.arctan2(x, -y) + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5)
    edge_x, edge_y = 1 - _STAR_INNER * np.cos(np.pi / 5), _STAR_INNER * np.sin(np.pi / 5)
    return np.asarray(np.hypot(x, y) * (np.cos(fold) * edge_y + np.sin(fold) * edge_x) <= edge_y)


_INSIDE: Mapping[str, Callable[[Points, Points], Inside]] = MappingProxyType(
    {
        "circle": lambda x, y: np.hypot(x, y) <= 1,
        "square": lambda x, y: np.maximum(abs(x), abs(y)) <= 0.92,
        "triangle": lambda x, y: (y <= 0.9) & (abs(x) <= (y + 1) / 1.9),
        "star": _is_star,
        "cross": lambda x, y: np.minimum(abs(x), abs(y)) <= 0.34,
        "diamond": lambda x, y: abs(x) * 1.25 + abs(y) <= 1,
        "ring": lambda x, y: (np.hypot(x, y) <= 1) & (np.hypot(x, y) >= 0.52),
        "heart": _is_heart,
    }
)
"""Name of a shape -> which points of [-1, 1] x [-1, 1] belong to it, y downwards."""


@cache
def shape_mask(shape: str, diameter: int) -> ObjectMask:
    """Return the pixels of a box of which the shape covers at least half, read-only.

    Args:
        shape: One of ``attributes.SHAPES``.
        diameter: Width and height of the box in pixels.

    Returns:
        True where coverage is at least 0.5.
    """
    mask = np.asarray(shape_alpha(shape, diameter) >= 0.5)
    mask.setflags(write=False)
    return mask


def texture_share(texture: str, diameter: int, rng: np.random.Generator) -> Float[np.ndarray, "height width"]:
    """Return how much of the second colour each pixel of a box shows.

    Stripes run in one of four directions; stripes, dots and checks start at a random phase.

    Args:
        texture: One of ``attributes.TEXTURES``.
        diameter: Width and height of the box in pixels.
        rng: Source of direction and phase.

    Returns:
        Shares in [0, 1], 0 everywhere for a plain object.
    """
    if texture == "plain":
        return np.zeros((diameter, diameter))
    line = np.arange(diameter) + 0.5
    phase_x, phase_y = rng.uniform(0, 8, 2)
    x, y = line[None, :] + phase_x, line[:, None] + phase_y
    if texture == "striped":
        angle = rng.integers(4) * np.pi / 4
        wave = (x * np.cos(angle) + y * np.sin(angle)) % _STRIPE_PERIOD
        return np.asarray(np.clip(np.minimum(wave, _STRIPE_PERIOD - wave) - _STRIPE_PERIOD / 4 + 0.5, 0, 1))
    if texture == "dotted":
        offset_x, offset_y = x % _DOT_PERIOD - _DOT_PERIOD / 2, y % _DOT_PERIOD - _DOT_PERIOD / 2
        return np.asarray(np.clip(_DOT_RADIUS + 0.5 - np.hypot(offset_x, offset_y), 0, 1))
    return np.asarray((x // _CHECKER_CELL + y // _CHECKER_CELL) % 2, dtype=float)


def draw_background(background: str, rng: np.random.Generator) -> Canvas:
    """Paint an empty picture: flat, with a gradient of brightness, or noisy.

    Args:
        background: One of ``attributes.BACKGROUNDS``.
        rng: Source of the finish and its amount.

    Returns:
        Picture in [0, 255] up to noise.
    """
    canvas = np.empty((SIDE, SIDE, 3), dtype=np.float32)
    canvas[:] = BACKGROUNDS[background]
    finish = rng.integers(3)
    if finish == 1:
        slope_x, slope_y = rng.uniform(-22, 22, 2)
        line = np.linspace(-0.5, 0.5, SIDE)
        canvas += (line[None, :, None] * slope_x + line[:, None, None] * slope_y).astype(np.float32)
    elif finish == 2:
        canvas += rng.standard_normal((SIDE, SIDE, 1), dtype=np.float32) * np.float32(rng.uniform(4, 10))
    return canvas


def draw_stroke(canvas: Canvas, stroke: Stroke, rng: np.random.Generator) -> None:
    """Paint one object over what is already on the canvas.

    The second colour of a texture is nearly white on dark colours and nearly black on light ones.

    Args:
        canvas: Picture in [0, 255], changed in place.
        stroke: What to paint and where.
        rng: Source of the texture's phase and of a small change of brightness.
    """
    colour = np.array(COLOURS[stroke.colour]) * rng.uniform(0.92, 1.04)
    luminance = colour @ (0.299, 0.587, 0.114)
    second = 0.15 * colour + 0.85 * (_DARK if luminance > 135 else _LIGHT)
    share = texture_share(stroke.texture, stroke.diameter, rng)
    paint = colour + share[..., None] * (second - colour)
    alpha = shape_alpha(stroke.shape, stroke.diameter)[..., None]
    canvas[stroke.box] += alpha * (paint - canvas[stroke.box])


def visible_masks(strokes: Sequence[Stroke]) -> list[ObjectMask]:
    """Return the pixels of each object that no later object covers.

    Args:
        strokes: Objects in drawing order.

    Returns:
        One mask an object, pairwise disjoint.
    """
    owner = np.full((SIDE, SIDE), -1, dtype=np.int8)
    for index, stroke in enumerate(strokes):
        owner[stroke.box][shape_mask(stroke.shape, stroke.diameter)] = index
    return [owner == index for index in range(len(strokes))]
