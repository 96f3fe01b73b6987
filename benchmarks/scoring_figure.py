"""Make the table and the picture of docs/speed.md from what the scoring benchmark measured.

python -m benchmarks.scoring_figure
"""

import importlib.resources
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from headimpact.report.figures.svg import element, text

RESULTS = Path("benchmarks/results/scoring.json")
FLOAT32 = Path("benchmarks/results/scoring_float32.json")
GPU = Path("benchmarks/results/scoring_gpu.json")
PAGE, PICTURE = Path("docs/speed.md"), Path("docs/images/scoring_growth.svg")
BEGIN, END = "<!-- measured -->\n", "<!-- end -->"
MIB = 2**20

_WIDTH, _HEIGHT, _SIDE, _LEFT, _TOP = 900.0, 330.0, 330.0, 70.0, 40.0
_BOTTOM = 250.0
_STYLES = {"scoring": "var(--accent)", "eager": "var(--soft)"}

_RULES = "svg.growth text{font-size:12.5px}svg.growth .head{fill:var(--ink);font-weight:600}"

Point = tuple[float, float]


def measured_part(root: Path = Path()) -> str:
    """Write the part of the page that is made from the benchmark's files."""
    parts = []
    for path in (RESULTS, FLOAT32, GPU):
        content = json.loads((root / path).read_text(encoding="utf-8"))
        where = "" if content["device"] == "cpu" else f", whole models on one {content['device']}"
        parts += [f"In {content['dtype']}{where}:", "", *table_lines(content), ""]
    return "\n".join(parts)


def table_lines(content: dict[str, Any]) -> list[str]:
    """Lay the measured rows out as a Markdown table."""
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        "model": lambda row: row["model"],
        "image tokens": lambda row: f"{row['image_tokens']:,}",
        "batch": lambda row: str(row["batch"]),
        "time / forward without logits": lambda row: _ratio(row["times"], "backbone"),
        "time / eager, maps kept": lambda row: _ratio(row["times"], "eager"),
    }
    if content["device"] == "cpu":
        columns["operations / forward without logits"] = lambda row: (
            f"{row['flops']['per_layer_ratio_to_backbone']:.4f}"
        )
        columns["operations / plain forward, full depth"] = lambda row: (
            f"{row['flops']['full_depth_ratio_to_plain']:.3f}"
        )
        columns["inside our function"] = lambda row: f"{row['bytes_inside'] / MIB:.1f} MiB"
    columns["maps kept: ours / eager"] = lambda row: " / ".join(
        (f"{row['bytes_kept_at_full_depth']['scoring'] / MIB:,.1f}",
         f"{row['bytes_kept_at_full_depth']['eager'] / MIB:,.0f} MiB")
    )  # fmt: skip
    lines = [f"| {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) - 1)}"]
    return lines + [f"| {' | '.join(write(row) for write in columns.values())} |" for row in content["rows"]]


def _ratio(times: dict[str, Any] | None, other: str) -> str:
    """Write a median ratio with its interval."""
    if times is None:
        return "not timed"
    if other not in times["ratio_to"]:
        return "its maps do not fit"
    return "{median:.3f} [{low:.3f}, {high:.3f}]".format(**times["ratio_to"][other])


def draw(content: dict[str, Any]) -> Markup:
    """Draw the growth with length: memory of the maps, and time beside a forward pass, one row at a time."""
    rows = [row for row in content["rows"] if row["batch"] == 1]
    models = list(dict.fromkeys(row["model"] for row in rows))
    memory = {
        (way, model): [
            (row["image_tokens"], row["bytes_kept_at_full_depth"][way] / MIB) for row in rows if row["model"] == model
        ]
        for way in _STYLES
        for model in models
    }
    times = {}
    for model in models:
        timed = [row for row in rows if row["model"] == model and row["times"]]
        ratios = [(row["image_tokens"], row["times"]["ratio_to"]) for row in timed]
        times["scoring", model] = [(tokens, found["backbone"]["median"]) for tokens, found in ratios]
        times["eager", model] = [
            (tokens, found["backbone"]["median"] / found["eager"]["median"]) for tokens, found in ratios
        ]
    style = (importlib.resources.files("headimpact.report") / "templates" / "style.css").read_text(encoding="utf-8")
    label = "Memory and time of scoring and of eager attention with kept maps, by number of image tokens."
    return element(
        "svg",
        element("style", Markup(style + _RULES)),
        element("rect", width=_WIDTH, height=_HEIGHT, fill="var(--paper)"),
        *_panel(memory, _LEFT, "attention maps kept at full depth, MiB", (0.1, 1, 10, 100, 1000, 10_000, 100_000)),
        *_panel(times, _LEFT + _SIDE + 110, "time beside a forward pass without logits", (0.5, 1, 1.5, 2, 3, 4)),
        xmlns="http://www.w3.org/2000/svg",
        class_="growth",
        role="img",
        aria_label=label,
        viewBox=f"0 0 {_WIDTH:.0f} {_HEIGHT:.0f}",
    )  # fmt: skip


def _panel(series: dict[tuple[str, str], list[Point]], left: float, title: str, ticks: Sequence[float]) -> list[Markup]:
    """Draw one panel with both axes logarithmic: a line for each model, two colours for the two ways."""
    points = [point for line in series.values() for point in line]
    x_low, x_high = (math.log(pick(x for x, _ in points)) for pick in (min, max))
    low, high = (math.log(pick(y for _, y in points)) for pick in (min, max))
    low, high = low - 0.08 * (high - low), high + 0.08 * (high - low)

    def place(point: Point) -> Point:
        x = left + _SIDE * (math.log(point[0]) - x_low) / (x_high - x_low)
        return x, _BOTTOM - (_BOTTOM - _TOP) * (math.log(point[1]) - low) / (high - low)

    parts = [text(left, _TOP - 14, title, class_="head")]
    for tick in ticks:
        if low <= math.log(tick) <= high:
            y = place((math.exp(x_low), tick))[1]
            parts.append(element("line", x1=left, x2=left + _SIDE, y1=y, y2=y, stroke="var(--line)"))
            parts.append(text(left - 8, y + 4, f"{tick:,g}", anchor="end"))
    lengths = sorted({x for x, _ in points})
    parts += [text(place((x, 1.0))[0], _BOTTOM + 22, f"{x:,.0f}", anchor="middle") for x in lengths]
    parts.append(text(left + _SIDE / 2, _BOTTOM + 42, "image tokens", anchor="middle"))
    for (way, model), line in series.items():
        placed = [place(point) for point in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(
            element(
                "polyline",
                element("title", f"{way}, {model}"),
                points=path,
                fill="none",
                stroke=_STYLES[way],
                stroke_width=2,
            )
        )
        parts += [element("circle", cx=x, cy=y, r=3.2, fill=_STYLES[way]) for x, y in placed]
    for index, (way, words) in enumerate((("scoring", "headimpact"), ("eager", "eager with output_attentions"))):
        x = left + index * 110
        parts.append(element("circle", cx=x + 4, cy=_HEIGHT - 20, r=4, fill=_STYLES[way]))
        parts.append(text(x + 14, _HEIGHT - 16, words))
    return parts


def main() -> None:
    """Write the tables into the page, and the picture."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(before + BEGIN + measured_part() + END + after, encoding="utf-8")
    PICTURE.write_text(f"{draw(json.loads(RESULTS.read_text(encoding='utf-8')))}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
