"""Make the sentences, tables and picture of docs/does_it_work.md from what benchmarks/does_it_work.py measured.

python -m benchmarks.does_it_work_figure
"""

import importlib.resources
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from headimpact.report.figures.svg import element, nice_ticks, text

RESULTS = Path("benchmarks/results/does_it_work.json")
PAGE, PICTURE = Path("docs/does_it_work.md"), Path("docs/images/does_it_work.svg")
BEGIN, END = "<!-- measured -->\n", "<!-- end -->"
MEASURES = {"knockout": "what a knockout does", "gain": "what tuning gains"}
WORDS = {
    "head_impact": "Head Impact",
    "gate_gradient": "gate gradient",
    "knockout": "knockout",
    "knockout_every_row": "knockout in every row",
    "gain": "gain",
    "exact_match": "exact match",
    "depth": "depth",
}
KINDS = {"layer": "layers", "group": "groups", "head": "heads"}

_SIDE, _GAP, _LEFT, _TOP, _ROW = 190.0, 58.0, 64.0, 58.0, 276.0
_RULES = (
    "svg.causes text{font-size:12px}svg.causes .head{fill:var(--ink);font-weight:600}svg.causes .mark{font-size:10px}"
)

Row = Mapping[str, Any]
Point = tuple[float, float]


def measured_part(root: Path = Path()) -> str:
    """Write the part of the page that is made from the benchmark's file."""
    content = json.loads((root / RESULTS).read_text(encoding="utf-8"))
    parts = ["## What came out", ""]
    for task, found in content["tasks"].items():
        parts += [f"- {sentence(task, found['correlations'], measure)}" for measure in MEASURES]
        parts += [f"- {depth_sentence(task, found['correlations'])} {halves_sentence(found['contrasts'])}"]
    parts += ["", cost_sentence(content["tasks"])]
    parts += ["", "Spearman's correlation of Head Impact, 95 % interval:", "", *primary_lines(content["tasks"])]
    parts += ["", "Within layers, upper half (higher HI) minus lower half:", "", *contrast_lines(content["tasks"])]
    parts += ["", "Beside it, decides nothing:", "", *other_lines(content["tasks"])]
    for task, found in content["tasks"].items():
        base = f"Untuned on *{task}*: loss {found['base']['loss']:.3f}, exact match {found['base']['exact_match']:.3f}."
        parts += ["", f"{base} Its layers:", "", *layer_lines(found["units"]["layer"])]
    return "\n".join([*parts, ""])


def sentence(task: str, rows: Sequence[Row], measure: str) -> str:
    """Say whether Head Impact predicts a measure, by the rule of the protocol."""
    primary = [row for kind in ("layer", "group") for row in _pick(rows, kind, "head_impact", measure)]
    answers = {row["answer"] for row in primary}
    said = {"positive": "predicts", "negative": "predicts the reverse of"}
    verb = said.get(answers.pop()) if len(answers) == 1 else None
    start = (
        f"*{task}*: it is undecided whether Head Impact predicts" if verb is None else f"*{task}*: Head Impact {verb}"
    )
    kinds = [f"{_said(primary[place])}, given depth {_said(primary[place + 1])}" for place in (0, 2)]
    return f"{start} {MEASURES[measure]}. Layers {kinds[0]}; groups {kinds[1]}."


def depth_sentence(task: str, rows: Sequence[Row]) -> str:
    """Say how far depth alone orders what tuning gains."""
    layers, groups = (_pick(rows, kind, "depth", "gain")[0] for kind in ("layer", "group"))
    return f"*{task}*: depth alone correlates with what tuning gains: layers {_said(layers)}, groups {_said(groups)}."


def halves_sentence(rows: Sequence[Row]) -> str:
    """Say whether at the same depth the half of higher Head Impact gains more."""
    (row,) = (row for row in rows if row["measure"] == "gain")
    ahead = f"the half of higher HI gains more in {row['higher']} of {row['layers']}"
    return f"Within layers, {ahead}; mean difference {_difference(row)}."


def cost_sentence(tasks: Mapping[str, Row]) -> str:
    """Say what the tuning runs took."""
    runs = sum(
        len(unit["seeds"]) for found in tasks.values() for kind in ("layer", "group") for unit in found["units"][kind]
    )
    minutes = sum(found["tuning_seconds"] for found in tasks.values()) / 60
    return f"Tuning and evaluation of {runs} runs took {minutes:.0f} minutes on one core, with other work on the next."


def primary_lines(tasks: Mapping[str, Row]) -> list[str]:
    """Lay out what the protocol calls primary, and heads beside it."""
    lines = ["| task | units | with | as it is | given depth | could be found |", "|---|---|---|---:|---:|---:|"]
    for task, found in tasks.items():
        for kind, units in KINDS.items():
            for measure in MEASURES:
                rows = _pick(found["correlations"], kind, "head_impact", measure)
                if rows:
                    least = " / ".join(f"{row['detectable']:.3f}" for row in rows)
                    cells = [task, f"{rows[0]['units']} {units}", WORDS[measure], *map(_interval, rows), least]
                    lines.append(f"| {' | '.join(cells)} |")
    return lines


def contrast_lines(tasks: Mapping[str, Row]) -> list[str]:
    """Lay out the halves of layers."""
    lines = ["| task | measure | mean difference | upper half ahead | sign test |", "|---|---|---:|---:|---:|"]
    for task, found in tasks.items():
        for row in found["contrasts"]:
            ahead = f"{row['higher']} of {row['layers']}"
            p = "by design" if row["measure"] == "head_impact" else f"p {row['sign_p']:.3f}"
            lines.append(f"| {task} | {WORDS[row['measure']]} | {_difference(row)} | {ahead} | {p} |")
    return lines


def other_lines(tasks: Mapping[str, Row]) -> list[str]:
    """Lay out the correlations that the protocol only puts beside the primary ones."""
    lines = ["| task | units | | with | as it is | given depth |", "|---|---|---|---|---:|---:|"]
    for task, found in tasks.items():
        rows = found["correlations"]
        for row in rows:
            if row["given"] is not None or (row["first"] == "head_impact" and row["second"] in MEASURES):
                continue
            held = _pick(rows, row["kind"], row["first"], row["second"])[1:]
            cells = [task, KINDS[row["kind"]], WORDS[row["first"]], WORDS[row["second"]], _interval(row)]
            lines.append(f"| {' | '.join([*cells, _interval(held[0]) if held else ''])} |")
    return lines


def layer_lines(units: Sequence[Row]) -> list[str]:
    """Lay out the layers of one task."""
    lines = ["| layer | HI | knockout | gain | of the seeds | exact match |", "|---:|---:|---:|---:|---:|---:|"]
    for unit in units:
        losses = [seed["loss"] for seed in unit["seeds"]]
        untuned = unit["gain"] + sum(losses) / len(losses)
        low, high = untuned - max(losses), untuned - min(losses)
        lines.append(
            f"| {unit['layer']} | {unit['head_impact']:.3f} | {unit['knockout']:+.4f} | {unit['gain']:.3f} | "
            f"{low:.3f} to {high:.3f} | {unit['exact_match']:.3f} |"
        )
    return lines


def _pick(rows: Sequence[Row], kind: str, first: str, second: str) -> list[Row]:
    """Find a correlation: as it is, then given depth."""
    return [row for row in rows if (row["kind"], row["first"], row["second"]) == (kind, first, second)]


def _said(row: Row) -> str:
    """Write a correlation in a sentence."""
    return f"{_number(row['value'])} ({row['answer']})"


def _difference(row: Row) -> str:
    """Write a mean difference with its interval."""
    return f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"


def _number(value: float | None) -> str:
    """Write a correlation."""
    return "none" if value is None else f"{value:+.2f}"


def _interval(row: Row) -> str:
    """Write a correlation with its interval; bold where the interval leaves out 0."""
    if row["value"] is None:
        return "none"
    written = f"{_number(row['value'])} [{_number(row['low'])}, {_number(row['high'])}]"
    return written if row["answer"] == "undecided" else f"**{written}**"


def draw(content: Row) -> Markup:
    """Draw Head Impact against knockout and gain: layers with their numbers, halves of a layer joined by a line."""
    panels = []
    for row, (task, found) in enumerate(content["tasks"].items()):
        top = _TOP + row * _ROW
        columns = [(kind, measure) for kind in ("layer", "group") for measure in MEASURES]
        for column, (kind, measure) in enumerate(columns):
            (corner,) = _pick(found["correlations"], kind, "head_impact", measure)[:1]
            title = f"{task}, {KINDS[kind]}: {WORDS[measure]}, {_number(corner['value'])}"
            left = _LEFT + column * (_SIDE + _GAP)
            panels += _panel(found["units"][kind], measure, (left, top), title)
    height = _TOP + len(content["tasks"]) * _ROW - 8
    width = _LEFT + 4 * (_SIDE + _GAP) - _GAP + 20
    style = (importlib.resources.files("headimpact.report") / "templates" / "style.css").read_text(encoding="utf-8")
    return element(
        "svg",
        element("style", Markup(style + _RULES)),
        element("rect", width=width, height=height, fill="var(--paper)"),
        *panels,
        xmlns="http://www.w3.org/2000/svg",
        class_="causes",
        role="img",
        aria_label="Head Impact of layers and their halves against the effect of a knockout and the gain of tuning.",
        viewBox=f"0 0 {width:.0f} {height:.0f}",
    )  # fmt: skip


def _panel(units: Sequence[Row], measure: str, corner: Point, title: str) -> list[Markup]:
    """Draw one panel: Head Impact to the right, the measure upwards."""
    left, top = corner
    points = [(unit["head_impact"], unit[measure]) for unit in units]
    (x_low, x_high), (y_low, y_high) = (_room([point[axis] for point in points]) for axis in (0, 1))

    def place(point: Point) -> Point:
        x = left + _SIDE * (point[0] - x_low) / (x_high - x_low)
        return x, top + _SIDE * (y_high - point[1]) / (y_high - y_low)

    parts = [text(left, top - 12, title, class_="head")]
    for tick in nice_ticks(y_low, y_high, count=4):
        y = place((x_low, tick))[1]
        parts.append(element("line", x1=left, x2=left + _SIDE, y1=y, y2=y, stroke="var(--line)"))
        parts.append(text(left - 6, y + 4, f"{tick:g}", anchor="end"))
    below = [(place((tick, y_low))[0], f"{tick:g}") for tick in nice_ticks(x_low, x_high, count=4)]
    parts += [text(x, top + _SIDE + 18, words, anchor="middle") for x, words in below]
    parts.append(text(left + _SIDE / 2, top + _SIDE + 36, "Head Impact", anchor="middle"))
    placed = [place(point) for point in points]
    halves = len(units) > len({unit["layer"] for unit in units})
    if halves:
        for upper, lower in zip(placed[0::2], placed[1::2], strict=True):
            ends = {"x1": upper[0], "y1": upper[1], "x2": lower[0], "y2": lower[1]}
            parts.append(element("line", **ends, stroke="var(--bar)"))
    for unit, (x, y) in zip(units, placed, strict=True):
        tip = f"{unit['name']}: Head Impact {unit['head_impact']:.3f}, {WORDS[measure]} {unit[measure]:.4f}"
        fill = "var(--paper)" if halves and unit["name"].endswith("lower") else "var(--accent)"
        parts.append(element("circle", element("title", tip), cx=x, cy=y, r=3.4, fill=fill, stroke="var(--accent)"))
        if not halves:
            parts.append(text(x + 5, y - 4, str(unit["layer"]), class_="mark"))
    return parts


def _room(values: Sequence[float]) -> Point:
    """Give an axis a little more than its values take."""
    low, high = min(values), max(values)
    margin = 0.08 * (high - low) or 1.0
    return low - margin, high + margin


def main() -> None:
    """Write the measured part into the page, and the picture."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(before + BEGIN + measured_part() + END + after, encoding="utf-8")
    PICTURE.write_text(f"{draw(json.loads(RESULTS.read_text(encoding='utf-8')))}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
