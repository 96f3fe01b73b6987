"""What a knockout run says on the terminal."""

import math
from collections.abc import Sequence
from typing import Any

from headimpact.comparison.knockout_table import KnockoutTable, ScoreAgreement
from headimpact.comparison.knockout_verdict import screen_sentence
from headimpact.comparison.statistics import Estimate
from headimpact.scoring.rank_agreement import RankCorrelation


def describe_knockouts(table: KnockoutTable) -> list[str]:
    """Say what was found: the verdict, the arms, how far measures agree, notes."""
    head = ("arm", "draws", "rise of the loss", "share of all", "fall of recall")
    rows = [head] + [
        (
            f"{row.strategy} {row.unit}",
            str(row.draws),
            _interval(row.rise),
            f"{row.rise.value / table.blind.value:.0%}" if table.blind.low > 0 else "-",
            "-" if row.fall is None else _interval(row.fall),
        )
        for row in table.rows
    ]
    return [
        screen_sentence(table),
        "",
        *(f"{name}: {verdict.sentence}" for name, verdict in table.verdicts.items()),
        "",
        f"loss {_interval(table.plain)}; where no head sees the picture it rises by {_interval(table.blind)}",
        *([] if table.recall is None else [f"key-object recall {_interval(table.recall)}"]),
        *_columns(rows),
        "",
        *_columns([AGREEMENT_HEAD, *(_agreement(one) for one in table.agreements)]),
        *(f"note: {note}" for note in table.notes),
    ]


def table_for_programs(table: KnockoutTable) -> dict[str, Any]:
    """Give what was found as JSON values."""
    return {
        "verdict": table.verdict.answer if table.verdict else None,
        "sentence": screen_sentence(table),
        "verdicts": {name: verdict.answer for name, verdict in table.verdicts.items()},
        "rises": {f"{row.strategy} {row.unit}": row.rise.value for row in table.rows},
        "blind_rise": table.blind.value,
        "agreements": [
            {"unit": one.unit, "first": one.first, "second": one.second, "spearman": _number(one.plain.value)}
            for one in table.agreements
        ],
        "notes": list(table.notes),
    }


AGREEMENT_HEAD = ("rankings of", "first", "second", "spearman", "given depth", "top places shared")


def _agreement(one: ScoreAgreement) -> tuple[str, ...]:
    """Write one pair of measures."""
    shared = f"{one.shared} of {one.places} (by chance {one.by_chance:.1f})"
    return (f"{one.plain.units} {one.unit}", one.first, one.second, _rank(one.plain), _rank(one.given_depth), shared)


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Line up rows of words."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _interval(found: Estimate) -> str:
    """Write a value with its interval."""
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def _rank(found: RankCorrelation) -> str:
    """Write a correlation with its interval."""
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def _number(value: float) -> float | None:
    """Replace NaN by None."""
    return None if math.isnan(value) else value
