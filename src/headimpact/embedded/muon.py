"""The Muon optimizer for many small matrices: orthogonalises all matrices of one size at once."""

from collections import defaultdict
from collections.abc import Iterable
from typing import cast

import torch
from jaxtyping import Float

_COEFFICIENTS = (3.4445, -4.775, 2.0315)
_ITERATIONS = 5

MatrixStack = Float[torch.Tensor, "matrices rows columns"]


class BatchedMuon(torch.optim.Optimizer):
    """Muon with Nesterov momentum, for hidden matrices only.

    torch's own Muon works through the matrices one by one; on two cores that takes longer than the
    tower's forward and backward pass. Here matrices of one size are stacked.

    Args:
        params: Two-dimensional parameters.
        lr: Learning rate on AdamW's scale (updates are scaled to a root mean square of 0.2 lr).
        momentum: Momentum of the gradients.
        weight_decay: Decoupled weight decay.

    Source: Jordan et al. 2024 (Muon); update scale of Liu et al., arXiv 2502.16982, section 2.2.
    """

    def __init__(
        self,
        params: Iterable[torch.nn.Parameter],
        *,
        lr: float = 1e-3,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Move every matrix that has a gradient."""
        for group in self.param_groups:
            by_size = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_size[tuple(parameter.shape)].append(parameter)
            for size, parameters in by_size.items():
                updates = [self._average(parameter, group["momentum"]) for parameter in parameters]
                directions = orthogonalize(torch.stack(updates))
                scale = 0.2 * max(size) ** 0.5 * group["lr"]
                for parameter, direction in zip(parameters, directions, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(direction, alpha=-scale)

    def _average(self, parameter: torch.nn.Parameter, momentum: float) -> torch.Tensor:
        """Add the gradient to the parameter's running average and look one step ahead."""
        gradient, state = cast("torch.Tensor", parameter.grad), self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        average: torch.Tensor = state["momentum"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(average, momentum)


def orthogonalize(matrices: MatrixStack) -> MatrixStack:
    """Bring the singular values of a stack of matrices near 1 by Newton-Schulz iterations.

    Args:
        matrices: The matrices.

    Returns:
        Stack of the same size; singular values roughly in [0.7, 1.2].

    Source: Jordan et al. 2024, quintic iteration with coefficients 3.4445, -4.7750, 2.0315.
    """
    is_tall = matrices.shape[1] > matrices.shape[2]
    x: torch.Tensor = matrices.transpose(1, 2) if is_tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.transpose(1, 2) if is_tall else x
