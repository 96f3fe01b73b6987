"""headimpact: find the layers of a vision-language model that look at the key objects, and tune only those.

The names below are imported when they are used, so that importing the package needs no model library. Their
types are in `__init__.pyi`.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "load_model": "headimpact.models.loading",
    "KeyObjectDataset": "headimpact.data.dataset",
    "read_dataset": "headimpact.workflows.api",
    "score_heads": "headimpact.workflows.api",
    "HeadScores": "headimpact.scoring.head_scores",
    "select_layers": "headimpact.selection.strategies",
    "Selection": "headimpact.selection.selection",
    "build_lora_config": "headimpact.tuning.lora",
    "tune": "headimpact.workflows.api",
    "evaluate": "headimpact.workflows.api",
    "compare_runs": "headimpact.workflows.api",
    "build_report": "headimpact.workflows.api",
    "list_families": "headimpact.workflows.api",
    "list_scores": "headimpact.workflows.api",
    "list_metrics": "headimpact.workflows.api",
}
"""Public name to the module it comes from."""

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used.

    Raises:
        AttributeError: If there is no such name.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}. Public names: {', '.join(_HOMES)}.")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names, without what this file itself imports."""
    return sorted({*_HOMES, *(name for name in globals() if name.startswith("__"))})
