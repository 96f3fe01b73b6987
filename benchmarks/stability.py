"""Does `score --until-stable` keep its promise, and how many pictures does it save?

Scene sets are scored once by the embedded model; then the stopping rule is replayed on them without the model, over
many seeds. `folder`: a random order of the set's pictures, the full ranking being that of all of them. `any number`:
pictures drawn from the set with replacement, so that there are always more. Made-up layers, noise with a common part,
are drawn anew for every seed, and their true means are known: `wide` has a clear cut, `beyond` the hardest one, with
many layers whose choice would cost just more than the promise, `tied` layers behind the cut that are nearly as good.

A run keeps its promise where it stopped with a regret below 2 %, or did not stop. For comparison: stopping where two
looks in a row choose the same layers. Writes JSON.
"""

import argparse
import json
import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import headimpact as hi
from headimpact.embedded.scenes import build_scenes
from headimpact.scoring.aggregation import layer_shares
from headimpact.scoring.regret import bound_regret, mean_errors
from headimpact.scoring.shards import read_shards
from headimpact.scoring.stability import CONFIDENCE, REGRET, plan_looks

RESULTS = Path("benchmarks/results/stability.json")
SCENES = (("where", 2), ("where", 3), ("describe", 2))
"""Tasks of the scene sets and numbers of layers to choose."""
SHARD_SIZE = 16
MADE_UP = {
    "wide": [0.30, 0.28, 0.26, 0.24, *np.linspace(0.20, 0.05, 24)],
    "beyond": [0.24, 0.24, 0.24, 0.24, *[0.24 * (1 - 4 * 1.05 * REGRET)] * 12, *np.linspace(0.15, 0.05, 12)],
    "tied": [0.30, 0.28, 0.26, 0.24, 0.239, 0.238, *np.linspace(0.20, 0.05, 22)],
}
"""True mean scores of 28 layers, of which 4 are chosen. In `beyond` one wrong layer costs 2.1 %."""
LAYERS_CHOSEN = 4

Draw = Callable[[int], np.ndarray]


def replay(draw: Draw, truth: np.ndarray, *, k: int, pictures: int, runs: int) -> dict[str, object]:
    """Replay the rule over many seeds and say how often it stopped, where, and how often it was right."""
    planned, best = plan_looks(pictures), np.sort(truth)[-k:].mean()
    stops: list[int] = []
    regrets: list[float] = []
    hasty: list[float] = []
    for seed in range(runs):
        values = draw(seed)
        before: tuple[int, ...] = ()
        has_stopped = is_hasty = False
        for look in planned:
            errors = mean_errors(values[:look], error_rate=(1 - CONFIDENCE) / len(planned), seed=seed)
            found = bound_regret(errors, k=k)
            regret = float(1 - truth[list(found.chosen)].mean() / best)
            if found.bound < REGRET and not has_stopped:
                has_stopped = True
                stops.append(look)
                regrets.append(regret)
            if found.chosen == before and not is_hasty:
                is_hasty = True
                hasty.append(regret)
            if has_stopped and is_hasty:
                break
            before = found.chosen
    broken = sum(regret >= REGRET for regret in regrets)
    ends = [*stops, *[pictures] * (runs - len(stops))]
    return {
        "k": k,
        "pictures": pictures,
        "runs": runs,
        "stopped": len(stops) / runs,
        "kept": 1 - broken / runs,
        "largest_regret": max(regrets, default=None),
        "median_pictures": float(np.median(ends)),
        "saved": 1 - float(np.mean(ends)) / pictures,
        "kept_by_same_choice_twice": 1 - sum(regret >= REGRET for regret in hasty) / runs,
    }


def score_scenes(task: str, count: int, folder: Path) -> np.ndarray:
    """Score a set of scenes once; one row per picture, one column per layer."""
    build_scenes(folder / "data", task=task, counts={"calibration": count}, seed=5)
    data = hi.read_dataset(folder / "data", split="calibration")
    options = {"donors": 1, "draws": 100, "bootstrap": 10, "examples": 0, "batch_size": 32, "shard_size": SHARD_SIZE}
    hi.score_heads(hi.load_model("embedded"), data, out=folder / "scores", **options)
    samples = read_shards(folder / "scores" / "samples", -(-count // SHARD_SIZE))
    return np.asarray(layer_shares(samples.own, samples.sees_image))


def made_up(means: Sequence[float], pictures: int) -> Draw:
    """Give pictures of layers with these true means; noise is skewed and half of it common to all layers."""
    truth = np.asarray(means)

    def draw(seed: int) -> np.ndarray:
        generator = np.random.default_rng(seed)
        common, own = generator.gamma(4, size=(pictures, 1)), generator.gamma(4, size=(pictures, len(truth)))
        return np.asarray(truth + 0.3 * truth * ((common - 4) + (own - 4)) / (2 * np.sqrt(2)))

    return draw


def from_scenes(values: np.ndarray, *, replace: bool) -> Draw:
    """Give a set's pictures in random order, or drawn from it again and again."""

    def draw(seed: int) -> np.ndarray:
        return values[np.random.default_rng(seed).choice(len(values), size=len(values), replace=replace)]

    return draw


def measure(args: argparse.Namespace) -> list[dict[str, object]]:
    """Replay the rule on every set."""
    rows: list[dict[str, object]] = []

    def add(name: str, sampling: str, draw: Draw, truth: np.ndarray, k: int) -> None:
        found = replay(draw, truth, k=k, pictures=args.pictures, runs=args.runs)
        gap = float(-np.diff(np.sort(truth)[::-1])[k - 1])
        rows.append({"set": name, "sampling": sampling, "gap_at_cut": gap, **found})
        print(json.dumps(rows[-1]), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        scored = {task: score_scenes(task, args.pictures, Path(folder) / task) for task in dict(SCENES)}
    for task, k in SCENES:
        for sampling, replace in (("folder", False), ("any number", True)):
            values = scored[task]
            add(f"scenes, {task}", sampling, from_scenes(values, replace=replace), values.mean(axis=0), k)
    for name, means in MADE_UP.items():
        add(f"made up, {name}", "any number", made_up(means, args.pictures), np.asarray(means), LAYERS_CHOSEN)
    return rows


def table(content: dict[str, object]) -> str:
    """Write the rows as the table of `docs/method.md`."""
    head = ("pictures", "layers", "drawn from", "stopped", "median stop", "saved", "kept", "same choice twice")
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    rows: list[dict[str, object]] = content["rows"]  # type: ignore[assignment]
    for row in rows:
        cells = (
            row["set"],
            f"best {row['k']}",
            f"{row['sampling']}" + (f" of {row['pictures']}" if row["sampling"] == "folder" else ""),
            f"{row['stopped']:.0%}",
            f"{row['median_pictures']:,.0f}",
            f"{row['saved']:.0%}",
            f"{row['kept']:.1%}",
            f"{row['kept_by_same_choice_twice']:.1%}",
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> None:
    """Replay the rule on every set and write the JSON."""
    logging.disable(logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    content = {
        "what": "regret of the choice at which score --until-stable stops, replayed over seeds",
        "regret": REGRET,
        "confidence": CONFIDENCE,
        "looks": list(plan_looks(args.pictures)),
        "rows": measure(args),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
