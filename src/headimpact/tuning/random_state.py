"""A seed for libraries that only know global random state, taken back afterwards."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed PyTorch for a block and give every global generator back as it was.

    PEFT draws first weights, and transformers' Trainer seeds Python, NumPy and PyTorch, from global state;
    the caller's own draws must not notice.

    Args:
        seed: Seed of the block.
        device: The model's device; its generator is given back too.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - saved, not drawn from
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002 - given back
