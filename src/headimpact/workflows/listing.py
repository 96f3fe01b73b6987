"""Lists of what can be named on the command line, read from the tables themselves."""

from collections.abc import Callable

from headimpact.core.errors import UnknownNameError
from headimpact.core.registry import unknown_name_message
from headimpact.workflows.answers import print_answer
from headimpact.workflows.configs import ListConfig

Rows = list[dict[str, str]]


def list_command(config: ListConfig) -> None:
    """Print one table.

    Raises:
        UnknownNameError: If there is no such table.
    """
    if config.kind not in LISTS:
        raise UnknownNameError(unknown_name_message("list", config.kind, LISTS))
    rows = LISTS[config.kind]()
    if config.markdown:
        print_answer(markdown_tables(rows), {}, as_json=False)
        return
    print_answer(
        _aligned([[row["name"], *_short(row)] for row in rows]),
        {config.kind: [_for_json(row, config.kind) for row in rows]},
        as_json=config.json,
    )


def markdown_tables(rows: Rows) -> list[str]:
    """Write rows as Markdown, one table per status, one column per field that some row of it fills.

    Example:
        >>> markdown_tables([{"name": "llava", "status": "supported", "reason": ""}])
        ['| name | status |', '|---|---|', '| llava | supported |']
    """
    by_status: dict[str, Rows] = {}
    for row in rows:
        by_status.setdefault(row.get("status", ""), []).append(row)
    tables = [_markdown_table(group) for group in by_status.values()]
    return [line for table in tables for line in ("", *table)][1:]


def _markdown_table(rows: Rows) -> list[str]:
    """Write one table."""
    fields = [field for field in rows[0] if any(row[field] for row in rows)]
    lines = [fields, *([str(row[field]).replace("|", "\\|") for field in fields] for row in rows)]
    written = [f"| {' | '.join(line)} |" for line in lines]
    return [written[0], f"|{'---|' * len(fields)}", *written[1:]]


def _aligned(lines: list[list[str]]) -> list[str]:
    """Write cells in columns; the last cell of a line may be of any width."""
    columns = max(len(line) for line in lines)
    widths = [max((len(line[place]) for line in lines if place < len(line) - 1), default=0) for place in range(columns)]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=False)).rstrip() for line in lines]


def _short(row: dict[str, str]) -> list[str]:
    """Give what fits on a line of a terminal."""
    return [value for field, value in row.items() if field not in ("name", *LONG_FIELDS) and value]


def _for_json(row: dict[str, str], kind: str) -> dict[str, str | list[str]]:
    """Give a row as a program wants it: a family by its `model_type`, several names as a list."""
    name = "model_type" if kind == "families" else "name"
    rest = {field: value for field, value in row.items() if field != "name"}
    return {name: row["name"], **rest, **{field: _names(row[field]) for field in NAME_LISTS if field in row}}


def _names(text: str) -> list[str]:
    """Take names apart that a table shows in one cell."""
    return text.split(", ") if text else []


NAME_LISTS = ("implementations", "checkpoints")
"""Fields of a row that hold several names."""

LONG_FIELDS = ("tiles", "implementations", "needs", "transformers", "checkpoints")
"""Fields of a row that only `--json` and `--markdown` show."""


def list_families() -> Rows:
    """List model families: supported ones, then refused ones with the reason."""
    from headimpact.models.families import FAMILIES, REFUSED, TESTED_TRANSFORMERS

    rows = []
    for name in FAMILIES:
        family = FAMILIES.load(name)
        rows.append(
            {
                "name": name,
                "status": "supported",
                "reason": "",
                "grid": family.grid_rule,
                "tiles": family.tiles,
                "implementations": ", ".join(family.implementations()),
                "needs": "torchvision" if family.needs_torchvision else "",
                "transformers": TESTED_TRANSFORMERS,
                "checkpoints": ", ".join(family.checkpoints),
            }
        )
    empty = dict.fromkeys(rows[0], "")
    return rows + [{**empty, "name": name, "status": "refused", "reason": why} for name, why in REFUSED.items()]


def list_scores() -> Rows:
    """List head scores."""
    from headimpact.scoring import CAUSAL_SCORES, SCORES

    return [{"name": name} for name in (*SCORES, *CAUSAL_SCORES)]


def list_strategies() -> Rows:
    """List ways to choose layers."""
    from headimpact.selection.strategies import STRATEGIES

    return [{"name": name} for name in STRATEGIES]


def list_exports() -> Rows:
    """List trainers that a selection can be exported to."""
    from headimpact.selection.exports import EXPORTS

    return [{"name": name} for name in EXPORTS]


def list_metrics() -> Rows:
    """List metrics with their range and which end is good."""
    from headimpact.evaluation.metrics import METRICS

    rows = []
    for name in METRICS:
        metric = METRICS.load(name)
        low, high = metric.range
        better = "higher" if metric.higher_is_better else "lower"
        rows.append({"name": name, "title": metric.title, "range": f"{low:g} to {high:.4g}", "better": better})
    return rows


def list_tasks() -> Rows:
    """List tasks that scenes can be made for."""
    from headimpact.embedded.scenes import TASKS

    return [{"name": name} for name in TASKS]


def list_models() -> Rows:
    """List short names of models."""
    from headimpact.models.checkpoints import CHECKPOINTS

    return [{"name": name} for name in CHECKPOINTS]


LISTS: dict[str, Callable[[], Rows]] = {
    "families": list_families,
    "scores": list_scores,
    "strategies": list_strategies,
    "exports": list_exports,
    "metrics": list_metrics,
    "tasks": list_tasks,
    "models": list_models,
}
