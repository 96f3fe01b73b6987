"""Head scores, chance levels and their files: arrays in, arrays out; no model is seen here.

In come attention maps `[layers, heads, image_tokens]` and masks as coverage `[masks, image_tokens]`; out
goes one number per head and mask (kernels, torch), then shards of per-picture values, then `HeadScores`
(numpy only). A score is one file and one line of `SCORES`.
"""

from headimpact.core.registry import Registry

SCORES = Registry(
    "score",
    {
        "head_impact": "headimpact.scoring.head_impact:head_impact",
        "attention_mass": "headimpact.scoring.attention_mass:attention_mass",
        "energy_pointing": "headimpact.scoring.energy_pointing:energy_pointing",
        "area_enrichment": "headimpact.scoring.area_enrichment:area_enrichment",
        "pointing_game": "headimpact.scoring.pointing_game:pointing_game",
        "visual_score": "headimpact.scoring.visual_score:visual_score",
        "auroc": "headimpact.scoring.auroc:auroc",
        "average_precision": "headimpact.scoring.average_precision:average_precision",
        "image_attention": "headimpact.scoring.image_attention:image_attention",
        "spatial_entropy": "headimpact.scoring.spatial_entropy:spatial_entropy",
        "sink_share": "headimpact.scoring.sink_share:sink_share",
    },
)
"""Score name to its kernel, higher values first in every choice; importing the table imports no kernel and no torch.

A kernel takes maps, coverage and areas and gives one value per mask and head; one that needs no mask (`WITHOUT_MASK`)
takes maps and boxes and gives one value per head. Those of `BY_PEAKS` take, instead of maps, where each row's highest
weight is.
"""

WITHOUT_MASK = frozenset({"image_attention", "spatial_entropy", "sink_share"})
"""Scores that look at the map alone: other pictures' masks say nothing about them, so they have no chance level."""

BY_PEAKS = frozenset({"visual_score"})
"""Scores of where each response row's highest weight over all keys is; maps, averaged over rows, do not say that."""

WITHOUT_SINKS = "_without_sinks"
"""Ends the name of a score that was computed a second time as if sinks (`sinks.py`) were no part of the picture."""

CAUSAL_SCORES = ("gate_gradient", "knockout")
"""Scores of what a head does to the loss. They run the model themselves (`workflows/causal_scores.py`), so only those
asked for by name are computed; their per-picture values are reduced as those of a score without a mask.
"""


def is_variant(name: str) -> bool:
    """Say whether a name is that of a score measured in another way: without sinks, over the rows of some words.

    Example:
        >>> is_variant("auroc"), is_variant("auroc_without_sinks")
        (False, True)
    """
    return name not in (*SCORES, *CAUSAL_SCORES)
