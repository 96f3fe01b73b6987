"""COCO's polygons and run lengths: worked by hand, against pycocotools, and broken in every way."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from headimpact.core.errors import DataFormatError
from headimpact.data.masks import RleMask
from headimpact.data.segmentations import rle_from_segmentation, segmentation_size
from tests.builders import mask

SQUARE = [1, 1, 3, 1, 3, 3, 1, 3]


@pytest.mark.parametrize(
    ("segmentation", "expected"),
    [
        pytest.param([SQUARE], mask("......", ".##...", ".##...", "......"), id="one-part"),
        pytest.param([SQUARE, [5, 0, 6, 0, 6, 4, 5, 4]], mask(".....#", ".##..#", ".##..#", ".....#"), id="two-parts"),
        pytest.param([SQUARE, [1, 1, 2, 2]], mask("......", ".##...", ".##...", "......"), id="line-encloses-nothing"),
        pytest.param(
            [[1.0, 1.0, 3.0, 1.0, 3.0, 3.0, 1.0, 3.0]], mask("......", ".##...", ".##...", "......"), id="floats"
        ),
        pytest.param([[-3, -3, 9, -3, 9, 2, -3, 2]], mask("######", "######", "......", "......"), id="past-the-edge"),
        pytest.param([], np.zeros((4, 6), bool), id="empty-list"),
        pytest.param(None, np.zeros((4, 6), bool), id="none"),
        pytest.param(
            {"size": [4, 6], "counts": [5, 2, 2, 2, 13]}, mask("......", ".##...", ".##...", "......"), id="runs"
        ),
        pytest.param({"size": [4, 6], "counts": [0, 24]}, np.ones((4, 6), bool), id="all-covered"),
    ],
)
def test_segmentation_worked_by_hand(segmentation, expected):
    size_hw = segmentation_size(segmentation, picture_hw=(4, 6))
    result = rle_from_segmentation(segmentation, size_hw=size_hw)
    assert result.decode().tolist() == expected.tolist()
    assert result.area == expected.sum()


@pytest.mark.parametrize("seed", range(8))
def test_runs_agree_with_pycocotools_and_a_plain_loop(seed):
    generator = np.random.default_rng(seed)
    drawn = generator.random(tuple(generator.integers(1, 60, 2))) < generator.random()
    runs, current = [0], False
    for value in drawn.T.ravel().tolist():
        if value != current:
            runs.append(0)
            current = value
        runs[-1] += 1
    compressed = coco_mask.encode(np.asfortranarray(drawn, dtype=np.uint8))["counts"].decode()
    for counts in (runs, compressed):
        result = rle_from_segmentation({"size": list(drawn.shape), "counts": counts}, size_hw=drawn.shape)
        assert result == RleMask.from_mask(drawn)
        assert (result.decode() == drawn).all()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_polygons_agree_with_pycocotools():
    generator = np.random.default_rng(0)
    parts = [list(map(float, generator.uniform(-5, 60, 2 * int(generator.integers(3, 9))))) for _ in range(4)]
    expected = np.zeros((50, 55), bool)
    for part in parts:
        expected |= coco_mask.decode(coco_mask.frPyObjects([part], 50, 55))[..., 0].astype(bool)
    assert (rle_from_segmentation(parts, size_hw=(50, 55)).decode() == expected).all()


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        pytest.param("abc", "expected a list of polygons or run lengths", id="text"),
        pytest.param({"size": [4, 6]}, "expected a list of polygons or run lengths", id="no-counts"),
        pytest.param([[1, 1, 3, 1, 3]], r"expected numbers x, y, x, y", id="odd"),
        pytest.param([1, 1, 3, 1, 3, 3], r"expected numbers x, y, x, y", id="flat"),
        pytest.param([["1", "1", "3", "1", "3", "3"]], r"expected numbers x, y, x, y", id="texts"),
        pytest.param([[1, None, 3, 1, 3, 3]], r"expected numbers x, y, x, y", id="null"),
        pytest.param([[1, float("nan"), 3, 1, 3, 3]], r"point \(1, nan\) is far outside", id="nan"),
        pytest.param([[1, 1, 1e12, 1, 3, 3]], r"is far outside the picture of 4 x 6", id="far-out"),
        pytest.param([[1, 1, 10**30, 1, 3, 3]], r"expected numbers x, y, x, y|far outside", id="huge-number"),
        pytest.param({"size": [4, 6], "counts": [5, 2]}, r"add up to 7 pixels, expected 4 x 6 = 24", id="short-runs"),
        pytest.param({"size": [4, 6], "counts": [-5, 29]}, "whole numbers from 0 up", id="negative-run"),
        pytest.param({"size": [4, 6], "counts": [5.0, 19]}, "whole numbers from 0 up", id="float-run"),
        pytest.param({"size": [4, 6], "counts": "\x7f"}, r"Broken run lengths: '\\x7f'", id="foreign-character"),
        pytest.param({"size": [4, 6], "counts": "P"}, "end in the middle of a number", id="cut-text"),
        pytest.param({"size": [4, 6], "counts": "o" * 40}, "Broken run lengths", id="endless-number"),
        pytest.param({"size": [4, 6], "counts": "5"}, r"add up to 5 pixels", id="short-text"),
        pytest.param({"size": "4x6", "counts": [24]}, r"size is '4x6', expected \[height, width\]", id="size-text"),
        pytest.param({"size": [0, 6], "counts": [0]}, r"expected \[height, width\]", id="size-zero"),
        pytest.param({"size": [10**6, 10**6], "counts": [10**12]}, r"Mask too large: 1000000 x 1000000", id="bomb"),
    ],
)
def test_broken_segmentation(segmentation, message):
    with pytest.raises(DataFormatError, match=message):
        rle_from_segmentation(segmentation, size_hw=segmentation_size(segmentation, picture_hw=(4, 6)))
