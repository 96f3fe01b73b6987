"""GPU kernels against their plain twin: on a GPU where there is one, else in Triton's interpreter."""

import dataclasses

import pytest
import torch

from headimpact.attention.interception import AttentionCall
from headimpact.attention.reduction import reduce_rows
from headimpact.attention.wanted import WantedPositions
from tests.unit.attention.calls import Module, attention_call
from tests.unit.attention.test_reduction import KEYS, QUERIES, additive, causal, left_padded, tensor_of


@pytest.fixture(name="fused")
def fused_reduction(kernel_device):
    """The module with the kernels, and where they run."""
    from headimpact.attention import fused_reduction as module

    return module, torch.device(kernel_device)


def moved(call: AttentionCall, device: torch.device) -> AttentionCall:
    """The same call on a device."""
    mask = call.attention_mask.to(device) if isinstance(call.attention_mask, torch.Tensor) else call.attention_mask
    return dataclasses.replace(call, query=call.query.to(device), key=call.key.to(device), attention_mask=mask)


def assert_equal(fused, call, wanted, *, reduction="mean", with_peaks=False, tolerance=1e-6) -> None:
    """Both ways give the same."""
    module, device = fused
    call, wanted = moved(call, device), wanted.to(device)
    assert module.serves(call)
    found = module.reduce_rows_fused(call, wanted, reduction=reduction, with_peaks=with_peaks)
    expected = reduce_rows(call, wanted, reduction=reduction, chunk_bytes=2**22, with_peaks=with_peaks)
    torch.testing.assert_close(found.maps, expected.maps, atol=tolerance, rtol=1e-4)
    assert expected.maps.max() > 0
    torch.testing.assert_close(found.sees, expected.sees)
    if with_peaks:
        torch.testing.assert_close(found.peaks, expected.peaks)


CALLS = {
    "causal": {},
    "all seen": {"is_causal": False},
    "bool mask": {"mask": tensor_of(left_padded)},
    "additive mask": {"implementation": "eager", "mask": additive(left_padded)},
    "half precision bias": {
        "implementation": "eager",
        "mask": additive(left_padded, dtype=torch.float16),
        "dtype": torch.float16,
    },
    "one mask for all rows": {"mask": tensor_of(causal, batch=1)},
    "a mask for every head": {"mask": tensor_of(lambda b, h, q, k: k <= q and k >= q - 2 * h - 1, heads=4)},
    "a row that sees no image token": {"mask": tensor_of(lambda b, h, q, k: k <= q and not (b == 1 and k != 5))},
    "soft-capping": {"implementation": "eager", "mask": additive(causal), "softcap": 1.5},
    "one key head for all": {"groups": 1},
    "sliding window": {"implementation": "flash_attention_2", "sliding_window": 3},
    "padding": {"implementation": "flash_attention_2", "mask": torch.arange(9) >= torch.tensor([[0], [2]])},
    "aligned at the last key": {"implementation": "flash_attention_2", "keys": 12},
    "cross-attention": {"keys": 7, "is_causal": False, "module": Module()},
}


@pytest.mark.parametrize("with_peaks", [False, True], ids=["in one kernel", "in two"])
@pytest.mark.parametrize("options", CALLS.values(), ids=CALLS)
def test_equals_the_plain_reduction(fused, options, with_peaks):
    assert_equal(fused, attention_call(**options), WantedPositions.pad(QUERIES, KEYS), with_peaks=with_peaks)


@pytest.mark.parametrize("with_peaks", [False, True], ids=["in one kernel", "in two"])
def test_the_highest_row_instead_of_their_mean(fused, with_peaks):
    wanted = WantedPositions.pad(QUERIES, KEYS)
    assert_equal(fused, attention_call(), wanted, reduction="max", with_peaks=with_peaks)


def long_call(dtype: torch.dtype, *, keys: int, head_dim: int) -> AttentionCall:
    """A call with strided tensors, as models make them, whose keys take several tiles."""
    generator = torch.Generator().manual_seed(5)
    query = torch.randn(2, keys, 4, head_dim, generator=generator).to(dtype).transpose(1, 2)
    key = torch.randn(2, keys, 2, head_dim, generator=generator).to(dtype).transpose(1, 2)
    return dataclasses.replace(attention_call(), query=query, key=key, options={"scaling": 1.0 / head_dim**0.5})


@pytest.mark.parametrize("with_peaks", [False, True], ids=["in one kernel", "in two"])
@pytest.mark.parametrize(
    "dtype",
    [
        torch.float32,
        torch.float16,
        pytest.param(torch.bfloat16, marks=pytest.mark.gpu),  # the interpreter computes with NumPy, which has none
    ],
    ids=str,
)
@pytest.mark.parametrize(("rows", "head_dim"), [(40, 24), (3, 80)])
def test_many_tiles_and_ragged_rows(fused, dtype, rows, head_dim, with_peaks):
    call = long_call(dtype, keys=150, head_dim=head_dim)
    queries = [torch.arange(150 - rows, 150), torch.arange(147, 150)]
    wanted = WantedPositions.pad(queries, [torch.arange(5, 80), torch.arange(9, 40)])
    assert_equal(fused, call, wanted, with_peaks=with_peaks)


def test_parts_of_the_keys_are_joined(fused):
    module, _ = fused
    work = module._Work.plan(1, 3, 2000, 100, with_peaks=True)
    assert work.parts > 1, "what the test is about"
    assert not work.in_one
    call = long_call(torch.float32, keys=300, head_dim=16)
    wanted = WantedPositions.pad([torch.arange(290, 300)] * 2, [torch.arange(5, 100)] * 2)
    assert_equal(fused, call, wanted, with_peaks=True)


def test_equal_highest_weights_count_for_the_first(fused):
    call = long_call(torch.float32, keys=140, head_dim=16)
    key = call.key.clone()
    key[:, :, 130], key[:, :, 20] = 9.0, 9.0
    call = dataclasses.replace(call, key=key, query=call.query.abs())
    wanted = WantedPositions.pad([torch.arange(136, 140)] * 2, [torch.arange(10, 135)] * 2)
    assert_equal(fused, call, wanted, with_peaks=True)


def test_layers_of_one_kind_are_reduced_together(fused):
    """Three calls of one kind, one of another, two that are one too many for the budget."""
    module, device = fused
    wanted = WantedPositions.pad(QUERIES, KEYS).to(device)
    mask, other = tensor_of(left_padded), tensor_of(causal)
    calls = [moved(attention_call(mask=mask, seed=seed), device) for seed in range(3)]
    calls = [dataclasses.replace(call, attention_mask=calls[0].attention_mask) for call in calls]
    calls.append(moved(attention_call(mask=other, seed=3), device))
    calls += [moved(attention_call(implementation="eager", seed=seed), device) for seed in (4, 5)]
    found, sizes = {}, []

    def reduce(call):
        sizes.append(call.query.shape[0] // 2)
        return module.reduce_rows_fused(call, wanted, reduction="mean", with_peaks=True)

    budget = 3 * (calls[0].query.nbytes + calls[0].key.nbytes)
    queue = module.LayerQueue(lambda layer, rows: found.update({layer: rows}), max_bytes=budget)
    for layer, call in enumerate(calls):
        queue.add(layer, call, reduce)
    queue.flush()
    queue.flush()
    assert sizes == [3, 1, 2]
    small = module.LayerQueue(lambda layer, rows: found.update({layer: rows}), max_bytes=budget // 2)
    for layer, call in enumerate(calls[:3]):
        small.add(layer + 10, call, reduce)
    small.flush()
    assert sizes[3:] == [1, 1, 1]
    none = module.LayerQueue(lambda layer, rows: found.update({layer: rows}), max_bytes=8)
    none.add(20, calls[0], reduce)
    assert 20 in found, "too large to wait, reduced at once"
    for layer, rows in found.items():
        expected = reduce_rows(calls[layer % 10], wanted, reduction="mean", chunk_bytes=2**20, with_peaks=True)
        torch.testing.assert_close(rows.maps, expected.maps)
        torch.testing.assert_close(rows.sees, expected.sees)
        torch.testing.assert_close(rows.peaks, expected.peaks)


def test_a_gpu_without_room_for_the_kernels_does_without(fused, monkeypatch, caplog):
    from triton.runtime.errors import OutOfResources

    module, device = fused

    class Full:
        def __getitem__(self, _grid):
            def start(*_, **__):
                raise OutOfResources(200_000, 101_376, "shared memory")

            return start

    monkeypatch.setattr(module, "_refused", set())
    monkeypatch.setattr(module, "reduced_maps", Full())
    wanted = WantedPositions.pad(QUERIES, KEYS).to(device)
    calls, found = [moved(attention_call(seed=seed), device) for seed in range(2)], {}

    def reduce(call):
        if module.serves(call):
            return module.reduce_rows_fused(call, wanted, reduction="mean")
        return reduce_rows(call, wanted, reduction="mean", chunk_bytes=2**20)

    queue = module.LayerQueue(lambda layer, rows: found.update({layer: rows}), max_bytes=2**20)
    for layer, call in enumerate(calls):
        queue.add(layer, call, reduce)
    queue.flush()
    for layer, call in enumerate(calls):
        expected = reduce_rows(call, wanted, reduction="mean", chunk_bytes=2**20)
        torch.testing.assert_close(found[layer].maps, expected.maps)
    assert not module.serves(calls[0]), "not tried again"
    assert module.serves(long_call(torch.float32, keys=9, head_dim=16)), "others are"
    assert "No kernel for heads of 8 numbers" in caplog.text
    assert "shared memory" in caplog.text


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"query": torch.zeros(1, 2, 3, 8, dtype=torch.float64)}, id="double precision"),
        pytest.param(
            {"query": torch.zeros(1, 2, 3, 512), "key": torch.zeros(1, 2, 3, 512)}, id="a head too large for a tile"
        ),
        pytest.param({"attention_mask": Module(mask_mod=lambda *_: True)}, id="a mask that is a function"),
    ],
)
def test_what_the_kernels_do_not_know_is_left_to_the_plain_reduction(fused, change):
    module, _ = fused
    call = attention_call()
    assert module.serves(call)
    assert not module.serves(dataclasses.replace(call, **change))
