from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image

from headimpact.attention.gates import HeadGates, gate_heads
from headimpact.attention.interception import AttentionCall, replace_attention
from headimpact.core.errors import RunFailedError
from headimpact.models.prompts import encode
from headimpact.models.response_losses import response_losses
from tests.unit.attention.calls import attention_call
from tests.unit.attention.test_capture import surroundings
from tests.unit.attention.test_knockout import Attention

MODELS = ["llava-siglip", "qwen2_5_vl", "gemma3", "mllama"]
TEXTS = ["a red circle", "a large square near the top of the background"]


@pytest.fixture(autouse=True)
def _left_as_it_was():
    before = surroundings()
    yield
    assert surroundings() == before


class Sample:
    """One encoded batch of a model, its losses, and their derivatives by gates."""

    def __init__(self, loaded, *, rows: tuple[int, ...] = (0, 1), side: Literal["left", "right"] = "left") -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (2, 50, 70, 3), dtype=np.uint8)
        images = [Image.fromarray(pixels[row]) for row in rows]
        self.batch = encode(
            loaded, images, ["Describe it."] * len(rows), [TEXTS[row] for row in rows], padding_side=side
        )
        self.model = loaded.model
        self.modules = loaded.family.attention_modules(loaded.model)

    def losses(self) -> torch.Tensor:
        assert self.batch.labels is not None
        return response_losses(self.model, self.batch.inputs, self.batch.labels)

    def gradients(self) -> torch.Tensor:
        with gate_heads(self.modules, self.model) as gates:
            return gates.gradients(self.losses())

    def losses_with(self, layer: int, head: int, gate: torch.Tensor | float) -> torch.Tensor:
        """Losses where one head's output is multiplied by 1 + gate, the plain way."""

        def louder(_layer: int, call: AttentionCall, output: torch.Tensor) -> torch.Tensor:
            factors = torch.zeros(output.shape[2])
            factors[head] = 1.0
            return output * (1 + factors[:, None] * gate)

        with replace_attention({layer: self.modules[layer]}, louder):
            return self.losses()


def test_worked_by_hand():
    # L = 3 * the sum of a head's output over rows and channels, so dL/dg = 3 * that sum
    module = Attention(attention_call())
    module.call.query.requires_grad_()
    with gate_heads({5: module}, module) as gates:
        output = module()
        found = gates.gradients(3 * output.sum(dim=(1, 2, 3)))
    assert gates.layer_indices == (5,)
    torch.testing.assert_close(found, 3 * module().sum(dim=(1, 3)).detach()[:, None])


def test_the_model_runs_as_it_is_and_weights_get_no_gradients(tiny_model):
    sample = Sample(tiny_model("llava-siglip"))
    trainable = [parameter.requires_grad for parameter in sample.model.parameters()]
    plain = sample.losses().detach()
    with gate_heads(sample.modules, sample.model) as gates:
        losses = sample.losses()
        assert torch.equal(losses.detach(), plain)
        assert not any(parameter.requires_grad for parameter in sample.model.parameters())
        gates.gradients(losses)
    assert [parameter.requires_grad for parameter in sample.model.parameters()] == trainable
    assert any(trainable)
    assert all(parameter.grad is None for parameter in sample.model.parameters())


def test_the_model_is_as_it_was_after_an_exception(tiny_model):
    sample = Sample(tiny_model("llava-siglip"))
    trainable = [parameter.requires_grad for parameter in sample.model.parameters()]
    with pytest.raises(ZeroDivisionError), gate_heads(sample.modules, sample.model):
        sample.losses()
        raise ZeroDivisionError
    assert [parameter.requires_grad for parameter in sample.model.parameters()] == trainable


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("name", MODELS)
def test_one_pass_gives_what_a_loop_over_heads_gives(tiny_model, name, implementation):
    sample = Sample(tiny_model(name, attn_implementation=implementation))
    found = sample.gradients()
    assert found.shape == (2, len(sample.modules), 4)
    for index, layer in enumerate(sample.modules):
        for head in range(4):
            gate = torch.zeros((), requires_grad=True)
            losses = sample.losses_with(layer, head, gate)
            slow = [torch.autograd.grad(loss, gate, retain_graph=True)[0] for loss in losses]
            torch.testing.assert_close(found[:, index, head], torch.stack(slow), atol=1e-6, rtol=1e-4)
    assert found.abs().min() > 0


@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_the_slopes_of_the_losses(tiny_model, name):
    sample, step = Sample(tiny_model(name)), 0.02
    found = sample.gradients()
    slopes = torch.zeros_like(found)
    with torch.no_grad():
        for index, layer in enumerate(sample.modules):
            for head in range(4):
                up, down = (sample.losses_with(layer, head, gate).double() for gate in (step, -step))
                slopes[:, index, head] = (up - down) / (2 * step)
    torch.testing.assert_close(found, slopes, atol=1e-4, rtol=1e-2)
    assert found.abs().max() > 1e-3


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", MODELS)
def test_every_row_of_a_batch_has_its_own_gradients(tiny_model, name, side):
    loaded = tiny_model(name)
    together = Sample(loaded, side=side).gradients()
    for row in range(2):
        alone = Sample(loaded, rows=(row,)).gradients()[0]
        torch.testing.assert_close(together[row], alone, atol=1e-5, rtol=1e-3)
    assert not torch.allclose(together[0], together[1], rtol=0.1)


def test_chosen_layers_alone(tiny_model):
    sample = Sample(tiny_model("llava-siglip"))
    with gate_heads({1: sample.modules[1]}, sample.model) as gates:
        found = gates.gradients(sample.losses())
    torch.testing.assert_close(found, sample.gradients()[:, 1:2], atol=1e-7, rtol=1e-5)


def test_no_graph_is_built_below_the_first_gate(tiny_model):
    sample = Sample(tiny_model("llava-siglip"))
    graphs: dict[str, bool] = {}

    def note(name: str):
        return lambda _module, _args, output: graphs.__setitem__(name, output.requires_grad)

    handles = [
        sample.model.model.multi_modal_projector.register_forward_hook(note("tower")),
        sample.modules[0].q_proj.register_forward_hook(note("first queries")),
        sample.modules[1].q_proj.register_forward_hook(note("second queries")),
    ]
    try:
        sample.gradients()
    finally:
        for handle in handles:
            handle.remove()
    assert graphs == {"tower": False, "first queries": False, "second queries": True}


def test_half_precision_is_summed_up_in_float32():
    call = attention_call(dtype=torch.bfloat16, queries=400, keys=400)
    module = Attention(call)
    weights = torch.randn(2, 400, 4, 6, generator=torch.Generator().manual_seed(1)).bfloat16()
    with gate_heads({0: module}, module) as gates:
        found = gates.gradients((module() * weights).float().sum(dim=(1, 2, 3)))
    expected = (module().double() * weights.double()).sum(dim=(1, 3))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found[:, 0].double(), expected, atol=1e-3, rtol=1e-4)


def test_gates_without_gradients_are_refused(tiny_model):
    sample = Sample(tiny_model("llava-siglip"))
    with (
        pytest.raises(RunFailedError, match=r"outside of torch\.no_grad"),
        torch.no_grad(),
        gate_heads(sample.modules, sample.model),
    ):
        sample.losses()


def test_two_passes_are_refused(tiny_model):
    sample = Sample(tiny_model("llava-siglip"))
    with pytest.raises(RunFailedError, match="Layer 0 ran twice"), gate_heads(sample.modules, sample.model):
        sample.losses()
        sample.losses()


def test_a_model_that_did_not_run_is_refused():
    with pytest.raises(RunFailedError, match="Heads of layers 0, 1 have no gates"):
        HeadGates([0, 1]).gradients(torch.zeros(2))


@pytest.mark.parametrize("with_gradients", [True, False])
def test_losses_of_another_pass_are_refused(with_gradients):
    module = Attention(attention_call())
    losses = torch.ones(2, requires_grad=with_gradients) * 2
    with gate_heads({0: module}, module) as gates:
        module()
        with pytest.raises(RunFailedError, match="do not depend on the heads of layers 0"):
            gates.gradients(losses)
