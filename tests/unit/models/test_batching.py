import threading

import pytest
import torch

from headimpact.core.errors import OptionError, RunFailedError
from headimpact.models.batching import BatchSize, run_in_batches


def double(items):
    return [2 * item for item in items]


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("rows", [1, 3, 10, 50])
def test_results_come_in_order_whatever_the_batch(rows, overlap):
    found = run_in_batches(range(10), prepare=list, run=double, size=BatchSize(rows), overlap=overlap)
    assert found == [2 * item for item in range(10)]


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
        MemoryError(),
    ],
    ids=["cuda", "cpu", "python"],
)
def test_a_batch_that_does_not_fit_is_run_again_in_halves(error, overlap):
    tried = []

    def run(items):
        tried.append(len(items))
        if len(items) > 3:
            raise error
        return double(items)

    size = BatchSize(8)
    found = run_in_batches(range(10), prepare=list, run=run, size=size, overlap=overlap)
    assert found == [2 * item for item in range(10)]
    assert tried == [8, 4, 2, 2, 2, 2, 2]
    assert size.rows == 2, "it stays small for later calls"


def test_a_single_row_that_does_not_fit_fails_with_advice():
    def run(items):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(RunFailedError, match=r"single row.*--resume"):
        run_in_batches([1, 2], prepare=list, run=run, size=BatchSize(1))


@pytest.mark.parametrize("error", [RuntimeError("shapes do not fit"), KeyError("pixel_values")])
def test_other_errors_pass(error):
    def run(items):
        raise error

    with pytest.raises(type(error)):
        run_in_batches([1, 2], prepare=list, run=run, size=BatchSize(2))


def test_the_next_batch_is_prepared_while_one_runs():
    prepared: dict[int, threading.Event] = {item: threading.Event() for item in range(4)}

    def prepare(items):
        for item in items:
            prepared[item].set()
        return items

    def run(items):
        following = items[-1] + 1
        assert following > 3 or prepared[following].wait(10), "nobody prepared the next batch"
        return list(items)

    assert run_in_batches(range(4), prepare=prepare, run=run, size=BatchSize(1), overlap=True) == [0, 1, 2, 3]


def test_a_size_below_one_is_refused():
    with pytest.raises(OptionError, match="--batch-size is 0; expected 1"):
        BatchSize(0)
