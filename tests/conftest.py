"""Every test runs offline, with shapes checked at run time, and fails on deprecated use of transformers."""

import importlib.util
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from jaxtyping import install_import_hook

if TYPE_CHECKING:
    from headimpact.models.loading import LoadedModel

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "warning")
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported, be it by torch

SHAPE_CHECKED = (
    "headimpact.models",
    "headimpact.attention",
    "headimpact.scoring",
    "headimpact.selection",
    "headimpact.data",
)
"""Rooms whose annotations are checked at run time (beartype and jaxtyping), in tests only."""

install_import_hook(SHAPE_CHECKED, "beartype.beartype")


@pytest.fixture(scope="session")
def kernel_device() -> str:
    """Where Triton's kernels run: on a GPU, or else in Triton's interpreter."""
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    return "cuda" if torch.cuda.is_available() else "cpu"


def pytest_configure(config: pytest.Config) -> None:
    # PEFT reads an attribute that transformers renamed; nothing of ours can avoid it.
    config.addinivalue_line("filterwarnings", "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


OF_TRANSFORMERS_ITSELF = "`PaddleOCRVLProcessor` defines `image_processor_class"
"""Begins a warning that transformers gives of a class of its own; nothing of ours can avoid it."""


class _Deprecations(logging.Handler):
    """Collects what transformers logs about deprecated use; it does not go through `warnings`."""

    def __init__(self) -> None:
        super().__init__(level=logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if "deprecat" in message.lower() and not message.startswith(OF_TRANSFORMERS_ITSELF):
            self.messages.append(message)


@pytest.fixture(autouse=True)
def _fail_on_transformers_deprecations() -> Iterator[None]:
    handler = _Deprecations()
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)
    if handler.messages:
        pytest.fail(f"Deprecated use of transformers: {handler.messages[0]}")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Give the folder of a tiny checkpoint by name, made once a session; do not change it."""
    from transformers.utils.logging import disable_progress_bar

    from tests.tiny_models import TINY_MODELS

    disable_progress_bar()
    made: dict[str, Path] = {}

    def give(name: str) -> Path:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            TINY_MODELS[name].save(folder)
            made[name] = folder
        return made[name]

    return give


@pytest.fixture(scope="session")
def tiny_model(tiny_checkpoint: Callable[[str], Path]) -> Callable[..., "LoadedModel"]:
    """Give a loaded tiny model by name and options, loaded once a session; do not change it."""
    from headimpact.models.loading import load_model

    loaded: dict[tuple[Any, ...], LoadedModel] = {}

    def give(name: str, **options: Any) -> "LoadedModel":
        key = (name, *sorted(options.items()))
        if key not in loaded:
            loaded[key] = load_model(tiny_checkpoint(name), **options)
        return loaded[key]

    return give
