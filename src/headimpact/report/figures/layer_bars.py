"""Layer bars: Head Impact of each layer, with its chance level, interval and baselines."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from jaxtyping import Float
from markupsafe import Markup

from headimpact.report.figures.svg import drawing, element, nice_ticks, numbers_shown, short, text

LayerValues = Float[np.ndarray, " layers"]
_LEFT, _TOP, _RIGHT, _BOTTOM = 36.0, 12.0, 4.0, 34.0


@dataclasses.dataclass(frozen=True)
class LayerBars:
    """What the bars show; every array has one number per layer, NaN where there is none.

    Attributes:
        values: Height of the bars.
        chance: Chance level of each layer.
        low: Lower end of each bar's interval.
        high: Upper end.
        twin: The untrained twin's value, or None.
        baselines: Name to the height of a line across all layers.
        tooltips: Text for each layer.
        label: What a screen reader says.
    """

    values: LayerValues
    chance: LayerValues
    low: LayerValues
    high: LayerValues
    twin: LayerValues | None
    baselines: Mapping[str, float]
    tooltips: Sequence[str]
    label: str


def render_layer_bars(bars: LayerBars, *, width: float = 680.0, chosen_layers: Collection[int] = ()) -> Markup:
    """Draw the bars.

    Args:
        bars: Values, intervals, baselines and texts.
        width: Natural width in pixels; draw once for a desk and once for a phone.
        chosen_layers: Layers drawn in the accent colour.

    Returns:
        An `<svg>`.
    """
    height = 250.0 if width > 500 else 220.0
    top_value = _highest(bars)
    plot = _Plot(width, height, len(bars.values), top_value)
    grid = [_grid_line(plot, tick) for tick in nice_ticks(0.0, top_value, count=4)]
    layers = [_layer(plot, bars, layer_idx, layer_idx in chosen_layers) for layer_idx in range(len(bars.values))]
    layers += [
        text(plot.x(i), plot.base + 14, str(i), class_="tick chosen" if i in chosen_layers else "tick", anchor="middle")
        for i in numbers_shown(len(bars.values), plot.band, 15.0, always=chosen_layers)
    ]
    lines = [_baseline(plot, index, name, value) for index, (name, value) in enumerate(bars.baselines.items())]
    axis = text(_LEFT, height - 4, "layer", class_="axis")
    return drawing((width, height), bars.label, *grid, *layers, *lines, axis, class_="figure layer-bars")


@dataclasses.dataclass(frozen=True)
class _Plot:
    """Where values and layers lie in the drawing."""

    width: float
    height: float
    num_layers: int
    top_value: float

    def y(self, value: float) -> float:
        """Place a value."""
        return self.base - (self.base - _TOP) * min(max(value / self.top_value, 0.0), 1.0)

    def x(self, layer_idx: int) -> float:
        """Place the middle of a layer."""
        return _LEFT + self.band * (layer_idx + 0.5)

    @property
    def base(self) -> float:
        """Place of zero."""
        return self.height - _BOTTOM

    @property
    def band(self) -> float:
        """Width of one layer."""
        return (self.width - _LEFT - _RIGHT) / self.num_layers


def _highest(bars: LayerBars) -> float:
    """Give the value at the top of the drawing, a little above everything shown."""
    shown = [bars.values, bars.chance, bars.high, np.asarray(list(bars.baselines.values()), dtype=float)]
    if bars.twin is not None:
        shown.append(bars.twin)
    every = np.concatenate(shown)
    finite = every[np.isfinite(every)]
    highest = float(finite.max()) if finite.size else 0.0
    return 1.06 * highest if highest > 0 else 1.0


def _grid_line(plot: _Plot, value: float) -> Markup:
    """Draw a faint line and its number."""
    y = plot.y(value)
    line = element("line", class_="grid" if value else "base", x1=_LEFT, x2=plot.width - _RIGHT, y1=y, y2=y)
    return element("g", line, text(_LEFT - 7, y + 3.6, short(value), anchor="end"))


def _layer(plot: _Plot, bars: LayerBars, layer_idx: int, chosen: bool) -> Markup:
    """Draw one layer: bar, interval, chance mark and twin."""
    middle, half = plot.x(layer_idx), min(17.0, plot.band * 0.36)
    parts = [element("title", bars.tooltips[layer_idx])]
    value = float(bars.values[layer_idx])
    kind = "chosen" if chosen else "plain"
    if np.isfinite(value):
        y = plot.y(value)
        bar = element("rect", class_=f"bar {kind}", x=middle - half, y=y, width=2 * half, height=plot.base - y)
        parts.append(bar)
    low, high = float(bars.low[layer_idx]), float(bars.high[layer_idx])
    if np.isfinite(low) and np.isfinite(high):
        ends = {"y1": plot.y(low), "y2": plot.y(high)}
        parts.append(element("line", class_="interval", x1=middle, x2=middle, **ends))
    chance = float(bars.chance[layer_idx])
    if np.isfinite(chance):
        y = plot.y(chance)
        parts.append(element("line", class_="chance", x1=middle - half - 2, x2=middle + half + 2, y1=y, y2=y))
    twin = float(bars.twin[layer_idx]) if bars.twin is not None else float("nan")
    if np.isfinite(twin):
        parts.append(_diamond(middle, plot.y(twin), min(4.5, max(2.5, half * 0.4))))
    hit = element("rect", class_="hit", x=middle - plot.band / 2, y=_TOP, width=plot.band, height=plot.base - _TOP)
    return element("g", *parts, hit, class_="layer")


def _diamond(x: float, y: float, size: float) -> Markup:
    """Draw the untrained twin's marker."""
    left, right, top, bottom = short(x - size), short(x + size), short(y - size), short(y + size)
    return element(
        "path", class_="twin", d=f"M{left} {short(y)}L{short(x)} {top}L{right} {short(y)}L{short(x)} {bottom}Z"
    )


def _baseline(plot: _Plot, index: int, name: str, value: float) -> Markup:
    """Draw a line across all layers; nothing for a baseline without a value."""
    if not np.isfinite(value):
        return Markup()
    y = plot.y(value)
    title = element("title", f"{name}: {short(value)}")
    return element("line", title, class_=f"baseline b{index % 2}", x1=_LEFT, x2=plot.width - _RIGHT, y1=y, y2=y)
