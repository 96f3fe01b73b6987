"""How far does the tokenizer without Java move each caption metric against the PTB tokenizer?

Two sets of real captions: the golden result file of COCO val2014 with its references, and `coco_mini`, where the first
caption of each picture is measured against the others. Needs Java. From the project's root:

    python -m benchmarks.tokenizers ../shared/data benchmarks/results/tokenizers.json
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headimpact.core.provenance import collect_provenance
from headimpact.evaluation.coco_results import read_coco_results
from headimpact.evaluation.evaluate import evaluate_predictions
from headimpact.evaluation.results import Prediction
from headimpact.evaluation.tokenizers import TOKENIZERS

METRICS = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l", "cider_d")


def golden(data: Path) -> Sequence[Prediction]:
    folder = data / "coco_caption"
    return read_coco_results(
        folder / "captions_val2014_fakecap_results_subset.json", folder / "captions_val2014_subset370.json"
    )


def mini(data: Path) -> Sequence[Prediction]:
    captions: dict[str, list[str]] = {}
    for one in json.loads((data / "coco_mini" / "captions.json").read_text(encoding="utf-8"))["annotations"]:
        captions.setdefault(str(one["image_id"]), []).append(one["caption"])
    return [Prediction(image_id, said, tuple(others)) for image_id, (said, *others) in captions.items()]


def measure(predictions: Sequence[Prediction]) -> dict[str, Any]:
    texts = [text for one in predictions for text in (one.prediction, *one.references)]
    pairs = zip(*(TOKENIZERS.load(name)(texts) for name in ("python", "ptb")), strict=True)
    values = {
        name: evaluate_predictions(predictions, metrics=METRICS, tokenizer=name).values for name in ("python", "ptb")
    }
    return {
        "pictures": len(predictions),
        "captions": len(texts),
        "captions_that_differ": sum(ours != theirs for ours, theirs in pairs),
        "ptb": values["ptb"],
        "moved": {name: values["python"][name] - values["ptb"][name] for name in METRICS},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    sets = {"coco_caption": measure(golden(given.data)), "coco_mini": measure(mini(given.data))}
    content = {"sets": sets, "versions": collect_provenance()["versions"]}
    given.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
