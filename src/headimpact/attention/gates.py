"""Gates on the heads' outputs: how the loss would move if a head spoke a little louder, for all heads at once.

In: a model's attention modules; a loss per batch row, computed inside the block. Out: dL/dg per batch row, layer and
head, from one backward pass.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headimpact.attention.interception import AttentionCall, replace_attention
from headimpact.core.errors import RunFailedError


class HeadGates:
    """One gate per batch row and head, made layer by layer while the model runs; all of them are 0."""

    def __init__(self, layer_indices: Sequence[int]) -> None:
        """Expect some layers.

        Args:
            layer_indices: Layers to come, in rising order.
        """
        self.layer_indices = tuple(layer_indices)
        self._gates: dict[int, Tensor] = {}

    def gradients(self, losses: Float[Tensor, " batch"]) -> Float[Tensor, "batch layers heads"]:
        """Differentiate each row's loss by each of its gates, in one backward pass.

        Rows do not see each other, so the sum of all losses has each row's own derivatives.

        Args:
            losses: One loss per batch row, computed from the forward pass inside the block.

        Returns:
            dL/dg, layers in the order of `layer_indices`: how much the loss rises, to first order, where the head's
            output grows by the share g. Near 0 where the head does not matter for the loss.

        Raises:
            RunFailedError: If a layer did not run inside the block, or the losses do not depend on it.
        """
        missing = [layer for layer in self.layer_indices if layer not in self._gates]
        if missing:
            raise RunFailedError(
                f"Heads of layers {', '.join(map(str, missing))} have no gates: the model did not run inside the "
                "block, or it does not call attention through transformers (compiled or replaced modules)."
            )
        gates = [self._gates[layer] for layer in self.layer_indices]
        depends = losses.requires_grad
        found = torch.autograd.grad(losses.sum(), gates, allow_unused=True) if depends else [None] * len(gates)
        unused = [layer for layer, grad in zip(self.layer_indices, found, strict=True) if grad is None]
        if unused:
            raise RunFailedError(
                f"The losses do not depend on the heads of layers {', '.join(map(str, unused))}. Expected losses of "
                "the forward pass inside the block, computed with gradients."
            )
        return torch.stack([grad.to(losses.device) for grad in found if grad is not None], dim=1)

    def put(self, layer: int, call: AttentionCall, output: Tensor) -> Tensor:
        """Put a layer's gates on its output `[batch, queries, heads, value_dim]`, which stays what it is.

        Args:
            layer: Which layer.
            call: Its attention call.
            output: What attention gave out.

        Raises:
            RunFailedError: If gradients are off, or the layer already ran inside the block.
        """
        if not torch.is_grad_enabled():
            raise RunFailedError("Gates need gradients, which are off. Run the model outside of torch.no_grad().")
        if layer in self._gates:
            raise RunFailedError(
                f"Layer {layer} ran twice inside one block of gates. Expected one forward pass, without generation and "
                "without gradient checkpointing."
            )
        shape, dtype = call.query.shape[:2], torch.promote_types(output.dtype, torch.float32)
        self._gates[layer] = torch.zeros(shape, dtype=dtype, device=output.device, requires_grad=True)
        gated: Tensor = _Gated.apply(output, self._gates[layer])  # type: ignore[no-untyped-call]
        return gated


class _Gated(torch.autograd.Function):
    """`output * (1 + gate)` at gate 0: hands the output on to the last bit, and sums up for the gate in float32."""

    @staticmethod
    def forward(context: Any, output: Tensor, gates: Tensor) -> Tensor:
        """Give the output as it is."""
        context.save_for_backward(output)
        context.dtype = gates.dtype
        return output.view_as(output)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Give dL/d output as it is, and dL/dg = sum over a head's rows and channels of dL/d output * output."""
        (output,) = context.saved_tensors
        return gradient, (gradient.to(context.dtype) * output).sum(dim=(1, 3))


@contextlib.contextmanager
def gate_heads(modules: Mapping[int, nn.Module], model: nn.Module) -> Iterator[HeadGates]:
    """Gate every head of some layers during one forward pass inside the block.

    A gate g stands between attention and the output projection: the head's output times (1 + g), at g = 0. So the
    forward pass is the model's own to the last bit. Only gates require gradients: weights are frozen while the block
    runs, so the backward pass goes through the language model's activations alone, and no graph is built below the
    first gated layer. Whatever happens inside, the model is left as it was.

    Args:
        modules: Layer to attention module, as `ModelFamily.attention_modules` gives them.
        model: The model that they belong to, whose weights are frozen.

    Yields:
        The gates; ask them for gradients once the forward pass has run.

    Raises:
        UnsupportedModelError: If attention does not go through transformers' interface.
        RunFailedError: If a layer runs twice inside the block, or with gradients off.

    Source:
        Image-LoRA (arXiv 2512.19219): influence of a head as the sum over samples of (dL/dg)^2.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gates = HeadGates(sorted(modules))
    try:
        for parameter in trainable:
            parameter.requires_grad_(False)
        with replace_attention(modules, gates.put):
            yield gates
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
