"""Table of metrics. A metric is one file here and one line in the table.

A metric turns predictions into per-picture parts (sufficient statistics) whose weighted sums give its value, so
a bootstrap over pictures costs one matrix product.
"""

from headimpact.core.registry import Registry

METRICS = Registry(
    "metric",
    {
        "exact_match": "headimpact.evaluation.metrics.exact_match:METRIC",
        "key_object_recall": "headimpact.evaluation.metrics.key_object_recall:METRIC",
        "bleu_1": "headimpact.evaluation.metrics.bleu:BLEU_1",
        "bleu_2": "headimpact.evaluation.metrics.bleu:BLEU_2",
        "bleu_3": "headimpact.evaluation.metrics.bleu:BLEU_3",
        "bleu_4": "headimpact.evaluation.metrics.bleu:BLEU_4",
        "rouge_l": "headimpact.evaluation.metrics.rouge:METRIC",
        "cider_d": "headimpact.evaluation.metrics.cider:METRIC",
    },
)
"""Name to metric; every one here is higher-is-better and needs no extra package."""

COCO_NAMES = {
    "bleu_1": "Bleu_1",
    "bleu_2": "Bleu_2",
    "bleu_3": "Bleu_3",
    "bleu_4": "Bleu_4",
    "rouge_l": "ROUGE_L",
    "cider_d": "CIDEr",
}
"""Our names to pycocoevalcap's; its "CIDEr" is CIDEr-D."""
