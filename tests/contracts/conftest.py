"""Every contract test of a family runs once per tiny model; ids begin with the `model_type`."""

import functools

import pytest

from tests.contracts.image_oracle import unmix
from tests.tiny_models import TINY_MODELS


@pytest.fixture(params=TINY_MODELS)
def name(request):
    return request.param


@pytest.fixture
def loaded(name, tiny_model):
    return tiny_model(name)


@pytest.fixture(scope="session")
def unmixed_model(tiny_checkpoint):
    """Give a model by name whose tower's tokens cannot see each other, made once a session; do not change it."""
    from headimpact.models.loading import load_model

    @functools.cache
    def give(name):
        return unmix(load_model(tiny_checkpoint(name)), TINY_MODELS[name])

    return give


@pytest.fixture
def unmixed(name, unmixed_model):
    """The model with a tower whose tokens cannot see each other and whose patches are pooled by their mean."""
    return unmixed_model(name)
