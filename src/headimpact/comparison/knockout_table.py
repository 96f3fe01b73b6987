"""What silencing heads did, as a table with verdicts; JSON, and the arrays of heads beside it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from headimpact.comparison.statistics import Estimate
from headimpact.comparison.table import read_verdict
from headimpact.comparison.verdict import Verdict
from headimpact.core.artifacts import read_json, read_tensors, write_json, write_tensors
from headimpact.core.errors import DataFormatError
from headimpact.scoring.rank_agreement import RankCorrelation

KNOCKOUT_FILE = "knockout.json"
KNOCKOUT_TENSORS = "knockout.safetensors"
KNOCKOUT_SCHEMA = "knockout/1"


@dataclasses.dataclass(frozen=True)
class KnockoutRow:
    """One arm: draws averaged.

    Attributes:
        unit: What was chosen: `layers` or `heads`.
        strategy: How.
        draws: Number of sets.
        rise: Rise of the loss, in nats per token.
        fall: Fall of key-object recall; None where no answers were written.
        points: Rise of each draw, and what was silenced, in words.
    """

    unit: str
    strategy: str
    draws: int
    rise: Estimate
    fall: Estimate | None
    points: tuple[tuple[float, str], ...]


@dataclasses.dataclass(frozen=True)
class ScoreAgreement:
    """How far two measures of heads or layers agree.

    Attributes:
        unit: What is ranked: `heads` or `layers`.
        first: Name of one measure.
        second: Name of the other.
        plain: Rank correlation.
        given_depth: The same with what both owe to depth taken out.
        shared: How many of the top `places` of one are among those of the other.
        places: Places at the top.
        by_chance: How many unrelated rankings would share on average.
    """

    unit: str
    first: str
    second: str
    plain: RankCorrelation
    given_depth: RankCorrelation
    shared: int
    places: int
    by_chance: float


@dataclasses.dataclass(frozen=True, eq=False)
class KnockoutTable:
    """The answer of `knockout`.

    Attributes:
        score: The score that chose.
        pictures: Number of pictures that judged.
        plain: Loss with all heads.
        blind: Its rise where no head sees the picture.
        recall: Key-object recall with all heads; None where no answers were written.
        rows: One per arm.
        verdicts: `layers against depth-matched` and so on to the verdict; those of arms that are there.
        agreements: Pairs of measures.
        chosen: Layers of the top choice.
        notes: What a reader must know.
        options: How it was measured.
        values: Measures by name, `[layers, heads]` or `[layers]`.
    """

    score: str
    pictures: int
    plain: Estimate
    blind: Estimate
    recall: Estimate | None
    rows: tuple[KnockoutRow, ...]
    verdicts: Mapping[str, Verdict]
    agreements: tuple[ScoreAgreement, ...]
    chosen: tuple[int, ...]
    notes: tuple[str, ...]
    options: Mapping[str, Any]
    values: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @property
    def verdict(self) -> Verdict | None:
        """The verdict that counts: the top layers against layers of their own depth, else against any."""
        return self.verdicts.get("layers against depth-matched", self.verdicts.get("layers against random"))

    def row(self, unit: str, strategy: str) -> KnockoutRow | None:
        """Give an arm, None where there is none."""
        return next((row for row in self.rows if (row.unit, row.strategy) == (unit, strategy)), None)

    def write(self, folder: Path) -> None:
        """Write `knockout.safetensors` and, last, `knockout.json`.

        Raises:
            RunFailedError: If the file system refuses.
        """
        write_tensors(folder / KNOCKOUT_TENSORS, self.values)
        content = dataclasses.asdict(dataclasses.replace(self, values={}))
        del content["values"]
        write_json(folder / KNOCKOUT_FILE, _plain(content), schema=KNOCKOUT_SCHEMA)

    @classmethod
    def read(cls, path: Path) -> "KnockoutTable":
        """Read `knockout.json` and the arrays beside it.

        Args:
            path: The run's folder.

        Returns:
            The table as it was written.

        Raises:
            DataFormatError: If a file is missing, broken, or of another schema.
        """
        content = read_json(path / KNOCKOUT_FILE, schema=KNOCKOUT_SCHEMA)
        values = read_tensors(path / KNOCKOUT_TENSORS)
        try:
            return _read_table(content, values)
        except (KeyError, TypeError, AttributeError) as error:
            raise DataFormatError(
                f"Not a knockout run: {path / KNOCKOUT_FILE}: {error!r}. Expected a file written by headimpact "
                "knockout; run it again."
            ) from error


def _read_table(content: Mapping[str, Any], values: Mapping[str, np.ndarray]) -> KnockoutTable:
    """Build a table from its JSON and arrays."""
    return KnockoutTable(
        **{
            **content,
            "plain": Estimate(**content["plain"]),
            "blind": Estimate(**content["blind"]),
            "recall": None if content["recall"] is None else Estimate(**content["recall"]),
            "rows": tuple(_read_row(row) for row in content["rows"]),
            "verdicts": {name: read_verdict(one) for name, one in content["verdicts"].items()},
            "agreements": tuple(_read_agreement(one) for one in content["agreements"]),
            "chosen": tuple(content["chosen"]),
            "notes": tuple(content["notes"]),
            "values": values,
        }
    )


def _read_row(content: Mapping[str, Any]) -> KnockoutRow:
    """Build a row from its JSON."""
    fall = content["fall"]
    return KnockoutRow(
        **{
            **content,
            "rise": Estimate(**content["rise"]),
            "fall": None if fall is None else Estimate(**fall),
            "points": tuple((float(value), str(label)) for value, label in content["points"]),
        }
    )


def _read_agreement(content: Mapping[str, Any]) -> ScoreAgreement:
    """Build an agreement from its JSON, where null is no number."""
    found = {}
    for kind in ("plain", "given_depth"):
        numbers: dict[str, Any] = {name: np.nan if one is None else one for name, one in content[kind].items()}
        found[kind] = RankCorrelation(**numbers)
    return ScoreAgreement(**{**content, **found})


def _plain(value: Any) -> Any:
    """Replace NaN by None, which JSON can hold."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and np.isnan(value) else value
