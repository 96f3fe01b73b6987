import pytest
from PIL import Image

from headimpact.core.errors import DataFormatError, OptionError
from headimpact.evaluation.requests import ResponseRequest, split_blocks


def request(image_id, references=("a",)):
    return ResponseRequest(
        image_id=image_id, load_image=lambda: Image.new("RGB", (4, 4)), prompt="p", references=references
    )


def names(blocks):
    return [[one.image_id for one in block] for block in blocks]


def test_blocks_are_sorted_and_cut_in_order():
    assert names(split_blocks([request(n) for n in "dbeac"], block_size=2)) == [["a", "b"], ["c", "d"], ["e"]]


@pytest.mark.parametrize("size", [1, 3, 5, 99])
def test_every_request_is_in_one_block(size):
    blocks = split_blocks([request(str(n)) for n in range(7)], block_size=size)
    assert sorted(name for block in names(blocks) for name in block) == [str(n) for n in range(7)]
    assert all(1 <= len(block) <= size for block in blocks)


@pytest.mark.parametrize(
    ("requests", "size", "error", "message"),
    [
        pytest.param([request("a")], 0, OptionError, "blocks of 0.*--batch-size", id="size"),
        pytest.param([], 2, DataFormatError, "got no picture", id="none"),
        pytest.param(
            [request("a"), request("b"), request("a")], 2, DataFormatError, "'a' is asked about twice", id="doubled"
        ),
        pytest.param([request("a"), request("b", ())], 2, DataFormatError, "1 of 2 pictures.*'b'", id="bare"),
    ],
)
def test_refuses(requests, size, error, message):
    with pytest.raises(error, match=message):
        split_blocks(requests, block_size=size)
