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
    },
)
"""Score name to its kernel; importing the table imports no kernel and no torch."""
