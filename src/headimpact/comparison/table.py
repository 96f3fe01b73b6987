"""The comparison as a table with its verdicts; CSV, Markdown and JSON."""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headimpact.comparison.arm_tests import ArmTest
from headimpact.comparison.statistics import Estimate, Variances
from headimpact.comparison.verdict import Evidence, Verdict
from headimpact.core.artifacts import atomic_file, read_json, write_json
from headimpact.core.errors import DataFormatError
from headimpact.evaluation.metrics import METRICS

COMPARISON_SCHEMA = "comparison/1"


@dataclasses.dataclass(frozen=True)
class RunPoint:
    """One run of an arm.

    Attributes:
        run: Name of its folder.
        draw: Which draw.
        seed: Seed of the tuning.
        layers: Layers tuned.
        values: Metric name to value.
    """

    run: str
    draw: int
    seed: int
    layers: tuple[int, ...]
    values: Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class ComparisonRow:
    """One arm: seeds averaged within draws, draws averaged.

    Attributes:
        arm: Strategy.
        draws: Number of draws.
        seeds: Largest number of seeds per draw.
        trainable_parameters: Parameters trained, the largest of its runs.
        trainable_share: The same as a share of the model's.
        values: Metric name to value with interval.
        shifts: Metric name to difference from the untuned model; empty without one.
        against_random: Metric name to difference from the mean of the random draws; empty for the base and
            for the random draws themselves.
        points: The single runs.
        test: The choice against random draws in the primary metric, corrected for all choices; None for draws, for arms
            that cost more, and where there are too few draws.
    """

    arm: str
    draws: int
    seeds: int
    trainable_parameters: int
    trainable_share: float
    values: Mapping[str, Estimate]
    shifts: Mapping[str, Estimate]
    against_random: Mapping[str, Estimate]
    points: tuple[RunPoint, ...]
    test: ArmTest | None = None


@dataclasses.dataclass(frozen=True)
class ExhaustiveRank:
    """Where the choice stands among all sets of as many layers, when every one was tuned.

    Attributes:
        subsets: Number of sets, the choice's own included.
        rank: Its place, 1 for the best; ties share the better place.
        percentile: Share of the other sets that it beats, ties counted half, in [0, 1].
    """

    subsets: int
    rank: int
    percentile: float


@dataclasses.dataclass(frozen=True)
class ComparisonTable:
    """The answer of `compare`.

    Attributes:
        primary: The metric that the verdict is about.
        margin: Smallest difference in it that would matter.
        verdict: Top against random draws; None where either is missing.
        shift_verdict: The same for the size of the shift against the untuned model.
        depth_matched_verdict: Top against depth-matched draws.
        exhaustive: Top's place among all sets of layers, where all were tuned.
        rows: One per arm.
        images: Number of test pictures.
        notes: What a reader must know: unfinished runs, how little few draws can show.
        options: Resamples, confidence and the identity that all runs share.
    """

    primary: str
    margin: float
    verdict: Verdict | None
    shift_verdict: Verdict | None
    depth_matched_verdict: Verdict | None
    exhaustive: ExhaustiveRank | None
    rows: tuple[ComparisonRow, ...]
    images: int
    notes: tuple[str, ...]
    options: Mapping[str, Any]

    def to_markdown(self) -> str:
        """Write the verdict's sentences, the table of the primary metric and of the others."""
        others = sorted({name for row in self.rows for name in row.values} - {self.primary})
        head = ["arm", "draws", "seeds", "trainable", self.primary, "shift against base", "against random"]
        head += ["effect size", "p (Holm)", *others]
        lines = [_markdown_row(head), _markdown_row(["---"] * len(head))]
        for row in self.rows:
            cells = [row.arm, str(row.draws), str(row.seeds), f"{row.trainable_parameters} ({row.trainable_share:.4%})"]
            cells += [_cell(row.values.get(self.primary)), _cell(row.shifts.get(self.primary), sign=True)]
            cells += [_cell(row.against_random.get(self.primary), sign=True), *_test_cells(row.test)]
            cells += [_cell(row.values.get(name)) for name in others]
            lines.append(_markdown_row(cells))
        return "\n\n".join([*self.sentences(), "\n".join(lines), *self._shift_lines(others), *self.notes]) + "\n"

    def _shift_lines(self, others: Sequence[str]) -> list[str]:
        """Write the other metrics' shifts against the untuned model, as a second table."""
        tuned = [row for row in self.rows if row.shifts]
        if not tuned or not others:
            return []
        lines = [_markdown_row(["shift against base", *others]), _markdown_row(["---"] * (1 + len(others)))]
        lines += [
            _markdown_row([row.arm, *(_cell(row.shifts.get(name), sign=True) for name in others)]) for row in tuned
        ]
        return ["\n".join(lines)]

    def sentences(self) -> tuple[str, ...]:
        """Give the verdicts as sentences, the main one first."""
        verdicts = (self.verdict, self.shift_verdict, self.depth_matched_verdict)
        said = [verdict.sentence for verdict in verdicts if verdict is not None]
        if self.exhaustive is not None:
            place = self.exhaustive
            said.append(
                f"Of all {place.subsets} sets of as many layers the choice is number {place.rank} in "
                f"{METRICS.load(self.primary).title}; "
                f"it beats {place.percentile:.0%} of the others."
            )
        return tuple(said)

    def to_csv(self) -> str:
        """Write one line per arm and metric."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        kinds = ("value", "shift", "against_random")
        columns = [name for kind in kinds for name in (kind, f"{kind}_low", f"{kind}_high")]
        columns += ["effect_size", "p", "p_holm"]
        writer.writerow(["arm", "draws", "seeds", "trainable_parameters", "trainable_share", "metric", *columns])
        for row in self.rows:
            for metric in row.values:
                found = (row.values.get(metric), row.shifts.get(metric), row.against_random.get(metric))
                numbers = [
                    number for one in found for number in ((one.value, one.low, one.high) if one else ("", "", ""))
                ]
                is_tested = row.test is not None and metric == self.primary
                numbers += [getattr(row.test, name) if is_tested else "" for name in columns[-3:]]
                facts = [row.arm, row.draws, row.seeds, row.trainable_parameters, row.trainable_share]
                writer.writerow([*facts, metric, *numbers])
        return file.getvalue()

    def write(self, folder: Path) -> None:
        """Write `comparison.md`, `comparison.csv` and, last, `comparison.json`.

        Raises:
            RunFailedError: If the file system refuses.
        """
        for name, text in (("comparison.md", self.to_markdown()), ("comparison.csv", self.to_csv())):
            with atomic_file(folder / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
        write_json(folder / "comparison.json", self.to_json(), schema=COMPARISON_SCHEMA)

    def to_json(self) -> dict[str, Any]:
        """Give JSON-serialisable values, None where there is none."""
        return dataclasses.asdict(self)

    @classmethod
    def read(cls, path: Path) -> "ComparisonTable":
        """Read `comparison.json`.

        Args:
            path: The file, or the folder that holds it.

        Returns:
            The table as it was written.

        Raises:
            DataFormatError: If the file is missing, broken, or of another schema.
        """
        file = path / "comparison.json" if path.is_dir() else path
        content = read_json(file, schema=COMPARISON_SCHEMA)
        try:
            return _read_table(content)
        except (KeyError, TypeError) as error:
            raise DataFormatError(
                f"Not a comparison: {file}: {error!r}. Expected a file written by headimpact compare; compare again."
            ) from error


def _read_table(content: Mapping[str, Any]) -> ComparisonTable:
    """Build a table from its JSON."""
    place = content["exhaustive"]
    return ComparisonTable(
        **{
            **content,
            "verdict": _optional_verdict(content["verdict"]),
            "shift_verdict": _optional_verdict(content["shift_verdict"]),
            "depth_matched_verdict": _optional_verdict(content["depth_matched_verdict"]),
            "exhaustive": None if place is None else ExhaustiveRank(**place),
            "rows": tuple(_read_row(row) for row in content["rows"]),
            "notes": tuple(content["notes"]),
        }
    )


def _read_row(content: Mapping[str, Any]) -> ComparisonRow:
    """Build a row from its JSON."""
    estimates = {
        kind: {name: Estimate(**one) for name, one in content[kind].items()}
        for kind in ("values", "shifts", "against_random")
    }
    points = tuple(RunPoint(**{**point, "layers": tuple(point["layers"])}) for point in content["points"])
    test = content.get("test")
    return ComparisonRow(
        **{**content, **estimates, "points": points, "test": None if test is None else ArmTest(**test)}
    )


def read_verdict(content: Mapping[str, Any]) -> Verdict:
    """Build a verdict from its JSON."""
    evidence = content["evidence"]
    difference, variances = Estimate(**evidence["difference"]), Variances(**evidence["variances"])
    inner = Evidence(**{**evidence, "difference": difference, "variances": variances})
    return Verdict(**{**content, "evidence": inner})


def _optional_verdict(content: Mapping[str, Any] | None) -> Verdict | None:
    """Build a verdict where there is one."""
    return None if content is None else read_verdict(content)


def _test_cells(test: ArmTest | None) -> list[str]:
    """Write a choice's effect size and corrected p-value."""
    return ["–", "–"] if test is None else [f"{test.effect_size:+.2f}", f"{test.p_holm:.3f}"]  # noqa: RUF001


def _markdown_row(cells: Sequence[str]) -> str:
    """Write one line of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _cell(estimate: Estimate | None, *, sign: bool = False) -> str:
    """Write a value with its interval."""
    if estimate is None:
        return "–"  # noqa: RUF001
    form = "+.3f" if sign else ".3f"
    return f"{estimate.value:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"
