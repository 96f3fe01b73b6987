import random

import numpy as np
import pytest
import torch

from headimpact.tuning.random_state import seeded

CPU = torch.device("cpu")


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(1))  # noqa: NPY002 - the global state is the point


def seed_all() -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)


@pytest.mark.parametrize("fails", [False, True], ids=["ends well", "fails"])
def test_every_global_generator_is_given_back(fails):
    seed_all()
    expected = draw()
    seed_all()
    try:
        with seeded(7, CPU):
            draw()
            if fails:
                raise KeyError
    except KeyError:
        pass
    assert draw() == expected


def test_the_seed_decides_what_torch_draws_inside():
    with seeded(7, CPU):
        first = torch.rand(3)
    with seeded(7, CPU):
        assert torch.equal(torch.rand(3), first)
