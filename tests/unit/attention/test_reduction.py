import dataclasses
import math

import pytest
import torch
from torch.nn.attention.flex_attention import create_block_mask

from headimpact.attention.interception import AttentionCall
from headimpact.attention.reduction import reduce_rows
from headimpact.attention.visibility import Visibility
from headimpact.attention.wanted import WantedPositions
from headimpact.core.errors import UnsupportedModelError
from tests.unit.attention.calls import Module, attention_call, slow_weights

QUERIES = [torch.tensor([3, 5, 8]), torch.tensor([7])]
KEYS = [torch.tensor([1, 2]), torch.tensor([0, 3, 4, 6])]


def causal(b, h, q, k):
    return k <= q


def left_padded(b, h, q, k):
    return k <= q and not (b == 1 and k < 2)


def tensor_of(rule, *, batch=2, heads=1, queries=9, keys=9):
    return torch.tensor(
        [
            [[[rule(b, h, q, k) for k in range(keys)] for q in range(queries)] for h in range(heads)]
            for b in range(batch)
        ]
    )


def additive(rule, *, dtype=torch.float32, **sizes):
    return torch.where(tensor_of(rule, **sizes), 0.0, torch.finfo(dtype).min).to(dtype)


def across(b, h, q, k):
    """Cross-attention: the first rows see all keys, the second row's others see half of theirs."""
    return q < 4 or b == 0 or k < 6


def by_head(b, h, q, k):
    return k <= q and k >= q - 2 * h - 1


def reduced(call: AttentionCall, *, reduction: str = "mean", chunk_bytes: int = 2**20):
    wanted = WantedPositions.pad(QUERIES, KEYS)
    found = reduce_rows(call, wanted, reduction=reduction, chunk_bytes=chunk_bytes)
    return [found.maps[row, :, : len(keys)] for row, keys in enumerate(KEYS)], found.sees


def expected_maps(weights: torch.Tensor, reduction: str = "mean"):
    rows = [weights[b][:, QUERIES[b]][:, :, KEYS[b]] for b in range(2)]
    return [row.mean(dim=1) if reduction == "mean" else row.amax(dim=1) for row in rows]


def test_two_keys_by_hand():
    # logits 0 and ln 3 give weights 1/4 and 3/4
    call = AttentionCall(
        module=Module(),
        implementation="eager",
        query=torch.ones(1, 1, 1, 1),
        key=torch.tensor([0.0, math.log(3)]).view(1, 1, 2, 1),
        value=torch.ones(1, 1, 2, 1),
        attention_mask=None,
        options={},
        weights=None,
    )
    wanted = WantedPositions.pad([torch.tensor([0])], [torch.tensor([0, 1])])
    found = reduce_rows(call, wanted, reduction="mean", chunk_bytes=2**20)
    maps, sees = found.maps, found.sees
    torch.testing.assert_close(maps, torch.tensor([[[0.25, 0.75]]]))
    assert sees.tolist() == [[True]]


@pytest.mark.parametrize("chunk_bytes", [2**20, 4096, 1], ids=["one block", "some blocks", "a key at a time"])
@pytest.mark.parametrize(
    ("options", "seen"),
    [
        pytest.param({"implementation": "sdpa"}, causal, id="sdpa without mask is causal"),
        pytest.param({"implementation": "eager"}, lambda *_: True, id="eager without mask sees all"),
        pytest.param({"implementation": "sdpa", "is_causal": False}, lambda *_: True, id="sdpa told not causal"),
        pytest.param({"implementation": "sdpa", "mask": tensor_of(left_padded)}, left_padded, id="bool mask"),
        pytest.param({"implementation": "eager", "mask": additive(left_padded)}, left_padded, id="additive mask"),
        pytest.param(
            {"implementation": "sdpa", "mask": tensor_of(causal, batch=1)}, causal, id="one mask for all rows"
        ),
        pytest.param(
            {"implementation": "sdpa", "mask": tensor_of(by_head, heads=4)}, by_head, id="a mask for every head"
        ),
        pytest.param(
            {"implementation": "sdpa", "mask": tensor_of(causal, keys=12)}, causal, id="mask longer than the keys"
        ),
        pytest.param({"implementation": "eager", "mask": additive(causal), "softcap": 1.5}, causal, id="soft-capping"),
        pytest.param({"implementation": "sdpa", "groups": 4}, causal, id="one key head a query head"),
        pytest.param({"implementation": "sdpa", "groups": 1}, causal, id="one key head for all"),
        pytest.param(
            {"implementation": "flash_attention_2", "sliding_window": 3},
            lambda b, h, q, k: q - 3 < k <= q,
            id="flash with a sliding window",
        ),
        pytest.param(
            {"implementation": "flash_attention_2", "sliding_window": 9}, causal, id="flash window as long as the row"
        ),
        pytest.param(
            {"implementation": "flash_attention_2", "mask": torch.arange(9) >= torch.tensor([[0], [2]])},
            left_padded,
            id="flash with padding",
        ),
        pytest.param(
            {"implementation": "flash_attention_2", "keys": 12},
            lambda b, h, q, k: k <= q + 3,
            id="flash aligned at the last key",
        ),
        pytest.param({"implementation": "sdpa", "keys": 12}, causal, id="sdpa aligned at the first key"),
        pytest.param(
            {"implementation": "sdpa", "keys": 12, "mask": additive(across, keys=12), "module": Module()},
            across,
            id="cross-attention by mask",
        ),
        pytest.param(
            {"implementation": "sdpa", "queries": 9, "keys": 7, "is_causal": False},
            lambda *_: True,
            id="cross-attention to fewer keys",
        ),
    ],
)
def test_rows_equal_the_slow_twin(options, seen, chunk_bytes):
    call = attention_call(**options)
    maps, _ = reduced(call, chunk_bytes=chunk_bytes)
    for found, expected in zip(maps, expected_maps(slow_weights(call, seen)), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_an_additive_bias_counts():
    bias = torch.randn(2, 4, 9, 9, generator=torch.Generator().manual_seed(3))
    call = attention_call(implementation="eager", mask=bias)
    weights = slow_weights(call, lambda *_: True, bias=lambda b, h, q, k: bias[b, h, q, k])
    for found, expected in zip(reduced(call)[0], expected_maps(weights), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_a_block_mask_is_read():
    block_mask = create_block_mask(lambda b, h, q, k: (k <= q) & (k > q - 4), 2, None, 9, 9, device="cpu")
    call = attention_call(implementation="flex_attention", mask=block_mask)
    weights = slow_weights(call, lambda b, h, q, k: q - 4 < k <= q)
    for found, expected in zip(reduced(call)[0], expected_maps(weights), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("chunk_bytes", [2**20, 1])
def test_the_highest_row_instead_of_their_mean(chunk_bytes):
    call = attention_call()
    maps, _ = reduced(call, reduction="max", chunk_bytes=chunk_bytes)
    for found, expected in zip(maps, expected_maps(slow_weights(call, causal), "max"), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_scaling_left_out_is_one_over_the_root_of_the_width():
    call = attention_call()
    given = attention_call(scaling=8**-0.5)
    without = dataclasses.replace(call, options={})
    assert torch.equal(reduced(without)[0][0], reduced(given)[0][0])


def test_bfloat16_is_computed_in_float32_even_under_autocast():
    call = attention_call(dtype=torch.bfloat16)
    expected = expected_maps(slow_weights(call, causal))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps, _ = reduced(call)
    for found, want in zip(maps, expected, strict=True):
        torch.testing.assert_close(found, want, atol=1e-6, rtol=0)


def test_more_rows_than_fit_in_one_block():
    call = attention_call(queries=700, keys=700, batch=1)
    queries, keys = torch.arange(10, 690), torch.arange(5)
    wanted = WantedPositions.pad([queries], [keys])
    maps = reduce_rows(call, wanted, reduction="mean", chunk_bytes=2**16).maps
    logits = torch.einsum("hqd,hkd->hqk", call.query[0], call.key[0].repeat_interleave(2, 0)) * 0.7
    weights = logits.masked_fill(~torch.ones(700, 700).tril().bool(), -math.inf).softmax(-1)
    torch.testing.assert_close(maps[0], weights[:, queries][:, :, keys].mean(1), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("options", "sees"),
    [
        ({"implementation": "sdpa"}, [[True] * 4, [True] * 4]),
        (
            {"implementation": "flash_attention_2", "sliding_window": 2},
            [[True] * 4, [True] * 4],
        ),
        ({"implementation": "sdpa", "mask": tensor_of(lambda b, h, q, k: k > 6)}, [[False] * 4] * 2),
        ({"implementation": "eager", "mask": additive(lambda b, h, q, k: k > 6)}, [[False] * 4] * 2),
        (
            {
                "implementation": "eager",
                "mask": additive(lambda b, h, q, k: k > 6, dtype=torch.float16),
                "dtype": torch.float16,
            },
            [[False] * 4] * 2,
        ),
        (
            {"implementation": "sdpa", "mask": tensor_of(lambda b, h, q, k: k > 6 or (b == 0 and h == 2), heads=4)},
            [[False, False, True, False], [False] * 4],
        ),
    ],
    ids=["all", "window reaches the last key", "bool mask", "additive mask", "additive half", "one head"],
)
def test_heads_that_see_no_image_are_named(options, sees):
    assert reduced(attention_call(**options))[1].tolist() == sees


@pytest.mark.parametrize(
    ("options", "match"),
    [
        pytest.param({"s_aux": torch.zeros(4)}, "attention sinks", id="sinks passed"),
        pytest.param({"module": Module(sinks=torch.zeros(4))}, "attention sinks", id="sinks in the module"),
        pytest.param({"position_bias": torch.zeros(1)}, "a position bias", id="position bias"),
        pytest.param({"cache": object()}, "a paged cache", id="paged cache"),
        pytest.param({"implementation": "mine"}, "'mine' got no mask", id="unknown implementation"),
    ],
)
def test_what_is_no_plain_softmax_is_refused(options, match):
    with pytest.raises(UnsupportedModelError, match=match):
        Visibility.of(attention_call(**options))


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("keys", [300, 3000])
def test_held_bytes_stay_within_the_budget(batch, keys):
    from tests.unit.attention.memory import peak_bytes

    call = attention_call(batch=batch, heads=16, groups=2, queries=keys, keys=keys)
    wanted = WantedPositions.pad([torch.arange(keys - 40, keys)] * batch, [torch.arange(keys - 60)] * batch)
    budget = 2**20
    with peak_bytes() as held:
        maps = reduce_rows(call, wanted, reduction="mean", chunk_bytes=budget).maps
    assert held.peak - maps.numel() * 4 <= 1.5 * budget


@pytest.mark.parametrize("chunk_bytes", [2**20, 700, 1], ids=["at once", "in slabs", "key by key"])
@pytest.mark.parametrize("rule", [causal, left_padded], ids=lambda rule: rule.__name__)
def test_peaks_are_the_rows_highest_weights_over_all_keys(rule, chunk_bytes):
    call = attention_call(mask=tensor_of(rule), seed=3)
    found = reduce_rows(
        call, WantedPositions.pad(QUERIES, KEYS), reduction="mean", chunk_bytes=chunk_bytes, with_peaks=True
    )
    best = slow_weights(call, rule).argmax(dim=-1)
    assert found.peaks is not None
    for row, keys in enumerate(KEYS):
        expected = (best[row][:, QUERIES[row], None] == keys).float().mean(dim=1)
        torch.testing.assert_close(found.peaks[row, :, : len(keys)], expected)
        assert 0 < expected.sum() < expected.shape[0]


def test_peaks_are_found_only_where_asked_for():
    wanted = WantedPositions.pad(QUERIES, KEYS)
    assert reduce_rows(attention_call(), wanted, reduction="mean", chunk_bytes=2**20).peaks is None


def test_peaks_where_all_keys_are_image_tokens():
    call = attention_call(queries=2, keys=3, mask=tensor_of(lambda b, h, q, k: True, queries=2, keys=3))
    wanted = WantedPositions.pad([torch.tensor([0, 1])] * 2, [torch.tensor([0, 1, 2])] * 2)
    found = reduce_rows(call, wanted, reduction="max", chunk_bytes=2**20, with_peaks=True)
    assert found.peaks is not None
    torch.testing.assert_close(found.peaks.sum(dim=2), torch.ones(2, 4))
