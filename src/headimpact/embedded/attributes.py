"""The words of the scene world and the value objects that carry them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from headimpact.core.shapes import ObjectMask

SIDE = 80
"""Width and height of a picture in pixels."""

TOKEN_SIDE = 8
"""Width and height in pixels of the square that becomes one image token."""

SHAPES = ("circle", "square", "triangle", "star", "cross", "diamond", "ring", "heart")
TEXTURES = ("plain", "striped", "dotted", "checkered")
COLOURS = {
    "red": (215, 35, 35),
    "orange": (245, 135, 20),
    "yellow": (245, 225, 45),
    "green": (35, 145, 50),
    "cyan": (60, 215, 225),
    "blue": (35, 65, 215),
    "purple": (125, 40, 165),
    "pink": (250, 140, 195),
}
BACKGROUNDS = {
    "white": (240, 240, 240),
    "grey": (140, 140, 140),
    "black": (25, 25, 25),
    "brown": (110, 72, 45),
}
PLACES = (
    ("top left", "top", "top right"),
    ("left", "centre", "right"),
    ("bottom left", "bottom", "bottom right"),
)
SPLIT_CODES = {"pretrain": 1, "calibration": 2, "train": 3, "validation": 4, "test": 5}


@dataclass(frozen=True, kw_only=True)
class SceneObject:
    """One drawn object: what it is, where it is, and which pixels of it can be seen.

    Args:
        shape: One of ``SHAPES``.
        colour: One of ``COLOURS``.
        texture: One of ``TEXTURES``.
        place: One of ``PLACES``: the cell of a 3 x 3 grid over the picture in which the centre lies.
        mask: Visible pixels.
    """

    shape: str
    colour: str
    texture: str
    place: str
    mask: ObjectMask

    @property
    def area(self) -> int:
        """Number of visible pixels."""
        return int(self.mask.sum())


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One picture with everything that is known about it.

    Args:
        pixels: RGB picture.
        objects: All drawn objects, in drawing order.
        key_index: Which of ``objects`` is the key one.
        background: One of ``BACKGROUNDS``.
    """

    pixels: UInt8[np.ndarray, "height width 3"]
    objects: tuple[SceneObject, ...]
    key_index: int
    background: str

    @property
    def key_object(self) -> SceneObject:
        """The object that the task's caption is about."""
        return self.objects[self.key_index]

    @property
    def main_object(self) -> SceneObject:
        """The object with the largest visible area: what pretraining describes."""
        return max(self.objects, key=lambda item: item.area)


def covered_tokens(mask: ObjectMask) -> int:
    """Count the image tokens of which the mask covers at least half.

    Args:
        mask: Visible pixels, ``SIDE`` x ``SIDE``.

    Returns:
        Number of 8 x 8 pixel squares with coverage >= 0.5, from 0 to 100.
    """
    cells = SIDE // TOKEN_SIDE
    coverage = mask.reshape(cells, TOKEN_SIDE, cells, TOKEN_SIDE).mean(axis=(1, 3))
    return int((coverage >= 0.5).sum())
