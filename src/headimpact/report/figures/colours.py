"""Colour scales made in code: even steps of lightness, told apart without hue, for light and dark pages.

Scales are paths in OKLCH. Lightness runs one way along the sequential scale, so it keeps its order in
grey and for every kind of colour blindness; low values sink into the page in both modes. The signed scale
runs from orange through the page's own tone to blue, the pair that colour-blind readers keep apart.
"""

import math
from typing import Literal

import numpy as np
from jaxtyping import UInt8

STEPS = 33
"""Colours in a scale; odd, so that the signed scale has a middle."""

Mode = Literal["light", "dark"]
Lch = tuple[float, float, float]
Lab = tuple[float, float, float]

# Stops: (lightness, chroma, hue in degrees).
_SEQUENTIAL: dict[Mode, tuple[Lch, ...]] = {
    "light": ((0.955, 0.016, 160.0), (0.66, 0.098, 205.0), (0.30, 0.105, 277.0)),
    "dark": ((0.285, 0.030, 277.0), (0.58, 0.095, 225.0), (0.93, 0.075, 165.0)),
}
_SIGNED: dict[Mode, tuple[Lch, ...]] = {
    "light": (
        (0.47, 0.125, 45.0),
        (0.73, 0.105, 60.0),
        (0.955, 0.006, 90.0),
        (0.72, 0.090, 240.0),
        (0.42, 0.120, 260.0),
    ),
    "dark": (
        (0.80, 0.130, 60.0),
        (0.52, 0.090, 50.0),
        (0.285, 0.006, 270.0),
        (0.54, 0.100, 250.0),
        (0.84, 0.090, 235.0),
    ),
}
_HEAT: tuple[Lch, ...] = ((0.45, 0.17, 30.0), (0.70, 0.18, 55.0), (0.95, 0.13, 100.0))


def scale_colours(scale: Literal["sequential", "signed"], mode: Mode) -> list[str]:
    """Give the colours of a scale from its low to its high end.

    Args:
        scale: `sequential` for shares, `signed` for differences (zero in the middle).
        mode: The page the colours stand on.

    Returns:
        `STEPS` colours as `#rrggbb`.
    """
    stops = (_SEQUENTIAL if scale == "sequential" else _SIGNED)[mode]
    return ["#" + "".join(f"{c:02x}" for c in _rgb(_between(stops, i / (STEPS - 1)))) for i in range(STEPS)]


def scale_css() -> str:
    """Write both scales as CSS: custom properties for each mode and a fill class for each step.

    Returns:
        Rules that define `--q0..`, `--d0..` (light, then dark by `prefers-color-scheme`), `.q0..`, `.d0..`.
    """
    letters = (("q", "sequential"), ("d", "signed"))

    def properties(mode: Mode) -> str:
        return "".join(
            f"--{letter}{i}:{colour};"
            for letter, scale in letters
            for i, colour in enumerate(scale_colours("sequential" if scale == "sequential" else "signed", mode))
        )

    fills = "".join(f".{letter}{i}{{fill:var(--{letter}{i})}}" for letter, _ in letters for i in range(STEPS))
    dark = f"@media screen and (prefers-color-scheme:dark){{:root{{{properties('dark')}}}}}"
    return f":root{{{properties('light')}}}\n{dark}\n{fills}"


def step_of(value: float, low: float, high: float) -> int:
    """Give the step of a scale from `low` to `high` that stands for a value.

    Args:
        value: A finite number; outside the ends it takes the end's colour.
        low: Value of the first step.
        high: Value of the last step; where it is not above `low`, every value takes the first step.

    Returns:
        A step in 0 .. `STEPS` - 1.

    Example:
        >>> step_of(0.5, 0.0, 1.0), step_of(9.0, 0.0, 1.0)
        (16, 32)
    """
    if not high > low:
        return 0
    share = min(max((value - low) / (high - low), 0.0), 1.0)
    return int(share * (STEPS - 1) + 0.5)


def is_far_end(step: int, scale: Literal["sequential", "signed"]) -> bool:
    """Tell whether a step is far from the page's tone, so that marks on it take the page's colour."""
    return step > STEPS // 2 if scale == "sequential" else abs(step - STEPS // 2) >= 10


def heat_table() -> UInt8[np.ndarray, "256 4"]:
    """Give the RGBA colours of an attention map laid over a grey picture.

    Clear where there is no attention, deep red to pale yellow towards the map's highest value.

    Returns:
        One row per step of 0 .. 255; lightness and opacity rise along it.
    """
    shares = np.arange(256) / 255.0
    table = np.zeros((256, 4), dtype=np.uint8)
    for i, share in enumerate(shares.tolist()):
        table[i, :3] = _rgb(_between(_HEAT, share))
    table[:, 3] = np.round(255 * 0.92 * shares**0.85).astype(np.uint8)
    return table


def _between(stops: tuple[Lch, ...], share: float) -> Lab:
    """Interpolate along stops spaced evenly in [0, 1], straight in OKLab so that no hue in between comes up."""
    place = share * (len(stops) - 1)
    index = min(int(place), len(stops) - 2)
    rest = place - index
    one, two = _lab(stops[index]), _lab(stops[index + 1])
    return (
        one[0] + rest * (two[0] - one[0]),
        one[1] + rest * (two[1] - one[1]),
        one[2] + rest * (two[2] - one[2]),
    )


def _lab(lch: Lch) -> Lab:
    """Turn OKLCH into OKLab."""
    lightness, chroma, hue = lch
    return lightness, chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))


def _rgb(lab: Lab) -> tuple[int, int, int]:
    """Turn OKLab into sRGB bytes, clipped to the gamut.

    Source: Bjoern Ottosson, "A perceptual color space for image processing" (2020), OKLab to linear sRGB.
    """
    lightness, a, b = lab
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )
    red, green, blue = (_gamma(channel) for channel in linear)
    return red, green, blue


def _gamma(linear: float) -> int:
    """Turn one linear channel into an sRGB byte."""
    clipped = min(max(linear, 0.0), 1.0)
    encoded = 12.92 * clipped if clipped <= 0.0031308 else 1.055 * clipped ** (1 / 2.4) - 0.055
    return round(255 * encoded)
