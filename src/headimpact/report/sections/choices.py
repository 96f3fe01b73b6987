"""Selections -> chosen layers in copyable form, and which layers the figures set off."""

import json
from collections.abc import Sequence

from headimpact.report import wording
from headimpact.report.page import Choice
from headimpact.report.run_files import RunFiles
from headimpact.report.sections.comparison import TOP
from headimpact.scoring.head_scores import HeadScores
from headimpact.selection.selection import Selection

CHOICES_SHOWN = 4


def shown_selections(runs: Sequence[RunFiles]) -> tuple[Selection, ...]:
    """Give the selections worth copying: the top ones, or all where there is none; each set of layers once."""
    every = [run.selection for run in runs if run.selection is not None]
    kept = [one for one in every if one.strategy == TOP] or every
    distinct = {(one.strategy, one.layers, one.heads): one for one in reversed(kept)}
    return tuple(reversed(list(distinct.values())))[:CHOICES_SHOWN]


def choices(runs: Sequence[RunFiles]) -> tuple[Choice, ...]:
    """Write the chosen layers so that they can be copied."""
    return tuple(_choice(selection) for selection in shown_selections(runs))


def chosen_layers(runs: Sequence[RunFiles], scores: HeadScores) -> tuple[int, ...]:
    """Give the layers to set off in the figures of one scoring run.

    Args:
        runs: All runs of the report.
        scores: The scores shown; selections and comparisons of other models do not count.

    Returns:
        The first shown selection's layers, else those of a comparison's top arm, else none.
    """
    for selection in shown_selections(runs):
        if selection.architecture == scores.architecture:
            return tuple(selection.layers)
    tables = [run.comparison for run in runs if run.comparison is not None]
    for table in tables:
        if table.options.get("identity", {}).get("model") != scores.provenance.get("model"):
            continue
        for row in table.rows:
            if row.arm == TOP and row.points:
                return row.points[0].layers
    return ()


def _choice(selection: Selection) -> Choice:
    """Write one selection."""
    size = f"{len(selection.layers)} of {wording.plural(selection.architecture.num_layers, 'layer')}"
    cost = wording.plural(selection.trainable_parameters(), "trainable parameter")
    share = wording.percent(selection.trainable_share())
    targets = json.dumps(list(selection.target_module_names()), indent=1)
    cost = f"{cost} ({share} of the model) at r = {selection.r}"
    if selection.heads is not None:
        size = f"{wording.plural(len(selection.heads), 'head')} in {size}"
        heads = " ".join(f"{layer_idx}.{head_idx}" for layer_idx, head_idx in selection.heads)
        # Its modules alone would tune the whole layers.
        return Choice(
            f"Chosen heads ({selection.strategy}): {size}, {cost}", f"layer.head: {heads}", "", selection.notes
        )
    title = f"Chosen layers ({selection.strategy}): {size}, {cost}"
    return Choice(title, f"layers: {wording.listed(selection.layers, join=' ')}", targets, selection.notes)
