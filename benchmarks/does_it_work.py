"""Does Head Impact predict what a knockout does, and what tuning gains? The section "Causes" of docs/protocol.md.

python -m benchmarks.does_it_work --work runs/does_it_work

For each task of the embedded model: Head Impact (calibration split), knockouts and gate gradients (validation split),
and LoRA on every layer and on two groups of heads per layer with every seed, measured on the test split. Everything is
kept in small files under `--work`; a run that was stopped goes on where it was, and one that is done only works the
correlations out again. Writes JSON.
"""

import argparse
import dataclasses
import logging
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headimpact.core.architecture import ArchitectureSummary
from headimpact.core.artifacts import read_json, read_tensors, write_json, write_tensors
from headimpact.core.head_parts import Head
from headimpact.core.provenance import collect_provenance
from headimpact.data.dataset import KeyObjectDataset
from headimpact.embedded.scenes import build_scenes
from headimpact.evaluation.evaluate import evaluate_predictions
from headimpact.evaluation.generation import EncodedPrompts, generate_responses
from headimpact.models.batching import BatchSize
from headimpact.models.loading import LoadedModel
from headimpact.models.response_losses import response_losses
from headimpact.scoring.rank_agreement import correlate_ranks
from headimpact.scoring.shards import read_shards
from headimpact.selection.selection import Selection
from headimpact.tuning.language_inputs import LanguageInputCache
from headimpact.tuning.options import TuningOptions
from headimpact.tuning.training import tune_adapter
from headimpact.workflows.configs import ModelOptions, ScoreConfig
from headimpact.workflows.dataset import prompt_for, read_checked
from headimpact.workflows.evaluation import evaluation_blocks
from headimpact.workflows.head_causes import measure_gate_gradients, measure_knockouts
from headimpact.workflows.opening import open_model
from headimpact.workflows.run_folder import claim_run
from headimpact.workflows.scoring import score_folder
from headimpact.workflows.tuning import tuning_examples

SCHEMA, RUN_SCHEMA = "does_it_work/1", "does_it_work_run/1"
TASKS = ("where", "wording")
COUNTS = {"calibration": 128, "train": 1024, "validation": 64, "test": 128}
SPOKEN = 64
"""Pictures of the test split that are described; all of them have a loss."""
BATCH = 64
KINDS = ("layer", "group", "head")
PAIRS = (
    ("head_impact", "knockout"),
    ("head_impact", "gain"),
    ("head_impact", "exact_match"),
    ("head_impact", "knockout_every_row"),
    ("gate_gradient", "knockout"),
    ("gate_gradient", "gain"),
    ("knockout", "gain"),
    ("depth", "gain"),
)
"""What is correlated with what; heads were not tuned one by one."""


@dataclasses.dataclass(frozen=True)
class Unit:
    """A layer, a group of heads of one layer, or a head.

    Attributes:
        name: Name of its files.
        layer: Its layer.
        heads: Its heads.
    """

    name: str
    layer: int
    heads: tuple[int, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Bench:
    """What every step of one task shares."""

    loaded: LoadedModel
    data: KeyObjectDataset
    prompt: str
    folder: Path

    @property
    def architecture(self) -> ArchitectureSummary:
        """Sizes of the model's language part."""
        return self.loaded.family.architecture(self.loaded.config)


def set_up(task: str, args: argparse.Namespace) -> Bench:
    """Make the scenes, once, and open the model."""
    folder = args.work / task
    if not (folder / "data").is_dir():
        build_scenes(folder / "data", task=task, counts=COUNTS, seed=0)
    data = read_checked(folder / "data")
    config = ScoreConfig(model=args.model, data=folder / "data", out=folder / "scores")
    return Bench(open_model(ModelOptions(model=args.model)), data, prompt_for(config, data), folder)


def measure_head_impact(bench: Bench, model: str) -> np.ndarray:
    """Score the calibration split: Head Impact of every picture, layer and head."""
    out = bench.folder / "scores"
    config = ScoreConfig(model=model, data=bench.folder / "data", out=out, batch_size=BATCH, examples=0, resume=True)
    if not claim_run(config, done_file="head_scores.json"):
        score_folder(bench.loaded, bench.data.split("calibration"), config=config, prompt=bench.prompt)
    return read_shards(out / "samples", len(list((out / "samples").glob("shard_*")))).own.astype(np.float64)


def layer_units(architecture: ArchitectureSummary) -> list[Unit]:
    """List all layers."""
    heads = tuple(range(architecture.num_heads))
    return [Unit(f"layer-{layer:02d}", layer, heads) for layer in range(architecture.num_layers)]


def group_units(head_impact: np.ndarray, architecture: ArchitectureSummary) -> list[Unit]:
    """Halve every layer by Head Impact: the key/value groups of higher and those of lower mean over their heads.

    Query heads that share keys and values stay together, so that all halves have equally many live parameters and the
    two halves of a layer have none in common.
    """
    shared = architecture.num_heads // architecture.num_key_value_heads
    means = head_impact.mean(axis=0).reshape(architecture.num_layers, -1, shared).mean(axis=2)
    units = []
    for layer, values in enumerate(means):
        order = np.argsort(-values, kind="stable")
        for name, places in (("upper", order[: len(order) // 2]), ("lower", order[len(order) // 2 :])):
            heads = sorted(int(place) * shared + offset for place in places for offset in range(shared))
            units.append(Unit(f"layer-{layer:02d}-{name}", layer, tuple(heads)))
    return units


def head_units(architecture: ArchitectureSummary) -> list[Unit]:
    """List all heads."""
    layers, heads = range(architecture.num_layers), range(architecture.num_heads)
    return [Unit(f"head-{layer:02d}-{head}", layer, (head,)) for layer in layers for head in heads]


def measure_causes(bench: Bench, units: Sequence[Unit]) -> dict[str, np.ndarray]:
    """Knock every unit out, and differentiate by every head, on the validation split.

    Single heads come last; in every row they are not knocked out.
    """
    path = bench.folder / "causes.safetensors"
    if not path.is_file():
        samples = bench.data.split("validation").samples
        answers = [sample.captions[0] for sample in samples]
        found = {"gate_gradient": _squared_slopes(bench, samples, answers, units)}
        in_every_row = [unit for unit in units if len(unit.heads) > 1]
        for name, chosen, responses_only in (("knockout", units, True), ("knockout_every_row", in_every_row, False)):
            found[name] = measure_knockouts(
                bench.loaded,
                samples,
                answers,
                [{unit.layer: unit.heads} for unit in chosen],
                prompt=bench.prompt,
                batch_size=BatchSize(BATCH),
                responses_only=responses_only,
            ).T
        write_tensors(path, found)
    return {name: values.astype(np.float64) for name, values in read_tensors(path).items()}


def _squared_slopes(bench: Bench, samples: Sequence[Any], answers: Sequence[str], units: Sequence[Unit]) -> np.ndarray:
    """Sum the squared slopes of each unit's heads, picture by picture."""
    slopes = measure_gate_gradients(
        bench.loaded, samples, answers, prompt=bench.prompt, batch_size=BatchSize(BATCH)
    ).astype(np.float64)
    return np.stack([(slopes[:, unit.layer, list(unit.heads)] ** 2).sum(axis=1) for unit in units])


class TestSplit:
    """Loss and exact match of any arm of one task; what lies below the language model is computed once."""

    __test__ = False

    def __init__(self, bench: Bench) -> None:
        """Keep the base model's inputs for the test split."""
        dataset = bench.data.split("test")
        self._examples = tuning_examples(dataset, prompt=bench.prompt)
        self._cache = LanguageInputCache(bench.loaded, self._examples)
        self._blocks = evaluation_blocks(dataset.samples[:SPOKEN], prompt=bench.prompt, batch_size=BATCH)
        self._prompts = EncodedPrompts(bench.loaded, self._blocks)

    def measure(self, loaded: LoadedModel) -> dict[str, Any]:
        """Give the mean loss of the reference captions, and the share of pictures described word by word."""
        losses = []
        with torch.inference_mode():
            for start in range(0, len(self._examples), BATCH):
                batch = self._cache.batch(range(start, min(start + BATCH, len(self._examples))))
                losses += response_losses(loaded.model, batch.inputs, batch.labels).tolist()
        spoken = generate_responses(loaded, self._blocks, max_new_tokens=32, prompts=self._prompts)
        said = [prediction for _, predictions in spoken for prediction in predictions]
        exact = evaluate_predictions(said, metrics=("exact_match",)).values["exact_match"]
        return {"loss": float(np.mean(losses)), "exact_match": exact}


def tune_units(bench: Bench, units: Sequence[Unit], args: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Tune and measure every unit with every seed; seeds outermost, so that a stopped run has whole seeds."""
    split = TestSplit(bench)
    examples = tuning_examples(bench.data.split("train"), prompt=bench.prompt)
    cache = LanguageInputCache(bench.loaded, examples)
    found: dict[str, list[dict[str, Any]]] = {"base": [_once(bench, "base", lambda: split.measure(bench.loaded))]}

    def tuned(unit: Unit, seed: int) -> dict[str, Any]:
        start, out = time.perf_counter(), bench.folder / "adapter"
        shutil.rmtree(out, ignore_errors=True)
        result = tune_adapter(
            bench.loaded,
            examples,
            _selection(unit, bench.architecture),
            options=_options(args, seed),
            out=out,
            cache=cache,
            show_progress=False,
        )
        tuning = time.perf_counter() - start
        measured = split.measure(open_model(ModelOptions(model=args.model), adapter=result.adapter))
        return {
            **measured,
            "trainable_parameters": result.count.trainable,
            "last_training_loss": float(np.mean(result.losses[-10:])),
            "tuning_seconds": tuning,
            "seconds": time.perf_counter() - start,
        }

    for seed in range(args.seeds):
        for unit in units:
            run = _once(bench, f"{unit.name}-seed{seed}", lambda unit=unit, seed=seed: tuned(unit, seed))
            found.setdefault(unit.name, []).append(run)
    return found


def _once(bench: Bench, name: str, measure: Any) -> dict[str, Any]:
    """Measure a run, or read what was measured before; says so."""
    path = bench.folder / "runs" / f"{name}.json"
    if not path.is_file():
        write_json(path, measure(), schema=RUN_SCHEMA)
        print(bench.folder.name, name, path.read_text(encoding="utf-8").replace("\n", ""), flush=True)
    return read_json(path, schema=RUN_SCHEMA)


def _selection(unit: Unit, architecture: ArchitectureSummary) -> Selection:
    """Choose a whole layer, or some of its heads."""
    whole = len(unit.heads) == architecture.num_heads
    heads: tuple[Head, ...] | None = None if whole else tuple((unit.layer, head) for head in unit.heads)
    return Selection(strategy="given", layers=(unit.layer,), heads=heads, architecture=architecture)


def _options(args: argparse.Namespace, seed: int) -> TuningOptions:
    """The settings of docs/protocol.md."""
    return TuningOptions(
        max_steps=args.steps,
        learning_rate=2e-2,
        batch_size=16,
        warmup_ratio=0.05,
        lr_scheduler_type="cosine",
        seed=seed,
    )


def measure_task(task: str, args: argparse.Namespace) -> dict[str, Any]:
    """Measure everything about one task and correlate it."""
    bench = set_up(task, args)
    head_impact = measure_head_impact(bench, args.model)
    units = {
        "layer": layer_units(bench.architecture),
        "group": group_units(head_impact, bench.architecture),
        "head": head_units(bench.architecture),
    }
    everything = [unit for kind in KINDS for unit in units[kind]]
    causes = measure_causes(bench, everything)
    runs = tune_units(bench, units["layer"] + units["group"], args)
    base = runs["base"][0]
    content: dict[str, Any] = {"base": base, "units": {}, "correlations": [], "contrasts": []}
    start = 0
    for kind in KINDS:
        places = slice(start, start + len(units[kind]))
        start = places.stop
        measured = {name: values[places] for name, values in causes.items() if len(values) > places.start}
        measured |= _of_units(head_impact, runs, units[kind], base)
        content["units"][kind] = _unit_rows(units[kind], measured, runs)
        content["correlations"] += correlations(kind, units[kind], measured)
        if kind == "group":
            content["contrasts"] = [contrast(name, measured[name]) for name in ("head_impact", "knockout", "gain")]
    content["tuning_seconds"] = sum(run.get("seconds", 0.0) for several in runs.values() for run in several)
    return content


def _of_units(
    head_impact: np.ndarray,
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
    units: Sequence[Unit],
    base: Mapping[str, Any],
) -> dict[str, np.ndarray]:
    """Give Head Impact (by picture), depth, and what tuning gained (by seed)."""
    found = {
        "head_impact": np.stack([head_impact[:, unit.layer, list(unit.heads)].mean(axis=1) for unit in units]),
        "depth": np.array([[float(unit.layer)] for unit in units]),
    }
    if units[0].name in runs:
        found["gain"] = np.array([[base["loss"] - run["loss"] for run in runs[unit.name]] for unit in units])
        found["exact_match"] = np.array([[run["exact_match"] for run in runs[unit.name]] for unit in units])
    return found


def _unit_rows(
    units: Sequence[Unit], measured: Mapping[str, np.ndarray], runs: Mapping[str, Sequence[Mapping[str, Any]]]
) -> list[dict[str, Any]]:
    """Write down every unit with the means of what was measured, and each seed's outcome."""
    rows = []
    for place, unit in enumerate(units):
        row: dict[str, Any] = {"name": unit.name, "layer": unit.layer, "heads": list(unit.heads)}
        row |= {name: float(values[place].mean()) for name, values in measured.items() if name != "depth"}
        if unit.name in runs:
            row["trainable_parameters"] = runs[unit.name][0]["trainable_parameters"]
            row["seeds"] = [{name: run[name] for name in ("loss", "exact_match")} for run in runs[unit.name]]
        rows.append(row)
    return rows


def correlations(kind: str, units: Sequence[Unit], measured: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Correlate every pair that this kind of unit has, as it is and given depth; layers are drawn whole."""
    layers = np.array([unit.layer for unit in units])
    rows = []
    for first, second in PAIRS:
        if second not in measured:
            continue
        same = {first, second} == {"gate_gradient", "knockout"}
        for given in (None,) if first == "depth" else (None, "depth"):
            held = None if given is None else measured[given][:, 0]
            found = correlate_ranks(measured[first], measured[second], given=held, clusters=layers, same_repeats=same)
            row = {"kind": kind, "first": first, "second": second, "given": given}
            numbers = {name: _or_none(value) for name, value in dataclasses.asdict(found).items()}
            rows.append({**row, **numbers, "answer": found.answer})
    return rows


def _or_none(value: float) -> float | None:
    """Give None, which JSON can hold, where there is no number."""
    return None if math.isnan(value) else value


def contrast(name: str, values: np.ndarray) -> dict[str, Any]:
    """Hold the upper half of every layer against its lower half: same depth, other Head Impact."""
    differences = values[0::2] - values[1::2]
    means = differences.mean(axis=1)
    generator = np.random.default_rng(0)
    layers, repeats = differences.shape
    drawn = [
        differences[generator.integers(layers, size=layers)][:, generator.integers(repeats, size=repeats)].mean()
        for _ in range(2000)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    higher, untied = int((means > 0).sum()), int((means != 0).sum())
    return {
        "measure": name,
        "layers": layers,
        "higher": higher,
        "sign_p": sign_p(higher, untied),
        "difference": float(means.mean()),
        "low": float(low),
        "high": float(high),
    }


def sign_p(higher: int, layers: int) -> float:
    """Two-sided sign test: how often as one-sided a count, or more so, if either half were as likely to be higher."""
    extreme = max(higher, layers - higher)
    tail: float = sum(math.comb(layers, count) for count in range(extreme, layers + 1)) / 2**layers
    return min(1.0, 2 * tail)


def main() -> None:
    """Measure every task and write the JSON."""
    logging.disable(logging.INFO)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/does_it_work.json"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tasks = {task: measure_task(task, args) for task in args.tasks}
    settings = {"steps": args.steps, "seeds": args.seeds, "pictures": {**COUNTS, "described": SPOKEN}}
    write_json(args.out, {"settings": settings, "tasks": tasks, "provenance": collect_provenance()}, schema=SCHEMA)


if __name__ == "__main__":
    main()
