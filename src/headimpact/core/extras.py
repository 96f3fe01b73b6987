"""Optional packages: imported where they are needed, with the install line where they are missing."""

import importlib
from types import ModuleType

from headimpact.core.errors import MissingExtraError


def require_extra(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional package or say how to install it.

    Args:
        module: Module to import, as in an import statement.
        extra: Name of headimpact's extra that brings it.
        purpose: What the package is needed for, to complete "… needs the package X".

    Returns:
        The imported module.

    Raises:
        MissingExtraError: If the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise MissingExtraError(
            f"{purpose} needs the package {package!r}, which is not installed ({error}). "
            f"Install it with: pip install 'headimpact[{extra}]'"
        ) from error
