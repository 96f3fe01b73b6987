"""Looks at a growing number of pictures -> how many are enough: findings, curve, table."""

from markupsafe import Markup

from headimpact.report import wording
from headimpact.report.figures.stability_curve import StabilityCurve, render_stability_curve
from headimpact.report.figures.svg import element
from headimpact.report.page import Cell, Drawings, LegendKey, Row, StabilityPart, Table
from headimpact.report.sections.scores import BROAD, NARROW
from headimpact.scoring.stability import CONFIDENCE, REGRET, Look, Stability

NO_TIES = "none"
PROMISED = f"{100 * REGRET:g}{wording.NBSP}%"


def stability_part(stability: Stability | None) -> StabilityPart | None:
    """Describe how the choice of layers settled; nothing where there was no look."""
    if stability is None or not stability.looks:
        return None
    curve = StabilityCurve(
        pictures=[look.pictures for look in stability.looks],
        regrets=[look.regret_bound for look in stability.looks],
        promise=REGRET,
        correlations=[look.rank_correlation for look in stability.looks],
        overlaps=[look.overlap for look in stability.looks],
        tooltips=[_look_text(look) for look in stability.looks],
        label="Regret and agreement of the choice against the number of pictures; the table below has the numbers.",
    )
    return StabilityPart(
        findings=tuple(findings(stability)),
        curve=Drawings(
            broad=render_stability_curve(curve, width=BROAD), narrow=render_stability_curve(curve, width=NARROW)
        ),
        legend=_legend(),
        caption=_caption(stability),
        table=_table(stability),
    )


def findings(stability: Stability) -> list[str]:
    """Say how many pictures the choice took, or that they are not enough, and which layers are tied."""
    last = stability.looks[-1]
    count, best = wording.plural(last.pictures, "picture"), wording.plural(stability.k, "layer")
    layers = wording.joined(last.layers)
    name = f"layer {layers} is" if stability.k == 1 else f"layers {layers} are"
    regret = wording.percent(last.regret_bound)
    looks = "the one look" if len(stability.planned) == 1 else f"all {len(stability.planned)} looks"
    sure = f"with {wording.percent(CONFIDENCE)} confidence over {looks} planned"
    if last.is_stable:
        loses = f"{name} at most {regret} below the mean score of the best {best}, {sure}"
        first = stability.stable_at
        since = f" The choice was stable first at {first}." if first != last.pictures else ""
        stopped = (
            f" The run stopped there, of {stability.pictures} at hand." if last.pictures < stability.pictures else ""
        )
        said = f"{count} are enough to choose {best}: {loses}.{since}{stopped}"
    else:
        said = (
            f"{count} do not settle the choice of {best}: {name} only known to be at most {regret} below the mean "
            f"score of the best {best}, {sure}; {PROMISED} was asked for. More pictures would, or another number of "
            "layers may."
        )
    return [said, *([_ties(last)] if last.tied else [])]


def _ties(look: Look) -> str:
    """Name the layers that are tied at the cut."""
    return (
        f"Layers {wording.joined(look.tied)} are tied at the cut: these pictures do not tell which of them are among "
        f"the best {len(look.layers)}."
    )


def _caption(stability: Stability) -> str:
    """Explain the curve."""
    return (
        f"Looks at the pictures in the random order they were drawn in. First the most that the {stability.k} layers "
        "of highest score may lose against the best set of as many, as a share of its mean score; the dashed line is "
        f"{PROMISED}. Then rank correlation of all layers' scores with those of the last look, and "
        "the share of the chosen layers that the last look chooses too; the last look holds the earlier ones' pictures."
    )


def _legend() -> tuple[LegendKey, ...]:
    """List what the marks mean."""
    return (
        LegendKey(_swatch("top"), "regret; rank correlation"),
        LegendKey(_swatch("other"), "chosen layers in common"),
    )


def _swatch(kind: str) -> Markup:
    """Draw a dot of the legend."""
    dot = element("circle", class_=f"dot {kind}", cx=9, cy=7, r=4)
    return element("svg", dot, viewBox="0 0 18 14", aria_hidden="true")


def _table(stability: Stability) -> Table:
    """List every look."""
    rows = tuple(
        Row(
            wording.whole(look.pictures),
            (
                Cell(" ".join(map(str, look.layers))),
                Cell(wording.percent(look.regret_bound)),
                Cell(" ".join(map(str, look.tied)) or NO_TIES),
                Cell(wording.number(look.rank_correlation)),
                Cell(wording.percent(look.overlap)),
            ),
            is_top=look.pictures == stability.stable_at,
        )
        for look in stability.looks
    )
    head = ("Pictures", "Layers chosen", "Regret at most", "Tied at the cut", "Rank correlation", "In common")
    return Table("Every look; the first stable one is set off", head, rows)


def _look_text(look: Look) -> str:
    """Write a look's tooltip."""
    return (
        f"{wording.plural(look.pictures, 'picture')}: layers {' '.join(map(str, look.layers))}, regret at most "
        f"{wording.percent(look.regret_bound)}, rank correlation {wording.number(look.rank_correlation)}, "
        f"{wording.percent(look.overlap)} in common"
    )
