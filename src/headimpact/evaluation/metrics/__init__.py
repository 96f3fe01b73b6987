"""Table of metrics. A metric is one file here and one line in the table.

A metric turns predictions into parts (sufficient statistics) whose weighted sums give its value, so a bootstrap over
pictures costs one matrix product.
"""

from headimpact.core.registry import Registry

METRICS = Registry(
    "metric",
    {
        "exact_match": "headimpact.evaluation.metrics.exact_match:METRIC",
        "vqa_accuracy": "headimpact.evaluation.metrics.vqa_accuracy:METRIC",
        "key_object_recall": "headimpact.evaluation.metrics.key_object_recall:METRIC",
        "chair_i": "headimpact.evaluation.metrics.chair:CHAIR_I",
        "chair_s": "headimpact.evaluation.metrics.chair:CHAIR_S",
        "bleu_1": "headimpact.evaluation.metrics.bleu:BLEU_1",
        "bleu_2": "headimpact.evaluation.metrics.bleu:BLEU_2",
        "bleu_3": "headimpact.evaluation.metrics.bleu:BLEU_3",
        "bleu_4": "headimpact.evaluation.metrics.bleu:BLEU_4",
        "meteor": "headimpact.evaluation.metrics.meteor:METRIC",
        "rouge_l": "headimpact.evaluation.metrics.rouge:METRIC",
        "cider_d": "headimpact.evaluation.metrics.cider:METRIC",
        "spice": "headimpact.evaluation.metrics.spice:METRIC",
        "clipscore": "headimpact.evaluation.metrics.clipscore:CLIPSCORE",
        "refclipscore": "headimpact.evaluation.metrics.clipscore:REFCLIPSCORE",
        "bertscore": "headimpact.evaluation.metrics.bertscore:METRIC",
    },
)
"""Name to metric; importing one imports no model library."""

CAPTION_METRICS = (
    "exact_match",
    "key_object_recall",
    "chair_i",
    "chair_s",
    "bleu_1",
    "bleu_2",
    "bleu_3",
    "bleu_4",
    "rouge_l",
    "cider_d",
)
"""Measured of captions where none is asked for by name: what needs neither Java nor a model."""

ANSWER_METRICS = ("exact_match", "vqa_accuracy")
"""Measured of answers to questions where none is asked for by name."""

COCO_METRICS = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l", "cider_d", "spice", "chair_i", "chair_s")
"""Measured of anybody's result file where none is asked for by name: COCO's own, as far as they can be had here."""

COCO_NAMES = {
    "bleu_1": "Bleu_1",
    "bleu_2": "Bleu_2",
    "bleu_3": "Bleu_3",
    "bleu_4": "Bleu_4",
    "meteor": "METEOR",
    "rouge_l": "ROUGE_L",
    "cider_d": "CIDEr",
    "spice": "SPICE",
}
"""Our names to pycocoevalcap's; its "CIDEr" is CIDEr-D."""
