"""What the template shows: plain values, text ready to print, drawings ready to embed."""

import dataclasses

from markupsafe import Markup


@dataclasses.dataclass(frozen=True)
class Cell:
    """A table cell: a value and, below it, its interval."""

    value: str
    range: str = ""


@dataclasses.dataclass(frozen=True)
class Row:
    """A table row; `is_top` sets it off."""

    name: str
    cells: tuple[Cell, ...]
    is_top: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of numbers with a header row; the first header stands over the row names."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclasses.dataclass(frozen=True)
class FactTable:
    """A titled list of names and values."""

    title: str
    rows: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Drawings:
    """One figure drawn for a desk (`broad`) and for a phone (`narrow`)."""

    broad: Markup
    narrow: Markup


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The answer in one sentence, and what it cannot say."""

    sentence: str
    limits: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Choice:
    """Chosen layers in copyable form."""

    title: str
    layers: str
    targets: str
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Panel:
    """One head map with its heading and colour scale."""

    title: str
    note: str
    drawing: Markup
    scale: Markup


@dataclasses.dataclass(frozen=True)
class LegendKey:
    """A swatch and what it stands for."""

    drawing: Markup
    name: str


@dataclasses.dataclass(frozen=True)
class Look:
    """One head's attention over one picture."""

    name: str
    drawing: Markup


@dataclasses.dataclass(frozen=True)
class LookGroup:
    """Heads shown together: the best, the worst."""

    title: str
    looks: tuple[Look, ...]


@dataclasses.dataclass(frozen=True)
class ExampleView:
    """One example picture with the heads shown over it."""

    image_id: str
    key_object: str
    response: str
    shared: Markup
    picture: Markup
    groups: tuple[LookGroup, ...]


@dataclasses.dataclass(frozen=True)
class MatrixPanel:
    """One agreement matrix with its heading and colour scale."""

    title: str
    note: str
    drawings: Drawings
    scale: Markup


@dataclasses.dataclass(frozen=True)
class SeveralScores:
    """A run's scores beside one another: findings, agreement, tables."""

    findings: tuple[str, ...]
    panels: tuple[MatrixPanel, ...]
    caption: str
    tables: tuple[Table, ...]


@dataclasses.dataclass(frozen=True)
class Section:
    """A question about a scoring run that only some runs answer: findings, maps, tables."""

    title: str
    findings: tuple[str, ...]
    panels: tuple[Panel, ...]
    tables: tuple[Table, ...]


@dataclasses.dataclass(frozen=True)
class ScorePart:
    """Everything about one scoring run: maps, layer bars, example pictures."""

    run: str
    summary: str
    panels: tuple[Panel, ...]
    map_caption: str
    head_table: Table
    bars: Drawings
    bar_legend: tuple[LegendKey, ...]
    bar_caption: str
    layer_table: Table
    several: SeveralScores | None
    further: tuple[Section, ...]
    example_intro: str
    examples: tuple[ExampleView, ...]
    stability: "StabilityPart | None"


@dataclasses.dataclass(frozen=True)
class StabilityPart:
    """How many pictures are enough: findings, curve, table of looks."""

    findings: tuple[str, ...]
    curve: Drawings
    legend: tuple[LegendKey, ...]
    caption: str
    table: Table


@dataclasses.dataclass(frozen=True)
class SensitivityPart:
    """How far options move a ranking: a sentence, a table, agreement of every two variants."""

    run: str
    summary: str
    table: Table
    matrices: tuple[Table, ...]


@dataclasses.dataclass(frozen=True)
class ComparisonPart:
    """Everything about one comparison: findings, dot plot, tables."""

    run: str
    findings: tuple[str, ...]
    dots: Drawings
    dot_caption: str
    tables: tuple[Table, ...]


@dataclasses.dataclass(frozen=True)
class LearningPart:
    """How the loss of every arm fell: a drawing and its caption."""

    rank: str
    curves: Drawings
    caption: str


@dataclasses.dataclass(frozen=True)
class KnockoutPart:
    """Everything about one knockout run: findings, the arms in plots, a score against what silencing does, tables."""

    run: str
    findings: tuple[str, ...]
    plots: tuple[tuple[str, Drawings], ...]
    plot_caption: str
    scatter: Drawings | None
    scatter_caption: str
    tables: tuple[Table, ...]


@dataclasses.dataclass(frozen=True)
class Quote:
    """What arms say about one test picture, beside its reference."""

    image_id: str
    reference: str
    answers: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Page:
    """The whole report."""

    title: str
    version: str
    run_count: str
    subject: tuple[tuple[str, str], ...]
    verdicts: tuple[Verdict, ...]
    warnings: tuple[str, ...]
    choices: tuple[Choice, ...]
    scores: tuple[ScorePart, ...]
    knockouts: tuple[KnockoutPart, ...]
    sensitivities: tuple[SensitivityPart, ...]
    comparisons: tuple[ComparisonPart, ...]
    evaluation_table: Table | None
    quotes: tuple[Quote, ...]
    facts: tuple[FactTable, ...]
    run_tables: tuple[Table, ...]
    tuning_effects: tuple[Table, ...] = ()
    learning: tuple[LearningPart, ...] = ()
