import numpy as np
import pytest

from headimpact.annotation.boxes import box_areas, box_overlaps, clip_boxes, order_boxes, suppress_duplicates


def boxes(*rows):
    return np.array(rows, dtype=np.float32).reshape(-1, 4)


def test_clipping_keeps_what_lies_within():
    found = clip_boxes(boxes([-1, -2, 3, 4], [5, 1, 12, 9], [20, 0, 30, 5]), (8, 10))
    assert found.tolist() == [[0, 0, 3, 4], [5, 1, 10, 8], [10, 0, 10, 5]]
    assert box_areas(found).tolist() == [12, 35, 0]


def test_corners_the_wrong_way_round_have_no_area():
    assert box_areas(boxes([3, 0, 1, 2], [0, 2, 4, 1])).tolist() == [0, 0]


def test_overlaps_by_hand():
    others = boxes([0, 0, 4, 4], [2, 0, 6, 4], [4, 0, 8, 4], [1, 1, 3, 3])
    assert box_overlaps(boxes([0, 0, 4, 4])[0], others).tolist() == pytest.approx([1, 8 / 24, 0, 4 / 16])


def test_boxes_without_area_overlap_nothing():
    assert box_overlaps(boxes([1, 1, 1, 1])[0], boxes([1, 1, 1, 1])).tolist() == [0]


def test_order_is_by_confidence_then_corners():
    found = order_boxes(boxes([5, 0, 6, 1], [1, 0, 2, 1], [0, 0, 1, 1]), np.array([0.5, 0.5, 0.9]))
    assert found.tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    ("max_overlap", "expected"),
    [
        pytest.param(0.0, [1, 3], id="nothing may overlap"),
        pytest.param(0.5, [1, 2, 3], id="half"),
        pytest.param(0.75, [1, 0, 2, 3], id="an overlap at the limit stays"),
        pytest.param(1.0, [1, 0, 2, 3], id="all stay"),
    ],
)
def test_suppression_by_hand(max_overlap, expected):
    several = boxes([0, 0, 4, 3], [0, 0, 4, 4], [0, 2, 4, 4], [9, 9, 10, 10])
    assert suppress_duplicates(several, np.array([0.8, 0.9, 0.7, 0.1]), max_overlap=max_overlap) == expected


def test_a_suppressed_box_suppresses_none():
    chain = boxes([0, 0, 10, 1], [4, 0, 14, 1], [8, 0, 18, 1])
    assert suppress_duplicates(chain, np.array([0.9, 0.8, 0.7]), max_overlap=0.4) == [0, 2]


def test_no_boxes():
    assert suppress_duplicates(boxes(), np.zeros(0), max_overlap=0.5) == []


def test_equal_boxes_leave_one_and_always_the_same():
    twins = boxes([0, 0, 4, 4], [0, 0, 4, 4])
    assert suppress_duplicates(twins, np.array([0.5, 0.5]), max_overlap=0.9) == [0]
