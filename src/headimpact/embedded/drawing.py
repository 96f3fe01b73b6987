"""Draws shapes, textures and backgrounds as antialiased pixels."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from headimpact.embedded.attributes import BACKGROUNDS, COLOURS, SIDE

_SUPERSAMPLING = 4
_STRIPE_PERIOD = 6.0
_DOT_PERIOD = 7.0
_DOT_RADIUS = 2.0
_CHECKER_CELL = 4.0
_LIGHT = np.array([248.0, 248.0, 248.0])
_DARK = np.array([22.0, 22.0, 22.0])


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
def shape_alpha(shape: str, diameter: int) -> np.ndarray:
    """Return how much of each pixel of a box the shape covers.

    Every shape is a test on points of [-1, 1] x [-1, 1] (y downwards), averaged over 4 x 4 points a
    pixel. The few hundred pairs of shape and size are computed once.

    Args:
        shape: One of ``attributes.SHAPES``.
        diameter: Width and height of the box in pixels.

    Returns:
        Coverage in [0, 1], ``[diameter, diameter]``, read-only.
    """
    count = diameter * _SUPERSAMPLING
    line = (np.arange(count) + 0.5) / count * 2 - 1
    x, y = line[None, :], line[:, None]
    inside = _is_inside(shape, x, y)
    alpha = inside.reshape(diameter, _SUPERSAMPLING, diameter, _SUPERSAMPLING).mean(axis=(1, 3))
    alpha.setflags(write=False)
    return alpha


def _is_inside(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Tell which points of the unit box belong to the shape."""
    radius = np.hypot(x, y)
    if shape == "circle":
        return radius <= 1
    if shape == "ring":
        return (radius <= 1) & (radius >= 0.52)
    if shape == "square":
        return np.maximum(abs(x), abs(y)) <= 0.92
    if shape == "diamond":
        return abs(x) * 1.25 + abs(y) <= 1
    if shape == "triangle":
        return (y <= 0.9) & (abs(x) <= (y + 1) / 1.9)
    if shape == "cross":
        return np.minimum(abs(x), abs(y)) <= 0.34
    if shape == "heart":
        # 0.78 and 0.1 scale and shift the curve (a^2 + b^2 - 1)^3 = a^2 b^3 so that it fills the box.
        a, b = x * 1.16, 0.1 - y * 1.12
        return (a**2 + b**2 - 1) ** 3 - a**2 * b**3 <= 0
    # A five-pointed star: fold the angle into one point's half and test against its straight edge.
    fold = abs((np.arctan2(x, -y) + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5)
    inner = 0.5
    edge_x, edge_y = 1 - inner * np.cos(np.pi / 5), inner * np.sin(np.pi / 5)
    return radius * (np.cos(fold) * edge_y + np.sin(fold) * edge_x) <= edge_y


@cache
def shape_mask(shape: str, diameter: int) -> np.ndarray:
    """Return the pixels of a box of which the shape covers at least half, read-only.

    Args:
        shape: One of ``attributes.SHAPES``.
        diameter: Width and height of the box in pixels.

    Returns:
        Bool ``[diameter, diameter]``.
    """
    mask = shape_alpha(shape, diameter) >= 0.5
    mask.setflags(write=False)
    return mask


def texture_share(texture: str, diameter: int, rng: np.random.Generator) -> np.ndarray | float:
    """Return how much of the second colour each pixel of a box shows.

    Stripes run in one of four directions; stripes, dots and checks start at a random phase.

    Args:
        texture: One of ``attributes.TEXTURES``.
        diameter: Width and height of the box in pixels.
        rng: Source of direction and phase.

    Returns:
        Shares in [0, 1], ``[diameter, diameter]``, or 0.0 for a plain object.
    """
    if texture == "plain":
        return 0.0
    line = np.arange(diameter) + 0.5
    phase_x, phase_y = rng.uniform(0, 8, 2)
    x, y = line[None, :] + phase_x, line[:, None] + phase_y
    if texture == "striped":
        angle = rng.integers(4) * np.pi / 4
        wave = (x * np.cos(angle) + y * np.sin(angle)) % _STRIPE_PERIOD
        return np.clip(np.minimum(wave, _STRIPE_PERIOD - wave) - _STRIPE_PERIOD / 4 + 0.5, 0, 1)
    if texture == "dotted":
        offset_x, offset_y = x % _DOT_PERIOD - _DOT_PERIOD / 2, y % _DOT_PERIOD - _DOT_PERIOD / 2
        return np.clip(_DOT_RADIUS + 0.5 - np.hypot(offset_x, offset_y), 0, 1)
    return ((x // _CHECKER_CELL + y // _CHECKER_CELL) % 2).astype(float)


def draw_background(background: str, rng: np.random.Generator) -> np.ndarray:
    """Paint an empty picture: flat, with a gradient of brightness, or noisy.

    Args:
        background: One of ``attributes.BACKGROUNDS``.
        rng: Source of the finish and its amount.

    Returns:
        Float picture ``[height, width, 3]`` in [0, 255] up to noise.
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


def draw_stroke(canvas: np.ndarray, stroke: Stroke, rng: np.random.Generator) -> None:
    """Paint one object over what is already on the canvas.

    The second colour of a texture is nearly white on dark colours and nearly black on light ones.

    Args:
        canvas: Float picture ``[height, width, 3]``, changed in place.
        stroke: What to paint and where.
        rng: Source of the texture's phase and of a small change of brightness.
    """
    colour = np.array(COLOURS[stroke.colour]) * rng.uniform(0.92, 1.04)
    luminance = colour @ (0.299, 0.587, 0.114)
    second = 0.15 * colour + 0.85 * (_DARK if luminance > 135 else _LIGHT)
    share = texture_share(stroke.texture, stroke.diameter, rng)
    paint = colour + np.asarray(share)[..., None] * (second - colour)
    alpha = shape_alpha(stroke.shape, stroke.diameter)[..., None]
    canvas[stroke.box] += alpha * (paint - canvas[stroke.box])


def visible_masks(strokes: list[Stroke]) -> list[np.ndarray]:
    """Return the pixels of each object that no later object covers.

    Args:
        strokes: Objects in drawing order.

    Returns:
        One bool ``[height, width]`` mask an object, pairwise disjoint.
    """
    owner = np.full((SIDE, SIDE), -1, dtype=np.int8)
    for index, stroke in enumerate(strokes):
        owner[stroke.box][shape_mask(stroke.shape, stroke.diameter)] = index
    return [owner == index for index in range(len(strokes))]
