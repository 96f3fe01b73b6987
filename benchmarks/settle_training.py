"""Which learning rate and number of steps does the study use? Settled on random layers, never on chosen ones.

For each task: the untuned model, LoRA on all layers, and LoRA on `--draws` random sets of k layers for every
point of the grid, measured by exact match on the validation split. No head score is read or computed here, so
nothing about the chosen layers can leak into the setting. Also shows whether a task has headroom: untuned
exact match at most 0.4, all layers at least 0.8, random layers in between. Writes JSON.
"""

import argparse
import itertools
import json
import logging
import tempfile
from pathlib import Path

import numpy as np

from headimpact.embedded.scenes import build_scenes
from headimpact.evaluation.evaluate import evaluate_predictions
from headimpact.evaluation.generation import EncodedPrompts, generate_responses
from headimpact.models.loading import LoadedModel
from headimpact.selection.strategies import select_layers
from headimpact.tuning.language_inputs import LanguageInputCache
from headimpact.tuning.options import TuningOptions
from headimpact.tuning.training import tune_adapter
from headimpact.workflows.configs import DataOptions, ModelOptions
from headimpact.workflows.dataset import prompt_for, read_checked
from headimpact.workflows.evaluation import evaluation_blocks
from headimpact.workflows.opening import open_model
from headimpact.workflows.tuning import tuning_examples

GRID_SEED = 1000
"""Seed of the random layers here; the study draws its own with seed 0."""


def measure_task(task: str, args: argparse.Namespace, folder: Path) -> list[dict[str, object]]:
    """Measure one task over the grid."""
    build_scenes(folder / task, task=task, counts={"train": args.train, "validation": args.validation}, seed=0)
    data = read_checked(folder / task)
    prompt = prompt_for(DataOptions(data=folder / task), data)
    base = open_model(ModelOptions(model=args.model))
    examples = tuning_examples(data.split("train"), prompt=prompt)
    cache = LanguageInputCache(base, examples)
    blocks = evaluation_blocks(data.split("validation"), prompt=prompt, batch_size=64)
    prompts = EncodedPrompts(base, blocks)
    architecture = base.family.architecture(base.config)
    choices = [("all", select_layers(architecture, strategy="all"))]
    choices += [
        (f"random-{draw}", select_layers(architecture, strategy="random", k=args.k, seed=GRID_SEED, draw=draw))
        for draw in range(args.draws)
    ]

    def exact_match(loaded: LoadedModel) -> float:
        spoken = generate_responses(loaded, blocks, max_new_tokens=32, prompts=prompts)
        said = [prediction for _, predictions in spoken for prediction in predictions]
        return evaluate_predictions(said, metrics=("exact_match",)).values["exact_match"]

    rows: list[dict[str, object]] = [{"task": task, "arm": "base", "exact_match": exact_match(base)}]
    print(json.dumps(rows[0]), flush=True)
    for (name, selection), rate, steps in itertools.product(choices, args.learning_rates, args.steps):
        out = folder / f"{task}-{name}-{rate}-{steps}"
        options = TuningOptions(
            max_steps=steps, learning_rate=rate, batch_size=32, warmup_ratio=0.05, lr_scheduler_type="cosine"
        )
        result = tune_adapter(base, examples, selection, options=options, out=out, cache=cache, show_progress=False)
        tuned = open_model(ModelOptions(model=args.model), adapter=result.adapter)
        rows.append(
            {
                "task": task,
                "arm": name,
                "layers": list(selection.layers),
                "learning_rate": rate,
                "steps": steps,
                "exact_match": exact_match(tuned),
                "last_loss": float(np.mean(result.losses[-10:])),
                "seconds": result.seconds,
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return rows


def main() -> None:
    """Measure every task and write the JSON."""
    logging.disable(logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--tasks", nargs="+", default=["where", "wording"])
    parser.add_argument("--k", type=int, default=2)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--learning-rates", type=float, nargs="+", default=[1e-2, 2e-2, 4e-2])
    parser.add_argument("--steps", type=int, nargs="+", default=[50, 100])
    parser.add_argument("--train", type=int, default=1024)
    parser.add_argument("--validation", type=int, default=128)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/settle_training.json"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for task in args.tasks for row in measure_task(task, args, Path(folder))]
    content = {"what": "exact match on validation, layers drawn at random", "k": args.k, "rows": rows}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
