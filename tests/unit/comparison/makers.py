"""Run folders and evaluated runs with chosen values."""

from pathlib import Path

from headimpact.comparison.runs import Arm, EvaluatedRun
from headimpact.evaluation.evaluate import evaluate_predictions
from headimpact.evaluation.metrics.metric import as_mean_parts
from headimpact.evaluation.results import Prediction, write_metrics, write_predictions

IDENTITY = {
    "model": "embedded",
    "revision": None,
    "data_fingerprint": "abc",
    "prompt": "p",
    "split": "test",
    "generation": {"num_beams": 1, "max_new_tokens": 48},
}


def arm(strategy="random", *, layers=(1, 2), draw=0, seed=0, choosable_layers=12, trainable=1000, heads=()):
    trainable = 0 if strategy == "base" else trainable
    layers = () if strategy == "base" else tuple(layers)
    return Arm(strategy, layers, draw, seed, choosable_layers, trainable, trainable / 1e6, tuple(heads))


def run(one: Arm, matches, *, name="", metric="exact_match", identity=None, used=None):
    """Make a run in memory whose metric is the mean of per-picture values."""
    parts = {metric: as_mean_parts([float(match) for match in matches])}
    return EvaluatedRun(
        path=Path(name or f"{one.strategy}-{one.draw}-{one.seed}"),
        arm=one,
        identity=IDENTITY if identity is None else identity,
        values={metric: float(parts[metric][:, 0].mean())},
        parts=parts,
        used={"tested": frozenset({"t"}), "scored": frozenset(), "tuned": frozenset()} if used is None else used,
    )


def write_run(folder: Path, *, correct=(1, 1, 0, 0), used=None, identity=None, **fields) -> Path:
    """Write a run folder as `evaluate` does; `correct` says which pictures are answered right."""
    predictions = [
        Prediction(str(index), "a red dog" if hit else "a blue cat", ("a red dog", "the red dog"), ("dog",))
        for index, hit in enumerate(correct)
    ]
    write_predictions(folder / "predictions.jsonl", predictions)
    content = {"strategy": "random", "layers": [1, 2], "draw": 0, "seed": 0, "trainable_parameters": 1000, **fields}
    content = {"choosable_layers": 12, "trainable_share": 0.001, **content}
    if content["strategy"] == "base":
        content |= {"layers": [], "trainable_parameters": 0, "trainable_share": 0.0}
    write_metrics(
        folder,
        evaluate_predictions(predictions),
        identity={**IDENTITY, **(identity or {})},
        arm=content,
        used_image_hashes={"tested": [f"t{n}" for n in range(len(correct))], **(used or {})},
    )
    return folder
