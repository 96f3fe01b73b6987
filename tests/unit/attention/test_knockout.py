import itertools
import math
from collections.abc import Callable

import pytest
import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import eager_attention_forward

from headimpact.attention.head_rows import head_rows
from headimpact.attention.interception import AttentionCall, replace_attention
from headimpact.attention.knockout import KNOCKOUTS, knock_out, uniform
from headimpact.core.errors import OptionError, RunFailedError, UnknownNameError, UnsupportedModelError
from tests.unit.attention.calls import Module, attention_call, slow_weights
from tests.unit.attention.silenced import slow_output
from tests.unit.attention.test_reduction import KEYS, QUERIES, additive, by_head, causal, left_padded, tensor_of


class Attention(Module):
    """An attention module around one call, which finds its function as those of transformers do."""

    def __init__(self, call: AttentionCall) -> None:
        super().__init__(
            config=Module(_attn_implementation=call.implementation),
            num_key_value_groups=call.query.shape[1] // call.key.shape[1],
            is_causal=True,
        )
        self.call = call

    def forward(self) -> torch.Tensor:
        function = ALL_ATTENTION_FUNCTIONS.get_interface(self.call.implementation, eager_attention_forward)
        tensors = (self.call.query, self.call.key, self.call.value, self.call.attention_mask)
        output: torch.Tensor = function(self, *tensors, **self.call.options)[0]
        return output

    def knocked_out(self, heads: list[int], keys: list[torch.Tensor] | None = None, **options) -> torch.Tensor:
        with knock_out({0: self}, {0: heads}, keys=KEYS if keys is None else keys, **options):
            output: torch.Tensor = self()
        return output


def test_three_keys_by_hand():
    # logits 0, 0, ln 2 give weights 1/4, 1/4, 1/2; image tokens are keys 1 and 2
    call = AttentionCall(
        module=Module(),
        implementation="eager",
        query=torch.ones(1, 1, 1, 1),
        key=torch.tensor([0.0, 0.0, math.log(2)]).view(1, 1, 3, 1),
        value=torch.tensor([4.0, 8.0, 16.0]).view(1, 1, 3, 1),
        attention_mask=None,
        options={"scaling": 1.0},
        weights=None,
    )
    module = Attention(call)
    found = {name: module.knocked_out([0], [torch.tensor([1, 2])], knockout=name).item() for name in KNOCKOUTS}
    assert module().item() == pytest.approx(4 / 4 + 8 / 4 + 16 / 2)
    assert found == pytest.approx({"zero": 4 / 4, "renormalize": 4, "uniform": 4 / 4 + 3 / 4 * (8 + 16) / 2})


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        pytest.param({"implementation": "sdpa"}, causal, id="sdpa without mask is causal"),
        pytest.param({"implementation": "eager"}, lambda *_: True, id="eager without mask sees all"),
        pytest.param({"implementation": "sdpa", "mask": tensor_of(left_padded)}, left_padded, id="bool mask"),
        pytest.param({"implementation": "eager", "mask": additive(left_padded)}, left_padded, id="additive mask"),
        pytest.param({"implementation": "sdpa", "mask": tensor_of(by_head, heads=4)}, by_head, id="mask by head"),
        pytest.param({"implementation": "sdpa", "groups": 4}, causal, id="one key head a query head"),
        pytest.param({"implementation": "sdpa", "groups": 1}, causal, id="one key head for all"),
        pytest.param({"implementation": "sdpa", "keys": 7, "is_causal": False}, lambda *_: True, id="cross-attention"),
    ],
)
def test_output_equals_the_slow_twin(options, seen):
    call = attention_call(**options)
    weights, sees = slow_weights(call, seen), ~blind(seen)
    for knockout, queries in itertools.product(KNOCKOUTS, [None, QUERIES]):
        found = Attention(call).knocked_out([0, 2, 3], queries=queries, knockout=knockout)
        expected = slow_output(weights, call.value, [0, 2, 3], KEYS, queries, knockout)
        torch.testing.assert_close(found[sees], expected[sees], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("chunk_bytes", [4096, 1], ids=["some blocks", "a row at a time"])
@pytest.mark.parametrize("queries", [None, QUERIES], ids=["all rows", "some rows"])
def test_blocks_together_are_the_whole(queries, chunk_bytes):
    module = Attention(attention_call(mask=tensor_of(left_padded)))
    whole = module.knocked_out([0, 2, 3], queries=queries)
    found = module.knocked_out([0, 2, 3], queries=queries, chunk_bytes=chunk_bytes)
    torch.testing.assert_close(found, whole, atol=1e-6, rtol=1e-5)


def blind(seen: Callable[..., bool]) -> torch.Tensor:
    """Rows that see nothing at all: padding, where implementations give what they like."""
    return torch.tensor([[not any(seen(b, 0, q, k) for k in range(9)) for q in range(9)] for b in range(2)])


def test_soft_capping_is_honoured():
    call = attention_call(softcap=1.5, implementation="eager", mask=additive(causal))
    plain = slow_weights(call, causal)
    found = Attention(call).knocked_out([1], knockout="zero")[:, :, 1]
    torch.testing.assert_close(found, slow_output(plain, call.value, [1], KEYS, None, "zero")[:, :, 1])


def test_other_heads_and_rows_keep_their_output_to_the_last_bit():
    module = Attention(attention_call())
    plain, found = module(), module.knocked_out([2], queries=QUERIES)
    changed = (found != plain).any(dim=3)
    expected = torch.zeros(2, 9, 4, dtype=torch.bool)
    for row, positions in enumerate(QUERIES):
        expected[row, positions, 2] = True
    assert torch.equal(changed, expected)


def test_without_image_tokens_nothing_is_silenced():
    module = Attention(attention_call())
    found = module.knocked_out([0, 1, 2, 3], [torch.tensor([], dtype=torch.long), torch.tensor([8])])
    torch.testing.assert_close(found[0], module()[0])


def test_a_row_that_sees_image_tokens_alone_gives_nothing():
    module = Attention(attention_call())
    everything = [torch.arange(9)] * 2
    assert not module.knocked_out([1], everything)[:, :, 1].any()
    assert not module.knocked_out([1], [torch.tensor([0, 1])] * 2)[:, :2, 1].any()


def test_bfloat16_is_computed_in_float32_even_under_autocast():
    call = attention_call(dtype=torch.bfloat16)
    expected = slow_output(slow_weights(call, causal), call.value, [0, 1, 2, 3], KEYS, None, "renormalize")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = Attention(call).knocked_out([0, 1, 2, 3])
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, expected.bfloat16())


@pytest.mark.parametrize(("batch", "keys"), [(1, 900), (8, 200)])
def test_held_bytes_stay_within_the_budget(batch, keys):
    from tests.unit.attention.memory import peak_bytes

    call = attention_call(batch=batch, heads=4, groups=2, queries=keys, keys=keys)
    positions, budget = torch.arange(keys).expand(batch, -1), 2**20
    is_image = (torch.arange(keys) < keys // 2).expand(batch, -1)
    with torch.no_grad(), peak_bytes() as held:
        for rows in head_rows(call, range(4), positions, chunk_bytes=budget):
            rows.output(uniform(rows, is_image[rows.batch]))
    assert held.peak <= 1.5 * budget


@pytest.mark.parametrize(
    ("heads", "options", "match"),
    [
        ({0: [0]}, {"knockout": "zeros"}, "Did you mean 'zero'"),
        ({0: []}, {}, "No heads to knock out"),
        ({0: [0], 7: [0]}, {}, "Layers without attention to knock out: 7; expected some of 0"),
        ({0: [0]}, {"queries": QUERIES[:1]}, "different batches: 1 and 2 rows"),
        ({0: [0]}, {"queries": [QUERIES[0], QUERIES[0][:0]]}, "No query positions in batch row 1"),
        ({0: [4]}, {}, "Head 4 of layer 0 .* heads 0 to 3"),
        (
            {0: [0]},
            {"queries": [torch.tensor([9])] * 2},
            "2 rows of queries, from 9 to 9; the model ran on 2 rows of 9",
        ),
        ({0: [0]}, {"keys": [torch.tensor([-1])] * 2}, "from -1 to -1"),
        ({0: [0]}, {"keys": KEYS[:1]}, "1 rows of keys"),
    ],
)
def test_what_cannot_be_knocked_out_is_refused(heads, options, match):
    module = Attention(attention_call())
    with (
        pytest.raises((OptionError, UnknownNameError), match=match),
        knock_out({0: module}, heads, **{"keys": KEYS, **options}),
    ):
        module()


def test_attention_that_drops_weights_at_random_is_refused():
    module = Attention(attention_call(dropout=0.1))
    with pytest.raises(RunFailedError, match=r"dropout 0\.1.*model\.eval"):
        module.knocked_out([0])


def test_a_sliding_cache_that_may_have_dropped_keys_is_refused():
    kept = Attention(attention_call(queries=1, keys=9, sliding_window=10))
    assert kept.knocked_out([0]).shape == (2, 1, 4, 6)
    with pytest.raises(UnsupportedModelError, match="window of 9 keys, and 9 keys for 1 new ones"):
        Attention(attention_call(queries=1, keys=9, sliding_window=9)).knocked_out([0])


def test_an_output_that_is_not_laid_out_by_heads_is_refused():
    module = Attention(attention_call())
    with (
        replace_attention({0: module}, lambda layer, call, output: output.flatten(2)),
        pytest.raises(UnsupportedModelError, match=r"shape \(2, 9, 24\), expected \(2, 9, 4, 6\)"),
    ):
        module.knocked_out([0])


def test_gradients_flow_through_what_is_put_in_place():
    module = Attention(attention_call())
    module.call.value.requires_grad_()
    found = torch.autograd.grad(module.knocked_out([0, 1, 2, 3])[0].sum(), module.call.value)[0]
    weights = slow_weights(module.call, causal)[0]
    weights[:, :, KEYS[0]] = 0
    weights = (weights / weights.sum(dim=-1, keepdim=True)).sum(dim=1).view(2, 2, 9).sum(dim=1)
    torch.testing.assert_close(found[0], weights[..., None].expand(-1, -1, 6), atol=1e-5, rtol=1e-5)
