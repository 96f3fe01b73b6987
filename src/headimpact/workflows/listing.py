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
    width = max(len(row["name"]) for row in rows)
    lines = [f"{row['name']:<{width}}  {'  '.join(v for k, v in row.items() if k != 'name')}".rstrip() for row in rows]
    print_answer(lines, {config.kind: rows}, as_json=config.json)


def list_families() -> Rows:
    """List model families: supported ones, then refused ones with the reason."""
    from headimpact.models.families import FAMILIES, REFUSED

    supported = [{"name": name, "status": "supported", "reason": ""} for name in FAMILIES]
    return supported + [{"name": name, "status": "refused", "reason": why} for name, why in REFUSED.items()]


def list_scores() -> Rows:
    """List head scores."""
    from headimpact.scoring import SCORES

    return [{"name": name} for name in SCORES]


def list_strategies() -> Rows:
    """List ways to choose layers."""
    from headimpact.selection.strategies import STRATEGIES

    return [{"name": name} for name in STRATEGIES]


def list_metrics() -> Rows:
    """List caption metrics."""
    from headimpact.evaluation.metrics import METRICS

    return [{"name": name} for name in METRICS]


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
    "metrics": list_metrics,
    "tasks": list_tasks,
    "models": list_models,
}
