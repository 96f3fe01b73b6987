"""What must be installed besides headimpact's own requirements, and how to get it."""

import importlib
from typing import Any

import torch
import transformers

from headimpact.core.errors import MissingExtraError, UnsupportedModelError


def require_torchvision(what: str) -> None:
    """Say how to install torchvision where it is needed and missing.

    Args:
        what: What needs it.

    Raises:
        MissingExtraError: If it is not installed, or does not fit the installed torch.
    """
    try:
        importlib.import_module("torchvision")
    except (ImportError, RuntimeError) as error:
        raise MissingExtraError(
            f"{what} needs the package 'torchvision', which is not installed or does not fit torch "
            f"{torch.__version__} ({' '.join(str(error).split())}). Install it with: pip install torchvision. Boxes "
            "and SAM 2 (load_detector, load_segmenter) do without."
        ) from error


def require_class(name: str) -> Any:
    """Give a class of the installed transformers.

    Args:
        name: Name of the class.

    Returns:
        The class.

    Raises:
        UnsupportedModelError: If this version has none of that name.
    """
    found = getattr(transformers, name, None)
    if found is None:
        raise UnsupportedModelError(
            f"No {name} in transformers {transformers.__version__}; expected a version that has it. "
            "Update it with: pip install --upgrade transformers"
        )
    return found
