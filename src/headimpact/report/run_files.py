"""Which folders are runs, and what their files hold."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from headimpact.comparison.knockout_table import KNOCKOUT_FILE, KnockoutTable
from headimpact.comparison.table import ComparisonTable
from headimpact.core import provenance
from headimpact.core.artifacts import read_json
from headimpact.core.errors import DataFormatError
from headimpact.evaluation import forgetting
from headimpact.evaluation.results import METRICS_FILE, METRICS_SCHEMA, PREDICTIONS_FILE, Prediction, read_predictions
from headimpact.report.examples import ExamplePicture, read_examples
from headimpact.scoring.agreement import AGREEMENT_FILE, ScoreAgreement
from headimpact.scoring.head_scores import HeadScores
from headimpact.scoring.sensitivity import SENSITIVITY_FILE, Sensitivity
from headimpact.scoring.stability import STABILITY_FILE, Stability
from headimpact.selection.selection import SELECTION_FILE, Selection

SCORES_FILE = "head_scores.json"
TUNING_FILE, TUNING_SCHEMA = "tuning.json", "tuning/1"
COMPARISON_FILE = "comparison.json"
TUNING_FIELDS = ("trainable_parameters", "trainable_share", "losses", "options")
METRICS_FIELDS = ("metrics", "n", "identity", "arm")
SELECTIONS_FOLDER = "selections"
KNOWN_FILES = (
    SCORES_FILE,
    SENSITIVITY_FILE,
    KNOCKOUT_FILE,
    SELECTION_FILE,
    TUNING_FILE,
    METRICS_FILE,
    COMPARISON_FILE,
)

SEARCH_LEVELS = 2
"""How far below a given folder runs are looked for."""


@dataclasses.dataclass(frozen=True)
class RunFiles:
    """What one run folder holds; None or empty where a stage has not run there.

    Attributes:
        name: Name of the folder.
        scores: What `score` wrote.
        agreement: How far the scores agree, where `score` computed several.
        examples: Example pictures of `score`.
        knockout: What `knockout` wrote.
        selection: What `select` wrote.
        tuning: `tuning.json` of `tune`.
        metrics: `metrics.json` of `evaluate`.
        stability: Looks at a growing number of pictures, of `score`.
        sensitivity: What `sensitivity` wrote.
        predictions: `predictions.jsonl` of `evaluate`.
        forgetting: `forgetting.json` of `evaluate --forgetting`.
        comparison: `comparison.json` of `compare`.
        provenance: `provenance.json`: versions, commit, device.
    """

    name: str
    scores: HeadScores | None = None
    agreement: ScoreAgreement | None = None
    examples: tuple[ExamplePicture, ...] = ()
    knockout: KnockoutTable | None = None
    selection: Selection | None = None
    tuning: dict[str, Any] | None = None
    metrics: dict[str, Any] | None = None
    stability: Stability | None = None
    sensitivity: Sensitivity | None = None
    predictions: tuple[Prediction, ...] = ()
    forgetting: dict[str, Any] = dataclasses.field(default_factory=dict)
    comparison: ComparisonTable | None = None
    provenance: dict[str, Any] = dataclasses.field(default_factory=dict)


def read_runs(folders: Sequence[Path]) -> tuple[RunFiles, ...]:
    """Read every run in some folders and up to two levels below them.

    A folder named `selections` may hold several selections, one file each.

    Args:
        folders: Run folders, folders of run folders, or the folder of a whole experiment.

    Returns:
        One entry per run, in the order given, sub-folders by name; a folder met twice counts once.

    Raises:
        DataFormatError: If a folder is missing, if no run is found, or if a file of a run is broken.
    """
    found: dict[Path, RunFiles] = {}
    for folder in folders:
        if not folder.is_dir():
            raise DataFormatError(
                f"Run folder not found: {folder}. Expected a folder written by headimpact; check the path."
            )
        for path in _walk(folder, levels=SEARCH_LEVELS):
            for place, run in _runs_in(path):
                found.setdefault(place.resolve(), run)
    if not found:
        raise DataFormatError(
            f"No run found in {', '.join(str(folder) for folder in folders) or 'no folder'}: expected one of "
            f"{', '.join(KNOWN_FILES)} there or up to {SEARCH_LEVELS} levels below. Run headimpact score first."
        )
    return tuple(found.values())


def _walk(folder: Path, *, levels: int) -> Iterator[Path]:
    """List a folder and the folders below it, parents first, by name.

    Yields:
        Folders.
    """
    yield folder
    if levels:
        for path in sorted(folder.iterdir()):
            if path.is_dir() and not path.name.startswith("."):
                yield from _walk(path, levels=levels - 1)


def _runs_in(folder: Path) -> Iterator[tuple[Path, RunFiles]]:
    """Read the run of a folder, or the selections of a folder of selections.

    Yields:
        The place of a run and what it holds.
    """
    if any((folder / name).is_file() for name in KNOWN_FILES):
        yield folder, _read_run(folder)
    elif folder.name == SELECTIONS_FOLDER:
        for path in sorted(folder.glob("*.json")):
            yield path, RunFiles(name=path.stem, selection=Selection.read(path))


def _read_run(folder: Path) -> RunFiles:
    """Read what one folder holds."""

    def has(name: str) -> bool:
        return (folder / name).is_file()

    return RunFiles(
        name=folder.resolve().name,
        scores=HeadScores.read(folder) if has(SCORES_FILE) else None,
        agreement=ScoreAgreement.read(folder) if has(SCORES_FILE) and has(AGREEMENT_FILE) else None,
        examples=read_examples(folder / "examples") if has("examples/examples.json") else (),
        knockout=KnockoutTable.read(folder) if has(KNOCKOUT_FILE) else None,
        selection=Selection.read(folder / SELECTION_FILE) if has(SELECTION_FILE) else None,
        tuning=_read_fields(folder / TUNING_FILE, TUNING_SCHEMA, TUNING_FIELDS) if has(TUNING_FILE) else None,
        metrics=_read_fields(folder / METRICS_FILE, METRICS_SCHEMA, METRICS_FIELDS) if has(METRICS_FILE) else None,
        stability=Stability.read(folder) if has(SCORES_FILE) and has(STABILITY_FILE) else None,
        sensitivity=Sensitivity.read(folder) if has(SENSITIVITY_FILE) else None,
        predictions=read_predictions(folder / PREDICTIONS_FILE) if has(METRICS_FILE) and has(PREDICTIONS_FILE) else (),
        forgetting=read_json(folder / forgetting.FILE, schema=forgetting.SCHEMA) if has(forgetting.FILE) else {},
        comparison=ComparisonTable.read(folder) if has(COMPARISON_FILE) else None,
        provenance=read_json(folder / provenance.FILE, schema=provenance.SCHEMA) if has(provenance.FILE) else {},
    )


def _read_fields(path: Path, schema: str, fields: Sequence[str]) -> dict[str, Any]:
    """Read a JSON object and check that it has what the report shows.

    Raises:
        DataFormatError: If a field is missing.
    """
    content = read_json(path, schema=schema)
    missing = [name for name in fields if name not in content]
    if missing:
        raise DataFormatError(f"{path} lacks {', '.join(missing)}; expected a finished run. Make it again.")
    return content
