"""Evaluated runs from their folders, and the refusal to compare what is not comparable."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headimpact.core.errors import DataFormatError, IncompatibleRunsError
from headimpact.evaluation.results import METRICS_FILE, PREDICTIONS_FILE, read_metrics

BASE = "base"
CHOSEN = (
    "top-k", "bottom-k", "random", "depth-matched", "last-n", "top-heads", "random-heads", "gate-gradient",
)  # fmt: skip
"""Strategies that choose layers; their trainable parameters must be equal."""
BUDGET_TOLERANCE = 0.01
"""How far the trainable parameters of such arms may differ, as a share."""


@dataclasses.dataclass(frozen=True)
class Arm:
    """What was tuned in one run.

    Attributes:
        strategy: How the layers were chosen; "base" for the untuned model.
        layers: Layers tuned, 0-based.
        draw: Which random draw, 0 where there is only one.
        seed: Seed of the tuning.
        choosable_layers: Layers that the choice was made from, None where not known.
        trainable_parameters: Parameters that were trained.
        trainable_share: The same as a share of the model's parameters.
        heads: Layer and query head of each head tuned, where single heads were.
    """

    strategy: str
    layers: tuple[int, ...] = ()
    draw: int = 0
    seed: int = 0
    choosable_layers: int | None = None
    trainable_parameters: int = 0
    trainable_share: float = 0.0
    heads: tuple[tuple[int, int], ...] = ()

    @property
    def chosen(self) -> frozenset[Any]:
        """Give what was chosen: heads where single heads were, else layers."""
        return frozenset(self.heads or self.layers)


@dataclasses.dataclass(frozen=True)
class EvaluatedRun:
    """One finished run of `evaluate`.

    Attributes:
        path: Its folder.
        arm: What was tuned.
        identity: What must be equal between compared runs.
        values: Metric name to value.
        parts: Metric name to per-picture parts, rows in the same order for equal `image_ids_hash`.
        used: "scored", "tuned" and "tested" to the hashes of the pictures.
    """

    path: Path
    arm: Arm
    identity: Mapping[str, Any]
    values: Mapping[str, float]
    parts: Mapping[str, np.ndarray]
    used: Mapping[str, frozenset[str]]


@dataclasses.dataclass(frozen=True)
class FoundRuns:
    """What lies below some folders.

    Attributes:
        runs: Finished runs, sorted by path.
        unfinished: Folders of runs without `metrics.json`; named, not compared.
    """

    runs: tuple[EvaluatedRun, ...]
    unfinished: tuple[Path, ...]


def find_runs(paths: Sequence[Path]) -> FoundRuns:
    """Find the evaluated runs in and below some folders.

    Args:
        paths: Run folders, or folders of run folders at any depth.

    Returns:
        Finished runs, each once, and the folders of unfinished ones.

    Raises:
        DataFormatError: If a path is no folder, a run's files are broken, or no finished run is there.
    """
    finished: set[Path] = set()
    begun: set[Path] = set()
    for path in paths:
        if not path.is_dir():
            raise DataFormatError(f"Not a folder: {path}. Expected a run folder written by headimpact evaluate.")
        here = {file.parent.resolve() for file in path.rglob(METRICS_FILE)}
        traces = [*path.rglob(PREDICTIONS_FILE), *(found for found in path.rglob("predictions") if found.is_dir())]
        finished |= here
        begun |= {file.parent.resolve() for file in traces} or ({path.resolve()} if not here else set())
    unfinished = tuple(sorted(begun - finished))
    if not finished:
        raise DataFormatError(
            f"No finished run in {', '.join(str(path) for path in paths)}: no {METRICS_FILE} found"
            f"{f'; unfinished: {_names(unfinished)}' if unfinished else ''}. Run headimpact evaluate first."
        )
    return FoundRuns(runs=tuple(read_run(path) for path in sorted(finished)), unfinished=unfinished)


def read_run(path: Path) -> EvaluatedRun:
    """Read one finished run.

    Raises:
        DataFormatError: If a file is missing or broken.
    """
    content, parts = read_metrics(path)
    try:
        arm = _read_arm(content["arm"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataFormatError(
            f"Not an arm in {path / METRICS_FILE}: {error!r}. Expected strategy, layers, draw, seed and "
            "trainable_parameters. Evaluate again."
        ) from error
    used = {use: frozenset(hashes) for use, hashes in content["used_image_hashes"].items()}
    return EvaluatedRun(
        path=path, arm=arm, identity=content["identity"], values=content["metrics"], parts=parts, used=used
    )


def check_comparable(runs: Sequence[EvaluatedRun]) -> None:
    """Refuse runs that differ in more than what was tuned.

    Args:
        runs: All runs of one comparison.

    Raises:
        IncompatibleRunsError: If there are fewer than two runs, a field of their identity differs (model,
            revision, data, task, prompt, split, pictures, generation options, tokenizer), two runs are the same
            arm, draw and seed, arms that choose layers differ in trainable parameters by more than 1 %, or
            test pictures were scored or tuned on, or are not named. The message names the field, the runs
            and the counts.
    """
    if len(runs) < 2:
        raise IncompatibleRunsError(f"Nothing to compare: got {len(runs)} finished run; expected at least two.")
    for run in runs[1:]:
        _check_identity(runs[0], run)
    _check_distinct(runs)
    _check_budget(runs)
    _check_unseen(runs)


def _check_identity(first: EvaluatedRun, other: EvaluatedRun) -> None:
    """Compare every field of two identities.

    Raises:
        IncompatibleRunsError: If one differs.
    """
    for field in sorted(set(first.identity) | set(other.identity)):
        ours, theirs = first.identity.get(field), other.identity.get(field)
        if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
            inner = next((name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)), None)
            if inner is None:
                continue
            field, ours, theirs = f"{field}.{inner}", ours.get(inner), theirs.get(inner)  # noqa: PLW2901
        if ours != theirs:
            raise IncompatibleRunsError(
                f"Runs cannot be compared: {field} is {ours!r} in {first.path.name} and {theirs!r} in "
                f"{other.path.name}; expected the same. Evaluate them alike, or compare them apart."
            )


def _check_distinct(runs: Sequence[EvaluatedRun]) -> None:
    """Refuse the same arm, draw and seed given twice, and one draw with two choices of layers or heads.

    Raises:
        IncompatibleRunsError: If there is such a pair.
    """
    seen: dict[tuple[str, int, int], EvaluatedRun] = {}
    choices: dict[tuple[str, int], EvaluatedRun] = {}
    for run in runs:
        arm = run.arm
        key = (arm.strategy, arm.draw, arm.seed)
        if key in seen:
            twin = seen[key]
            raise IncompatibleRunsError(
                f"Runs cannot be compared: {twin.path.name} and {run.path.name} are both {arm.strategy}, draw "
                f"{arm.draw}, seed {arm.seed}; expected each once. Leave one out."
            )
        seen[key] = run
        other = choices.setdefault((arm.strategy, arm.draw), run)
        if other.arm.chosen != arm.chosen:
            kind = "heads" if arm.heads or other.arm.heads else "layers"
            raise IncompatibleRunsError(
                f"Runs cannot be compared: {kind} are {sorted(other.arm.chosen)} in {other.path.name} and "
                f"{sorted(arm.chosen)} in {run.path.name}, both {arm.strategy}, draw {arm.draw}; expected the same "
                f"{kind} for every seed of a draw. Number the draws apart."
            )


def _check_budget(runs: Sequence[EvaluatedRun]) -> None:
    """Refuse arms that choose layers at unequal cost.

    Raises:
        IncompatibleRunsError: If trainable parameters differ by more than the tolerance.
    """
    chosen = sorted((run for run in runs if run.arm.strategy in CHOSEN), key=lambda run: run.arm.trainable_parameters)
    if not chosen:
        return
    low, high = chosen[0], chosen[-1]
    if high.arm.trainable_parameters > (1 + BUDGET_TOLERANCE) * low.arm.trainable_parameters:
        raise IncompatibleRunsError(
            f"Runs cannot be compared: trainable_parameters is {low.arm.trainable_parameters} in {low.path.name} and "
            f"{high.arm.trainable_parameters} in {high.path.name}; expected within {BUDGET_TOLERANCE:.0%} wherever "
            "layers are chosen. Tune them with the same k, r and target modules."
        )


def _check_unseen(runs: Sequence[EvaluatedRun]) -> None:
    """Refuse test pictures that any run was scored or tuned on.

    Raises:
        IncompatibleRunsError: If there are such pictures, or a run does not say which it was tested on.
    """
    tested = frozenset().union(*(run.used.get("tested", frozenset()) for run in runs))
    for run in runs:
        if not run.used.get("tested"):
            raise IncompatibleRunsError(
                f"Runs cannot be compared: used_image_hashes of {run.path.name} does not say which pictures it was "
                "tested on, so overlap cannot be ruled out. Evaluate again."
            )
        overlap = {use: len(tested & run.used.get(use, frozenset())) for use in ("scored", "tuned")}
        if any(overlap.values()):
            raise IncompatibleRunsError(
                f"Runs cannot be compared: of {len(tested)} test pictures, {overlap['scored']} were scored on and "
                f"{overlap['tuned']} were tuned on in {run.path.name}; expected none. Evaluate on another split."
            )


def _read_arm(content: Mapping[str, Any]) -> Arm:
    """Build an arm from its JSON."""
    choosable_layers = content.get("choosable_layers")
    return Arm(
        strategy=str(content["strategy"]),
        layers=tuple(int(layer) for layer in content.get("layers") or ()),
        heads=tuple((int(layer), int(head)) for layer, head in content.get("heads") or ()),
        draw=int(content.get("draw") or 0),
        seed=int(content.get("seed") or 0),
        choosable_layers=None if choosable_layers is None else int(choosable_layers),
        trainable_parameters=int(content.get("trainable_parameters") or 0),
        trainable_share=float(content.get("trainable_share") or 0.0),
    )


def _names(paths: Sequence[Path]) -> str:
    """Name folders shortly."""
    return ", ".join(path.name for path in paths)
