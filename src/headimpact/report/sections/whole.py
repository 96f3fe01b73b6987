"""All runs -> the whole page, whichever stages are there."""

from collections.abc import Mapping, Sequence
from typing import Any

import headimpact
from headimpact.report import wording
from headimpact.report.page import FactTable, Page, ScorePart, SensitivityPart, Verdict
from headimpact.report.run_files import RunFiles
from headimpact.report.sections import scores as score_section
from headimpact.report.sections.choices import choices, chosen_layers
from headimpact.report.sections.comparison import comparison_part
from headimpact.report.sections.examples import example_intro, example_views
from headimpact.report.sections.facts import (
    evaluation_table,
    named_facts,
    score_facts,
    selection_table,
    tuning_table,
)
from headimpact.report.sections.knockout import knockout_part, knockout_verdict
from headimpact.report.sections.learning import learning_parts
from headimpact.report.sections.quotes import quotes
from headimpact.report.sections.sensitivity import sensitivity_part
from headimpact.report.sections.several_scores import several_scores
from headimpact.report.sections.sinks import sink_section
from headimpact.report.sections.stability import stability_part
from headimpact.report.sections.tuning_effect import effect_tables
from headimpact.report.sections.verdict import comparison_verdict, other_verdict, score_verdict
from headimpact.report.sections.words import word_section
from headimpact.scoring.head_scores import HeadScores

TITLE = "Which layers look at the key objects, and does tuning them pay?"
SCORES_TITLE = "Does this model look at the key objects?"
KNOCKOUT_TITLE = "Do the layers that look at the key objects matter for the answer?"


def build_page(runs: Sequence[RunFiles], *, title: str | None = None) -> Page:
    """Put the page together.

    Args:
        runs: Everything found, in the order to show it.
        title: Title of the page; a general one if None.

    Returns:
        The page; sections whose stage is missing are empty.
    """
    scored = [(run, run.scores) for run in runs if run.scores is not None]
    compared = [(run.name, run.comparison) for run in runs if run.comparison is not None]
    silenced = [(run.name, run.knockout) for run in runs if run.knockout is not None]
    tables = (selection_table(runs), tuning_table(runs), evaluation_table(runs) if compared else None)
    return Page(
        title=title
        or (KNOCKOUT_TITLE if silenced and not compared else TITLE if compared or not scored else SCORES_TITLE),
        version=headimpact.__version__,
        run_count=wording.plural(len(runs), "run folder"),
        subject=_subject(runs),
        verdicts=_verdicts(runs),
        warnings=tuple(dict.fromkeys(text for _, scores in scored for text in scores.warnings)),
        choices=choices(runs),
        scores=tuple(
            _score_part(run, scores, runs, prefix=f"p{i}", alone=len(scored) == 1)
            for i, (run, scores) in enumerate(scored)
        ),
        knockouts=tuple(knockout_part(table, run="" if len(silenced) == 1 else name) for name, table in silenced),
        sensitivities=_sensitivities(runs),
        comparisons=tuple(comparison_part(table, run="" if len(compared) == 1 else name) for name, table in compared),
        evaluation_table=None if compared else evaluation_table(runs),
        quotes=quotes(runs),
        facts=_facts(runs),
        run_tables=tuple(table for table in tables if table is not None),
        tuning_effects=effect_tables(runs),
        learning=learning_parts(runs),
    )


def _score_part(run: RunFiles, scores: HeadScores, runs: Sequence[RunFiles], *, prefix: str, alone: bool) -> ScorePart:
    """Describe one scoring run."""
    chosen = chosen_layers(runs, scores)
    said_above = not any(other.comparison is not None for other in runs)
    looking = [] if said_above else [score_section.looking_heads(scores)]
    return ScorePart(
        run="" if alone else run.name,
        summary=" ".join([*looking, score_section.summary(scores)]),
        panels=score_section.head_panels(scores, chosen_layers=chosen),
        map_caption=score_section.map_caption(scores, chosen_layers=chosen),
        head_table=score_section.head_table(scores),
        bars=score_section.layer_bars(scores, chosen_layers=chosen),
        bar_legend=score_section.bar_legend(scores, chosen_layers=chosen),
        bar_caption=score_section.bar_caption(scores),
        layer_table=score_section.layer_table(scores, chosen_layers=chosen),
        several=several_scores(scores, run.agreement),
        further=tuple(part for part in (sink_section(scores), word_section(scores)) if part is not None),
        example_intro=example_intro(run.examples),
        examples=example_views(run.examples, scores.values[scores.score], prefix=prefix),
        stability=stability_part(run.stability),
    )


def _sensitivities(runs: Sequence[RunFiles]) -> tuple[SensitivityPart, ...]:
    """Describe how far options move rankings, wherever that was measured."""
    alone = sum(run.sensitivity is not None for run in runs) == 1
    parts = (sensitivity_part(run.sensitivity, run="" if alone else run.name) for run in runs)
    return tuple(part for part in parts if part is not None)


def _verdicts(runs: Sequence[RunFiles]) -> tuple[Verdict, ...]:
    """Give a verdict for every comparison; without one, what silenced heads and scores show."""
    compared = tuple(comparison_verdict(run.comparison) for run in runs if run.comparison is not None)
    if compared:
        return compared
    scored = tuple(
        score_verdict(score_section.looking_heads(run.scores), has_twin=run.scores.baseline is not None)
        for run in runs
        if run.scores is not None
    )
    silenced = tuple(knockout_verdict(run.knockout) for run in runs if run.knockout is not None)
    return (*silenced, *scored) or (other_verdict(_stages(runs)),)


def _stages(runs: Sequence[RunFiles]) -> list[str]:
    """Name what is there."""
    kinds = {
        "selections": any(run.selection is not None for run in runs),
        "tuned runs": any(run.tuning is not None for run in runs),
        "evaluated runs": any(run.metrics is not None for run in runs),
        "a comparison of options": any(run.sensitivity is not None for run in runs),
    }
    return [name for name, there in kinds.items() if there]


def _subject(runs: Sequence[RunFiles]) -> tuple[tuple[str, str], ...]:
    """Say in the head line what the page is about."""
    found = {"model": ", ".join(_models(runs))}
    for run in runs:
        if run.scores is not None:
            found.setdefault("scored", wording.plural(run.scores.counts["used"], "picture"))
        if run.knockout is not None:
            found.setdefault("silenced on", wording.plural(run.knockout.pictures, "picture"))
        if run.comparison is not None:
            identity = run.comparison.options.get("identity", {})
            found.setdefault("task", wording.fact(identity.get("task")))
            found.setdefault("tested", wording.plural(run.comparison.images, "picture"))
    return tuple((name, value) for name, value in found.items() if value not in {"", wording.MISSING})


def _models(runs: Sequence[RunFiles]) -> tuple[str, ...]:
    """Name every model that the page is about, in the order of the runs."""
    sources: list[Mapping[str, Any]] = []
    for run in runs:
        sources += [run.scores.provenance] if run.scores is not None else []
        sources += [run.knockout.options] if run.knockout is not None else []
        sources += [run.comparison.options.get("identity", {})] if run.comparison is not None else []
        sources += [run.metrics["identity"]] if run.metrics is not None else []
    return tuple(dict.fromkeys(wording.fact(source["model"]) for source in sources if source.get("model")))


def _facts(runs: Sequence[RunFiles]) -> tuple[FactTable, ...]:
    """List options, counts and provenance of every stage."""
    scored = [(run, run.scores) for run in runs if run.scores is not None]
    tables: list[FactTable] = []
    for run, scores in scored:
        tables += score_facts(scores, run="" if len(scored) == 1 else run.name, provenance=run.provenance)
    for run in runs:
        if run.knockout is not None:
            tables.append(named_facts("How heads were silenced", run.knockout.options))
    tuned = next((run.tuning for run in runs if run.tuning is not None), None)
    if tuned is not None:
        tables.append(named_facts("How layers were tuned", tuned.get("options", {})))
    for run in runs:
        if run.comparison is not None:
            options = {**run.comparison.options, "margin": run.comparison.margin}
            identity = options.pop("identity", {})
            tables += [named_facts("What was compared", identity), named_facts("How it was compared", options)]
    evaluated = next((run.metrics for run in runs if run.metrics is not None), None)
    if evaluated is not None and not any(run.comparison is not None for run in runs):
        tables.append(named_facts("What was evaluated", evaluated["identity"]))
    tables += [
        named_facts(f"What tuning cost on plain text ({run.name})", run.forgetting) for run in runs if run.forgetting
    ]
    return tuple(table for table in tables if table.rows)
