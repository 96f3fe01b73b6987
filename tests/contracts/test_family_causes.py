"""Knocked-out heads give what eager attention gives with these weights changed; gates give the slopes of the losses."""

import torch

from headimpact.attention.gates import gate_heads
from headimpact.attention.interception import AttentionCall, replace_attention
from headimpact.attention.knockout import knock_out
from headimpact.models.response_losses import response_losses
from tests.contracts.test_family_attention import encode_rows

SILENCED = [0, 2]


def hidden(loaded, batch) -> torch.Tensor:
    """Hidden states of all rows that are no padding."""
    with torch.no_grad():
        output = loaded.family.backbone(loaded.model)(**batch.inputs, use_cache=False).last_hidden_state
    found: torch.Tensor = output[batch.inputs["attention_mask"].bool()]
    return found


def hidden_with_changed_weights(eager, batch, keys: list[torch.Tensor]) -> torch.Tensor:
    """Hidden states where weights of eager attention are set to zero and their rows divided by their sums."""

    def change(layer: int, call: AttentionCall, output: torch.Tensor) -> torch.Tensor:
        assert call.weights is not None
        weights = call.weights.clone()
        for row, positions in enumerate(keys):
            for head in SILENCED:
                weights[row, head][:, positions] = 0
        weights[:, SILENCED] /= weights[:, SILENCED].sum(dim=-1, keepdim=True).clamp_min(1e-30)
        values = call.value.repeat_interleave(weights.shape[1] // call.value.shape[1], dim=1)
        return torch.matmul(weights, values).transpose(1, 2)

    with replace_attention(eager.family.attention_modules(eager.model), change):
        return hidden(eager, batch)


def test_knocked_out_heads_give_eagers_output_with_these_weights_changed(name, loaded, tiny_model):
    eager = tiny_model(name, attn_implementation="eager")
    batch, modules = encode_rows(loaded, 2, "left"), loaded.family.attention_modules(loaded.model)
    keys = [torch.from_numpy(layout.positions) for layout in batch.layouts]
    plain = hidden(loaded, batch)
    with knock_out(modules, dict.fromkeys(modules, tuple(SILENCED)), keys=keys):
        found = hidden(loaded, batch)
    expected = hidden_with_changed_weights(eager, encode_rows(eager, 2, "left"), keys)
    torch.testing.assert_close(found, expected, atol=5e-4, rtol=5e-4)  # rounding grows behind linear attention
    assert not torch.allclose(found, plain, atol=5e-3)
    assert torch.equal(hidden(loaded, batch), plain)


def test_gates_give_the_slopes_of_the_losses(name, loaded):
    batch, modules = encode_rows(loaded, 2, "right"), loaded.family.attention_modules(loaded.model)
    assert batch.labels is not None
    with gate_heads(modules, loaded.model) as gates:
        found = gates.gradients(response_losses(loaded.model, batch.inputs, batch.labels))
    direction = torch.randn(found.shape[1:], generator=torch.Generator().manual_seed(0))
    by_layer = dict(zip(modules, direction, strict=True))
    step = torch.zeros((), requires_grad=True)  # a small step would send tokens to other experts

    def louder(layer: int, call: AttentionCall, output: torch.Tensor) -> torch.Tensor:
        gated: torch.Tensor = output * (1 + step * by_layer[layer][:, None])
        return gated

    with replace_attention(modules, louder):
        losses = response_losses(loaded.model, batch.inputs, batch.labels)
    slopes = torch.stack([torch.autograd.grad(loss, step, retain_graph=True)[0] for loss in losses])
    torch.testing.assert_close((found * direction).sum(dim=(1, 2)), slopes, atol=1e-4, rtol=1e-3)
    assert (found != 0).any(dim=2).all()
