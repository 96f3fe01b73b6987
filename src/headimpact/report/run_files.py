"""Which folders are runs, and what their files hold."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headimpact.comparison.table import ComparisonTable
from headimpact.core.artifacts import read_json
from headimpact.core.errors import DataFormatError
from headimpact.evaluation.results import METRICS_FILE, METRICS_SCHEMA, PREDICTIONS_FILE, Prediction, read_predictions
from headimpact.report.examples import ExamplePicture, read_examples
from headimpact.scoring.head_scores import HeadScores
from headimpact.selection.selection import Selection

SCORES_FILE = "head_scores.json"
SELECTION_FILE = "selection.json"
TUNING_FILE, TUNING_SCHEMA = "tuning.json", "tuning/1"
COMPARISON_FILE = "comparison.json"
KNOWN_FILES = (SCORES_FILE, SELECTION_FILE, TUNING_FILE, METRICS_FILE, COMPARISON_FILE)


@dataclasses.dataclass(frozen=True)
class RunFiles:
    """What one run folder holds; None or empty where a stage has not run there.

    Attributes:
        name: Name of the folder.
        scores: What `score` wrote.
        examples: Example pictures of `score`.
        selection: What `select` wrote.
        tuning: `tuning.json` of `tune`.
        metrics: `metrics.json` of `evaluate`.
        predictions: `predictions.jsonl` of `evaluate`.
        comparison: `comparison.json` of `compare`.
    """

    name: str
    scores: HeadScores | None = None
    examples: tuple[ExamplePicture, ...] = ()
    selection: Selection | None = None
    tuning: dict[str, Any] | None = None
    metrics: dict[str, Any] | None = None
    predictions: tuple[Prediction, ...] = ()
    comparison: ComparisonTable | None = None


def read_runs(folders: Sequence[Path]) -> tuple[RunFiles, ...]:
    """Read every run in some folders and one level below them.

    Args:
        folders: Run folders, or folders of run folders.

    Returns:
        One entry per run, in the order given, sub-folders by name; a folder met twice counts once.

    Raises:
        DataFormatError: If a folder is missing, if no run is found, or if a file of a run is broken.
    """
    found: dict[Path, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise DataFormatError(
                f"Run folder not found: {folder}. Expected a folder written by headimpact; check the path."
            )
        below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        for path in (folder, *below):
            if any((path / name).is_file() for name in KNOWN_FILES):
                found.setdefault(path.resolve(), path)
    if not found:
        raise DataFormatError(
            f"No run found in {', '.join(str(folder) for folder in folders) or 'no folder'}: expected one of "
            f"{', '.join(KNOWN_FILES)} there or one level below. Run headimpact score first."
        )
    return tuple(_read_run(path) for path in found)


def _read_run(folder: Path) -> RunFiles:
    """Read what one folder holds."""

    def has(name: str) -> bool:
        return (folder / name).is_file()

    return RunFiles(
        name=folder.resolve().name,
        scores=HeadScores.read(folder) if has(SCORES_FILE) else None,
        examples=read_examples(folder / "examples") if has("examples/examples.json") else (),
        selection=Selection.read(folder / SELECTION_FILE) if has(SELECTION_FILE) else None,
        tuning=read_json(folder / TUNING_FILE, schema=TUNING_SCHEMA) if has(TUNING_FILE) else None,
        metrics=read_json(folder / METRICS_FILE, schema=METRICS_SCHEMA) if has(METRICS_FILE) else None,
        predictions=read_predictions(folder / PREDICTIONS_FILE) if has(METRICS_FILE) and has(PREDICTIONS_FILE) else (),
        comparison=ComparisonTable.read(folder) if has(COMPARISON_FILE) else None,
    )
