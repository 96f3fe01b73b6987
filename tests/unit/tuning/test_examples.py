import itertools

import pytest

from headimpact.core.errors import DataFormatError, OptionError
from headimpact.tuning.examples import TuningExample, schedule_batches


@pytest.mark.parametrize(
    ("num_examples", "batch_size", "num_batches", "sizes"),
    [
        pytest.param(4, 2, 2, [2, 2], id="one-pass"),
        pytest.param(5, 2, 5, [2, 2, 1, 2, 2], id="last-batch-smaller"),
        pytest.param(3, 8, 2, [3, 3], id="batch-larger-than-set"),
        pytest.param(10, 3, 2, [3, 3], id="part-of-a-pass"),
        pytest.param(1, 1, 3, [1, 1, 1], id="single-example"),
    ],
)
def test_sizes(num_examples, batch_size, num_batches, sizes):
    batches = schedule_batches(num_examples, batch_size=batch_size, num_batches=num_batches, seed=0)
    assert [len(batch) for batch in batches] == sizes


def test_every_pass_holds_every_example_once_in_a_fresh_order():
    batches = schedule_batches(20, batch_size=7, num_batches=9, seed=3)
    passes = [list(itertools.chain(*batches[start : start + 3])) for start in (0, 3, 6)]
    assert all(sorted(one) == list(range(20)) for one in passes)
    assert passes[0] != passes[1] != passes[2]


def test_order_follows_from_the_seed():
    def order(seed):
        return schedule_batches(30, batch_size=4, num_batches=8, seed=seed)

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_longer_runs_begin_with_the_same_batches():
    short = schedule_batches(9, batch_size=2, num_batches=3, seed=5)
    assert schedule_batches(9, batch_size=2, num_batches=30, seed=5)[:3] == short


def test_no_examples_are_refused():
    with pytest.raises(OptionError, match=r"got 0 examples.*--split"):
        schedule_batches(0, batch_size=2, num_batches=1, seed=0)


@pytest.mark.parametrize("answer", [pytest.param("", id="empty"), pytest.param(" \n", id="blank")])
def test_blank_answers_are_refused(answer):
    with pytest.raises(DataFormatError, match="picture 'p7': its answer is blank"):
        TuningExample(image_id="p7", load_image=lambda: None, prompt="What?", answer=answer)  # type: ignore[arg-type,return-value]
