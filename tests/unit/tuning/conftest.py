"""Tiny loaded models, one per family, made once for the room's tests."""

import pytest

from headimpact.models.loading import LoadedModel, load_model
from tests.tiny_models import TINY_MODELS


@pytest.fixture(scope="session")
def load_tiny(tmp_path_factory):
    held: dict[str, LoadedModel] = {}

    def load(name: str) -> LoadedModel:
        if name not in held:
            folder = tmp_path_factory.mktemp(name)
            TINY_MODELS[name].save(folder)
            held[name] = load_model(str(folder), device="cpu")
        return held[name]

    return load


@pytest.fixture
def llava(load_tiny):
    return load_tiny("llava-siglip")
