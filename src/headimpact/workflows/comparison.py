"""Compare: evaluated runs become a table with intervals and a verdict."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from headimpact.comparison.compare import compare_runs
from headimpact.comparison.runs import find_runs
from headimpact.comparison.statistics import Estimate
from headimpact.comparison.table import ComparisonTable
from headimpact.core.errors import OptionError
from headimpact.evaluation.metrics import METRICS
from headimpact.workflows.answers import print_answer
from headimpact.workflows.configs import CompareConfig
from headimpact.workflows.run_folder import find_run, started_run, write_provenance

COMPARISON_FILE = "comparison.json"


def compare_command(config: CompareConfig) -> None:
    """Compare runs and write the table.

    Raises:
        OptionError: If no run is named or a number is out of range.
        UnknownNameError: If the primary metric is unknown.
        HeadImpactError: If the runs are broken or cannot be compared.
    """
    if not config.runs:
        raise OptionError("No run named. Pass folders written by headimpact evaluate.")
    METRICS[config.primary]
    if find_run(config, done_file=COMPARISON_FILE) and not config.dry_run:
        _print_table(ComparisonTable.read(config.out), config, note=f"finished already: {config.out}")
        return
    table = compare_folders(
        config.runs, primary=config.primary, margin=config.margin, resamples=config.bootstrap, seed=config.seed
    )
    if not config.dry_run:
        with started_run(config, work=(COMPARISON_FILE,)):
            write_comparison(table, config.out, seed=config.seed)
    _print_table(table, config, note="dry run, nothing was written" if config.dry_run else None)


def _print_table(table: ComparisonTable, config: CompareConfig, *, note: str | None) -> None:
    """Say how the comparison came out."""
    print_answer(
        [*([note] if note else []), *describe_table(table), f"table: {config.out}"],
        {
            "verdict": table.verdict.answer if table.verdict else None,
            "sentences": table.sentences(),
            "notes": table.notes,
            "out": str(config.out),
        },
        as_json=config.json,
    )


def compare_folders(runs: Sequence[Path], *, primary: str, margin: float, resamples: int, seed: int) -> ComparisonTable:
    """Find and compare the runs in some folders; unfinished ones are named in the table's notes.

    Raises:
        HeadImpactError: If the runs are broken or cannot be compared.
    """
    found = find_runs(runs)
    notes = [f"Not finished, left out: {path.name}." for path in found.unfinished]
    return compare_runs(
        found.runs,
        primary=primary,
        margin=margin,
        generator=np.random.default_rng(seed),
        resamples=resamples,
        notes=notes,
    )


def describe_table(table: ComparisonTable) -> list[str]:
    """Say what was found, for a terminal: verdicts, the primary metric by arm, notes.

    All metrics stand in `comparison.md` and `comparison.csv`.
    """
    head = ("arm", "draws", "trainable", table.primary, "against base", "against random")
    rows = [head] + [
        (
            row.arm,
            str(row.draws),
            f"{row.trainable_share:.2%}",
            *(_interval(part.get(table.primary)) for part in (row.values, row.shifts, row.against_random)),
        )
        for row in table.rows
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*table.sentences(), "", *lines, "", *table.notes]


def _interval(estimate: Estimate | None) -> str:
    """Write a value with its interval."""
    if estimate is None:
        return "-"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def write_comparison(table: ComparisonTable, out: Path, *, seed: int) -> None:
    """Write `comparison.csv`, `comparison.md` and, last, `comparison.json`."""
    write_provenance(out, command="compare", seed=seed)
    table.write(out)
