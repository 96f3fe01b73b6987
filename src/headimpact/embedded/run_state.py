"""The state of a training run as one safetensors file, written whole or not at all; nothing is pickled."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from headimpact.core.artifacts import atomic_file


def save_state(
    path: Path,
    *,
    modules: Mapping[str, nn.Module],
    optimizers: Sequence[torch.optim.Optimizer],
    progress: Mapping[str, Any],
) -> None:
    """Write weights, optimizer state and progress.

    Args:
        path: File to write.
        modules: Name to module; tied weights are written once per name.
        optimizers: In a fixed order.
        progress: JSON values, such as the step.

    Raises:
        RunFailedError: If the file system refuses.
    """
    tensors = {
        f"{name}/{key}": value.clone() for name, module in modules.items() for key, value in module.state_dict().items()
    }
    for number, optimizer in enumerate(optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{number}/{index}/{key}": value.clone() for key, value in state.items()}
    with atomic_file(path) as temporary:
        save_file(tensors, temporary, metadata={"progress": json.dumps(dict(progress))})


def load_state(
    path: Path, *, modules: Mapping[str, nn.Module], optimizers: Sequence[torch.optim.Optimizer]
) -> dict[str, Any]:
    """Put weights and optimizer state back.

    Args:
        path: A file of `save_state`.
        modules: The same modules.
        optimizers: The same optimizers, in the same order.

    Returns:
        The progress.
    """
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        progress: dict[str, Any] = json.loads(file.metadata()["progress"])
    for name, module in modules.items():
        module.load_state_dict(
            {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}
        )
    for number, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in tensors.items():
            kind, _, rest = name.partition("/")
            if kind == "optimizer" and rest.startswith(f"{number}/"):
                index, key = rest.split("/")[1:]
                state.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return progress
