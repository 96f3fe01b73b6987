"""Short names of checkpoints that come with the package."""

import importlib.resources
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

CHECKPOINTS: Mapping[str, str] = MappingProxyType({"embedded": "embedded/checkpoint"})
"""Short name to folder inside the package; no module of it is imported."""


def checkpoint_folder(name: str) -> Path | None:
    """Give the folder behind a short name, or None for any other name.

    Args:
        name: What the user passed as model.
    """
    if name not in CHECKPOINTS:
        return None
    return Path(str(importlib.resources.files("headimpact") / CHECKPOINTS[name]))
