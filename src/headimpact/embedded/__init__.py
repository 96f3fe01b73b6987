"""The default that needs no download: drawn scenes, a small trained VLM, and the recipe that made it."""

from importlib import resources
from pathlib import Path

__all__ = ["checkpoint_path"]


def checkpoint_path() -> Path:
    """Return the folder of the VLM that is shipped inside the package.

    The folder loads like any other checkpoint, with ``AutoProcessor`` and
    ``AutoModelForImageTextToText``. Nothing of torch is imported to find it.

    Returns:
        The folder with ``config.json``, ``model.safetensors``, tokenizer and processor.
    """
    return Path(str(resources.files(__name__) / "checkpoint"))
