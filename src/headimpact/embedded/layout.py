"""Draws seeded scenes: chooses objects, sizes and places, and says which object is the key one.

**Rule of the key object.** In `draw_main_scene` (pretraining and the tasks `describe` and `wording`)
it is the largest visible object; its visible area is at least ``AREA_RATIO`` = 1.5 times that of
the second largest. In `draw_striped_scene` (the task `where`) three or four candidates of similar
size stand in the picture and the key object is the only striped one; it is never the largest.
In both, the key object covers at least ``MIN_TOKENS`` image tokens by half or more.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from headimpact.core.errors import UnknownNameError
from headimpact.core.registry import unknown_name_message
from headimpact.core.shapes import ObjectMask
from headimpact.embedded.attributes import (
    BACKGROUNDS,
    COLOURS,
    PLACES,
    SHAPES,
    SIDE,
    SPLIT_CODES,
    TEXTURES,
    Scene,
    SceneObject,
    covered_tokens,
)
from headimpact.embedded.drawing import (
    Stroke,
    draw_background,
    draw_stroke,
    shape_mask,
    visible_masks,
)

AREA_RATIO = 1.5
MIN_TOKENS = 4
CANDIDATE_AREA = (460.0, 780.0)
CLUTTER_AREA = (90.0, 130.0)
MAX_HIDDEN_SHARE = 0.15
_PLACE_MARGIN = 2.0
_TRIES = 40
_DISTRACTOR_COUNTS = np.array([0.14, 0.2, 0.22, 0.2, 0.14, 0.1])

SceneDraw = Callable[[np.random.Generator], Scene]
"""Draws one scene from a generator."""


def scene_generator(*, seed: int, split: str, index: int) -> np.random.Generator:
    """Return the random generator of one picture.

    Splits have their own codes, so their streams never meet, whatever the counts are.

    Args:
        seed: Seed of the whole data set.
        split: One of ``attributes.SPLIT_CODES``.
        index: Number of the picture within the split, from 0.

    Returns:
        A fresh generator; same arguments, same numbers.

    Raises:
        UnknownNameError: If `split` is unknown.
    """
    if split not in SPLIT_CODES:
        raise UnknownNameError(unknown_name_message("split", split, SPLIT_CODES))
    return np.random.default_rng(np.random.SeedSequence([seed, SPLIT_CODES[split], index]))


def draw_main_scene(rng: np.random.Generator, *, crowding: float = 1.0) -> Scene:
    """Draw a scene in which the largest object is the key one, among 0 to 5 distractors.

    Half of the crowded scenes have small distractors only; in the rest up to three rivals reach 0.65
    of the key object's area.

    Args:
        rng: Source of every choice.
        crowding: Share of scenes that keep their distractors, in [0, 1]. Below 1 only while the
            recipe lets distractors in.

    Returns:
        A scene that obeys the rule of the key object.
    """
    nothing = np.zeros((SIDE, SIDE), bool)
    while True:
        has_rivals = rng.random() < 0.5
        diameter = int(rng.integers(25, 37)) if has_rivals else int(rng.integers(25, 43))
        key = _place(rng, _random_look(rng), diameter, nothing)
        if key is None:
            continue
        placed, occupied = [key], _occupied([key])
        count = int(rng.choice(6, p=_DISTRACTOR_COUNTS)) if rng.random() < crowding else 0
        hides_key = rng.random() < 0.25
        for number in range(count):
            is_rival = has_rivals and number < 3
            size = _rival_diameter(rng, diameter) if is_rival else int(rng.integers(12, 21))
            is_free = hides_key and number == count - 1
            stroke = _place(rng, _random_look(rng), size, nothing if is_free else occupied)
            if stroke is not None:
                placed.append(stroke)
                occupied |= _occupied([stroke])
        scene = _render(placed, rng, key_index=0)
        if _obeys_area_rule(scene, placed):
            return scene


def draw_striped_scene(rng: np.random.Generator) -> Scene:
    """Draw three or four candidates of similar size of which exactly one, the key object, is striped.

    The striped one is never the largest; at most one small object that is not striped stands by.

    Args:
        rng: Source of every choice.

    Returns:
        A scene whose key object is the striped one.
    """
    others = [texture for texture in TEXTURES if texture != "striped"]
    while True:
        count = int(rng.integers(3, 5))
        key_index = int(rng.integers(count))
        occupied = np.zeros((SIDE, SIDE), bool)
        placed: list[Stroke] = []
        areas = list(rng.uniform(*CANDIDATE_AREA, count))
        if rng.random() < 0.4:
            areas.append(rng.uniform(*CLUTTER_AREA))
        for number, area in enumerate(areas):
            texture = "striped" if number == key_index else others[rng.integers(len(others))]
            look = _random_look(rng, texture=texture)
            stroke = _place(rng, look, _diameter_for(look[0], area), occupied)
            if stroke is None:
                break
            placed.append(stroke)
            occupied |= _occupied([stroke])
        if len(placed) < len(areas):
            continue
        scene = _render(placed, rng, key_index=key_index)
        largest = scene.main_object.area
        if scene.key_object.area * 1.1 <= largest and covered_tokens(scene.key_object.mask) >= MIN_TOKENS:
            return scene


def _diameter_for(shape: str, area: float) -> int:
    """Return the size at which a shape has about this area, so that no shape is larger than others."""
    return max(12, round(math.sqrt(area / shape_mask(shape, 40).mean())))


def _random_look(rng: np.random.Generator, *, texture: str | None = None) -> tuple[str, str, str]:
    """Choose shape, colour and, unless given, texture."""
    shape = SHAPES[rng.integers(len(SHAPES))]
    colour = tuple(COLOURS)[rng.integers(len(COLOURS))]
    return shape, colour, texture or TEXTURES[rng.integers(len(TEXTURES))]


def _rival_diameter(rng: np.random.Generator, diameter: int) -> int:
    """Choose a size whose area is 0.35 to 0.65 of the key object's, were both of one shape."""
    return max(12, round(diameter * math.sqrt(rng.uniform(0.35, 0.65))))


def _place(rng: np.random.Generator, look: tuple[str, str, str], diameter: int, occupied: ObjectMask) -> Stroke | None:
    """Find a free position whose place has one clear name; None after too many tries."""
    shape, colour, texture = look
    mask = shape_mask(shape, diameter)
    corners = rng.integers(1, SIDE - diameter, (_TRIES, 2))
    for left, top in corners:
        if _cell(left + diameter / 2) is None or _cell(top + diameter / 2) is None:
            continue
        if occupied[top : top + diameter, left : left + diameter][mask].any():
            continue
        return Stroke(shape=shape, colour=colour, texture=texture, diameter=diameter, left=int(left), top=int(top))
    return None


def _cell(centre: float) -> int | None:
    """Return the third of the picture in which a coordinate lies; None too near to a border of it."""
    third = SIDE / 3
    distance = min(abs(centre - third), abs(centre - 2 * third))
    return None if distance < _PLACE_MARGIN else int(centre / third)


def _occupied(strokes: Sequence[Stroke]) -> ObjectMask:
    """Return the pixels of the objects and those next to them."""
    occupied = np.zeros((SIDE, SIDE), bool)
    for stroke in strokes:
        mask = shape_mask(stroke.shape, stroke.diameter)
        for row in (-1, 0, 1):
            for column in (-1, 0, 1):
                rows = slice(max(0, stroke.top + row), stroke.top + row + stroke.diameter)
                columns = slice(max(0, stroke.left + column), stroke.left + column + stroke.diameter)
                window = occupied[rows, columns]
                window |= mask[: window.shape[0], : window.shape[1]]
    return occupied


def _render(strokes: list[Stroke], rng: np.random.Generator, *, key_index: int) -> Scene:
    """Paint the objects in order and collect what is known about them."""
    background = tuple(BACKGROUNDS)[rng.integers(len(BACKGROUNDS))]
    canvas = draw_background(background, rng)
    for stroke in strokes:
        draw_stroke(canvas, stroke, rng)
    objects = []
    for stroke, mask in zip(strokes, visible_masks(strokes), strict=True):
        row = _cell(stroke.top + stroke.diameter / 2)
        column = _cell(stroke.left + stroke.diameter / 2)
        objects.append(
            SceneObject(
                shape=stroke.shape,
                colour=stroke.colour,
                texture=stroke.texture,
                place=PLACES[row or 0][column or 0],
                mask=mask,
            )
        )
    pixels = np.clip(np.rint(canvas), 0, 255).astype(np.uint8)
    return Scene(pixels=pixels, objects=tuple(objects), key_index=key_index, background=background)


def _obeys_area_rule(scene: Scene, strokes: list[Stroke]) -> bool:
    """Tell whether the key object is large enough, little hidden, and 1.5 times the next."""
    area = scene.key_object.area
    second = max((item.area for item in scene.objects[1:]), default=0)
    visible = [
        item.area / int(shape_mask(stroke.shape, stroke.diameter).sum())
        for item, stroke in zip(scene.objects, strokes, strict=True)
    ]
    return (
        area >= AREA_RATIO * second
        and min(visible) >= 1 - MAX_HIDDEN_SHARE
        and covered_tokens(scene.key_object.mask) >= MIN_TOKENS
    )
