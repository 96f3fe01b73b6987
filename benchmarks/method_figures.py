"""Make the picture of docs/method.md: five maps against one object, and what every score says of each."""

from pathlib import Path

import torch
from markupsafe import Markup

from headimpact.report import wording
from headimpact.report.figures.colours import STEPS, scale_colours, step_of
from headimpact.report.figures.svg import element
from headimpact.scoring import SCORES
from headimpact.scoring.spatial_entropy import map_entropy

PICTURE = "docs/images/scores.svg"
SIDE, KEY = 8, [(row, column) for row in (2, 3) for column in (1, 2, 3)]
SHOWN = (
    *("head_impact", "attention_mass", "energy_pointing", "area_enrichment", "pointing_game", "visual_score"),
    *("auroc", "average_precision", "image_attention"),
)
CELL, LEFT, TOP, GAP = 12.0, 150.0, 40.0, 24.0
_DARK = "".join(f".q{i}{{fill:{colour}}}" for i, colour in enumerate(scale_colours("sequential", "dark")))
_LIGHT = "".join(f".q{i}{{fill:{colour}}}" for i, colour in enumerate(scale_colours("sequential", "light")))
_STYLE = (
    "text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,'Liberation Sans',sans-serif;fill:#3b3f46}"
    ".head{font-weight:600}.key{fill:none;stroke:#b5451b;stroke-width:1.6}.grid{stroke:#c9c6be}"
    f"{_LIGHT}@media(prefers-color-scheme:dark){{text{{fill:#d4d2cc}}.key{{stroke:#f0935a}}.grid{{stroke:#555a62}}{_DARK}}}"
)


def tokens() -> tuple[torch.Tensor, torch.Tensor]:
    """Give the boxes of the grid and the object's coverage."""
    edges = torch.linspace(0, 1, SIDE + 1)
    boxes = [(edges[c], edges[r], edges[c + 1], edges[r + 1]) for r in range(SIDE) for c in range(SIDE)]
    coverage = torch.tensor([float((r, c) in KEY) for r in range(SIDE) for c in range(SIDE)])
    return torch.tensor(boxes), coverage


def maps() -> dict[str, torch.Tensor]:
    """Give five heads' attention to 64 tokens."""
    boxes, key = tokens()
    middle = ((boxes[:, :2] + boxes[:, 2:]) / 2 - 0.5).square().sum(dim=1).sqrt()
    even = torch.ones(SIDE * SIDE) / SIDE**2
    on_key = key / key.sum()
    sink = torch.zeros(SIDE * SIDE)
    sink[7 * SIDE + 6] = 1.0
    beside = torch.zeros(SIDE, SIDE)
    beside[2:5, 2:5] = 1 / 9
    return {
        "on the object": 0.55 * on_key + 0.35 * even,
        "on it, and a sink": 0.25 * on_key + 0.45 * sink + 0.2 * even,
        "beside it": 0.6 * beside.flatten() + 0.3 * even,
        "at the centre": 0.9 * (1 - middle) / (1 - middle).sum(),
        "everywhere, little": 0.1 * even,
    }


def values(attention: torch.Tensor) -> list[tuple[str, float]]:
    """Score one map by every score; what the picture leaves goes to two text tokens, half each."""
    boxes, key = tokens()
    areas, rows = torch.ones(SIDE**2), attention[None, None]
    text = (1.0 - attention.sum()) / 2
    best = (attention == attention.max()) & (attention > text)
    peaks = (best.float() / best.sum().clamp(min=1))[None, None]
    found = []
    for name in SHOWN:
        kernel = SCORES.load(name)
        if name == "image_attention":
            found.append((name, float(kernel(rows, boxes))))
        else:
            found.append((name, float(kernel(peaks if name == "visual_score" else rows, key[None], areas))))
    return [*found, ("entropy H", float(map_entropy(rows, boxes)))]


def draw() -> Markup:
    """Draw the maps in a row and the values below them."""
    parts = [element("style", Markup(_STYLE))]
    for place, (name, attention) in enumerate(maps().items()):
        x = LEFT + place * (SIDE * CELL + GAP)
        parts.append(element("text", name, class_="head", x=x + SIDE * CELL / 2, y=24, text_anchor="middle"))
        for token, share in enumerate((attention / attention.max()).tolist()):
            row, column = divmod(token, SIDE)
            corner = {"x": x + column * CELL, "y": TOP + row * CELL, "width": CELL - 0.5, "height": CELL - 0.5}
            parts.append(element("rect", class_=f"q{min(step_of(share, 0.0, 1.0), STEPS - 1)}", **corner))
        top, left = TOP + 2 * CELL, x + 1 * CELL
        parts.append(element("rect", class_="key", x=left, y=top, width=3 * CELL - 0.5, height=2 * CELL - 0.5))
        for line, (score, value) in enumerate(values(attention)):
            y = TOP + SIDE * CELL + 26 + 19 * line
            if not place:
                parts.append(element("text", wording.heading(score), x=8, y=y))
            said = wording.number(value)
            parts.append(element("text", said, x=x + SIDE * CELL / 2, y=y, text_anchor="middle"))
    width, height = LEFT + 5 * (SIDE * CELL + GAP), TOP + SIDE * CELL + 26 + 19 * (len(SHOWN) + 1)
    label = "Five attention maps against one object, outlined, and what every score says of each"
    return element(
        "svg",
        element("title", label),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=width,
        height=height,
    )


def main() -> None:
    """Write the picture."""
    Path(PICTURE).write_text(f"{draw()}\n", encoding="utf-8")
    print(PICTURE)


if __name__ == "__main__":
    main()
