"""Options, counts, provenance and run lists -> plain lists of names and values."""

from collections.abc import Mapping, Sequence
from typing import Any

from headimpact.report import wording
from headimpact.report.page import Cell, FactTable, Row, Table
from headimpact.report.run_files import RunFiles
from headimpact.scoring.head_scores import HeadScores
from headimpact.selection.selection import Selection


def score_facts(scores: HeadScores, *, run: str, provenance: Mapping[str, Any]) -> tuple[FactTable, ...]:
    """List a scoring run's pictures, options, architecture and provenance, that of its folder included."""
    where = f" ({run})" if run else ""
    skipped = scores.counts.get("skipped", {})
    reasons = [f"{wording.whole(count)}: {wording.reason(name)}" for name, count in skipped.items() if count]
    samples = [
        ("Scored", wording.plural(scores.counts["used"], "picture")),
        ("Left out", wording.listed(reasons, join="; ") if reasons else "none"),
    ]
    blind = scores.counts.get("blind_heads", 0)
    if blind:
        samples.append(("Heads without a score", wording.whole(blind)))
    return (
        FactTable(f"Pictures{where}", tuple(samples)),
        named_facts(f"How they were scored{where}", scores.options),
        named_facts(f"Model{where}", {k: v for k, v in scores.architecture.to_json().items() if k not in _LONG}),
        named_facts(f"Where the scores come from{where}", {**scores.provenance, **provenance}),
    )


def named_facts(title: str, content: Mapping[str, Any]) -> FactTable:
    """List the fields of a JSON object."""
    return FactTable(
        title, tuple((wording.field_name(str(name)), wording.fact(value)) for name, value in content.items())
    )


def selection_table(runs: Sequence[RunFiles]) -> Table | None:
    """List the selections; None without any."""
    rows = tuple(Row(run.name, _selection_cells(run.selection)) for run in runs if run.selection is not None)
    head = ("Run", "Strategy", "Layers", "Draw", "Seed")
    return Table(f"{wording.plural(len(rows), 'selection')} of layers", head, rows) if rows else None


def tuning_table(runs: Sequence[RunFiles]) -> Table | None:
    """List the tuned runs with what they trained; None without any."""
    rows = tuple(Row(run.name, _tuning_cells(run.tuning)) for run in runs if run.tuning is not None)
    head = ("Run", "Layers", "Trained parameters", "Steps", "First loss", "Last loss")
    return Table(wording.plural(len(rows), "tuned run"), head, rows) if rows else None


def evaluation_table(runs: Sequence[RunFiles]) -> Table | None:
    """List the evaluated runs with their measures; None without any."""
    found = [(run.name, run.metrics) for run in runs if run.metrics is not None]
    names = list(dict.fromkeys(name for _, metrics in found for name in metrics["metrics"]))
    rows = tuple(Row(name, _metric_cells(metrics, names)) for name, metrics in found)
    head = ("Run", "Arm", "Layers", *(wording.heading(name) for name in names), "Trained parameters", "Pictures")
    return Table(wording.plural(len(rows), "evaluated run"), head, rows) if rows else None


_LONG = ("projections",)


def _selection_cells(selection: Selection) -> tuple[Cell, ...]:
    """Write one selection."""
    texts = (selection.strategy, wording.listed(selection.layers), str(selection.draw), str(selection.seed))
    return tuple(Cell(text) for text in texts)


def _tuning_cells(tuning: Mapping[str, Any]) -> tuple[Cell, ...]:
    """Write one tuned run."""
    losses = tuning.get("losses") or [None]
    return (
        Cell(wording.fact(tuning.get("selection", {}).get("layers"))),
        Cell(wording.whole(tuning["trainable_parameters"]), wording.percent(tuning["trainable_share"])),
        Cell(wording.fact(tuning.get("steps"))),
        Cell(wording.number(losses[0], digits=3)),
        Cell(wording.number(losses[-1], digits=3)),
    )


def _metric_cells(metrics: Mapping[str, Any], names: Sequence[str]) -> tuple[Cell, ...]:
    """Write one evaluated run."""
    arm = metrics["arm"]
    trained = arm.get("trainable_parameters")
    return (
        Cell(wording.fact(arm.get("strategy"))),
        Cell(wording.fact(arm.get("layers"))),
        *(Cell(wording.number(metrics["metrics"].get(name), digits=3)) for name in names),
        Cell(wording.whole(trained), wording.percent(arm.get("trainable_share"))) if trained else Cell("none"),
        Cell(wording.fact(metrics.get("n"))),
    )
