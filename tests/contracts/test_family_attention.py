"""Captured rows are the model's own attention, and the model is left as it was."""

from collections.abc import Mapping
from functools import partial
from typing import Literal

import pytest
import torch
from torch._dynamo.exc import BackendCompilerFailed

from headimpact.attention.capture import capture_attention
from headimpact.attention.queries import response_rows
from headimpact.models.prompts import encode
from tests.contracts.image_oracle import picture

IMPLEMENTATIONS = ("sdpa", "eager")
STATES = ("hidden_states", "cross_attention_states")


def encode_rows(loaded, count: int, side: Literal["left", "right"]):
    """One or two rows, the second with two pictures and a longer text."""
    images = [[picture((60, 90))], [picture((100, 50)), picture((64, 64))]][:count]
    texts = ["a red circle", "a large square near the top of the background"][:count]
    return encode(loaded, images, ["What colour?", "Describe it."][:count], texts, padding_side=side)


def run_backbone(loaded, inputs, handles) -> None:
    """Run the model without logits, and remove what was hooked into it."""
    try:
        with torch.no_grad():
            loaded.family.backbone(loaded.model)(**inputs, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()


def eager_weights(loaded, inputs, *, states: Mapping[int, dict] | None = None) -> list[torch.Tensor]:
    """Attention weights of every attention module as eager attention returns them, `[batch, heads, queries, keys]`.

    With `states`, as `attended_states` gives them, every module takes these for its own.
    """
    found: dict[int, torch.Tensor] = {}
    modules = loaded.family.attention_modules(loaded.model)

    def replace(_module, args, kwargs, layer):
        return args, {**kwargs, **({} if states is None else states[layer])}

    handles = []
    for layer, module in modules.items():
        handles.append(module.register_forward_pre_hook(partial(replace, layer=layer), with_kwargs=True))
        handles.append(
            module.register_forward_hook(lambda _module, _args, output, layer=layer: found.update({layer: output[1]}))
        )
    run_backbone(loaded, inputs, handles)
    return [found[layer] for layer in modules]


def attended_states(loaded, inputs) -> dict[int, dict[str, torch.Tensor]]:
    """The states that each attention module is given, by layer and name."""
    found: dict[int, dict[str, torch.Tensor]] = {}

    def keep(_module, args, kwargs, layer):
        assert not args, "states are given by name"
        found[layer] = {name: kwargs[name] for name in STATES if name in kwargs}

    modules = loaded.family.attention_modules(loaded.model)
    handles = [
        module.register_forward_pre_hook(partial(keep, layer=layer), with_kwargs=True)
        for layer, module in modules.items()
    ]
    run_backbone(loaded, inputs, handles)
    return found


def capture(loaded, batch):
    """Hidden states under capture, and what was captured."""
    queries = response_rows(batch.response_spans)
    keys = [torch.from_numpy(layout.positions) for layout in batch.layouts]
    modules = loaded.family.attention_modules(loaded.model)
    with torch.no_grad(), capture_attention(modules, queries=queries, keys=keys, with_peaks=True) as captured:
        watched = loaded.family.backbone(loaded.model)(**batch.inputs, use_cache=False).last_hidden_state
    return watched, captured, queries, keys


def check_captured_rows(eager, loaded, count: int, side: Literal["left", "right"], *, atol: float) -> None:
    """Hold what is captured to eager attention's weights, and the outputs under capture to those without."""
    batch = encode_rows(loaded, count, side)
    with torch.no_grad():
        plain = loaded.family.backbone(loaded.model)(**batch.inputs, use_cache=False).last_hidden_state
    watched, captured, queries, keys = capture(loaded, batch)
    assert torch.equal(plain, watched)
    weights = eager_weights(eager, batch.inputs)
    for row in range(count):
        expected = torch.stack([layer[row][:, queries[row]][:, :, keys[row]].mean(dim=1) for layer in weights])
        torch.testing.assert_close(captured.maps[row], expected, atol=atol, rtol=0)
        best = torch.stack([layer[row][:, queries[row]].argmax(dim=-1) for layer in weights])
        peaks = (best[..., None] == keys[row]).float().mean(dim=2)
        assert ((captured.peaks[row] - peaks).abs() > 1e-6).float().mean() < 0.01  # nearly equal weights may swap


def check_rows_in_bfloat16(eager, loaded) -> None:
    """Hold what is captured to eager attention on the same states, within bfloat16's rounding.

    The states of two implementations drift apart by more than that, layer by layer.
    """
    batch = encode_rows(loaded, 2, "right")
    _, captured, queries, keys = capture(loaded, batch)
    weights = eager_weights(eager, batch.inputs, states=attended_states(loaded, batch.inputs))
    for row in range(2):
        rows = [layer[row][:, queries[row]][:, :, keys[row]].float().mean(dim=1) for layer in weights]
        torch.testing.assert_close(captured.maps[row], torch.stack(rows), atol=2**-8, rtol=2**-6)


def skip_what_is_refused(eager, implementation: str) -> None:
    """Skip the test, saying why, where the family or the checkpoint has no such attention."""
    if why := eager.family.refused_implementations(eager.config).get(implementation):
        pytest.skip(f"{implementation} is refused: {why}")
    if implementation not in eager.family.implementations(eager.config):
        pytest.skip(f"transformers has no {implementation} for this model")


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("count", [1, 2])
def test_captured_rows_are_eagers(name, tiny_model, implementation, side, count):
    eager = tiny_model(name, attn_implementation="eager")
    skip_what_is_refused(eager, implementation)
    check_captured_rows(eager, tiny_model(name, attn_implementation=implementation), count, side, atol=1e-5)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_captured_rows_in_bfloat16_are_within_its_rounding(name, tiny_model, implementation):
    eager = tiny_model(name, attn_implementation="eager", dtype="bfloat16")
    skip_what_is_refused(eager, implementation)
    check_rows_in_bfloat16(eager, tiny_model(name, attn_implementation=implementation, dtype="bfloat16"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch and transformers call what torch deprecates
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_captured_rows_are_eagers_under_flex_attention(name, tiny_model, dtype):
    """One batch each: flex_attention compiles for half a minute on a CPU."""
    eager = tiny_model(name, attn_implementation="eager", dtype=dtype)
    skip_what_is_refused(eager, "flex_attention")
    torch.compiler.reset()  # it compiles anew for a few models only, then computes uncompiled
    flex = tiny_model(name, attn_implementation="flex_attention", dtype=dtype)
    try:
        if dtype == "bfloat16":
            check_rows_in_bfloat16(eager, flex)
        else:
            check_captured_rows(eager, flex, 2, "left", atol=1e-5)
    except BackendCompilerFailed as error:
        pytest.skip(f"torch's compiler fails on this model's mask before anything is computed: {type(error).__name__}")


def test_response_rows_see_the_image_and_nothing_later(name, loaded):
    """Changing the last response token changes no row that predicts an earlier one."""
    batch = encode_rows(loaded, 1, "right")
    _, captured, _, _ = capture(loaded, batch)
    assert captured.sees_image[0].any()
    span = batch.response_spans[0]
    ids = batch.inputs["input_ids"]
    with torch.no_grad():
        before = loaded.family.backbone(loaded.model)(**batch.inputs, use_cache=False).last_hidden_state
        ids[0, span[1] - 1] = (ids[0, span[1] - 1] + 7) % 200 + 60
        after = loaded.family.backbone(loaded.model)(**batch.inputs, use_cache=False).last_hidden_state
    torch.testing.assert_close(before[0, : span[1] - 1], after[0, : span[1] - 1], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(before[0, span[1] - 1], after[0, span[1] - 1], atol=1e-3)
