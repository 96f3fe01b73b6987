"""Attention over a picture: laying out, outlining, drawing."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from headimpact.report.figures.attention_picture import (
    attention_levels,
    outline_path,
    render_attention,
    render_picture,
    render_shared_parts,
)
from tests.unit.report.builders import example_picture


def test_levels_by_hand():
    boxes = np.array([[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 1, 1]], dtype=np.float64)
    levels = attention_levels(np.array([0.1, 0.3, 0.4]), boxes, (2, 2))
    # Per area: 0.4, 1.2, 0.8 and 0.8, their mean 0.8; only the second lies above it.
    assert levels == pytest.approx(np.array([[0.0, 1.0], [0.0, 0.0]]))


def test_levels_of_overlapping_tokens_are_averaged():
    boxes = np.array([[0, 0, 1, 1], [0, 0, 0.5, 1], [0.5, 0, 0.75, 1]], dtype=np.float64)
    # Per area: 0.5, 1.5, 2.0. Averaged: 1.0, 1.0, 1.25, 0.5; mean 0.9375.
    levels = attention_levels(np.array([0.5, 0.75, 0.5]), boxes, (4, 1))
    assert levels == pytest.approx(np.array([[0.2, 0.2, 1.0, 0.0]]))


def test_levels_outside_all_tokens_are_zero_and_do_not_count():
    boxes = np.array([[0, 0, 0.25, 1], [0.25, 0, 0.5, 1]], dtype=np.float64)
    assert attention_levels(np.array([0.3, 0.1]), boxes, (4, 1)) == pytest.approx(np.array([[1.0, 0.0, 0.0, 0.0]]))


@pytest.mark.parametrize(
    ("weights", "boxes"),
    [
        pytest.param([0.2, 0.2], [[0, 0, 0.5, 1], [0.5, 0, 1, 1]], id="even_attention"),
        pytest.param([0.0, 0.0], [[0, 0, 0.5, 1], [0.5, 0, 1, 1]], id="no_attention"),
        pytest.param([np.nan, np.nan], [[0, 0, 0.5, 1], [0.5, 0, 1, 1]], id="head_sees_nothing"),
        pytest.param([0.5, 0.5], [[0, 0, 0, 0], [0.5, 0.5, 0.5, 0.9]], id="padding_only"),
    ],
)
def test_levels_without_anything_are_zero(weights, boxes):
    levels = attention_levels(np.array(weights), np.array(boxes, dtype=np.float64), (3, 2))
    assert (levels == 0).all()


def slow_levels(weights, boxes, size_wh):
    width, height = size_wh
    levels = np.zeros((height, width))
    for row in range(height):
        for column in range(width):
            x, y = (column + 0.5) / width, (row + 0.5) / height
            hits = [
                w / ((x1 - x0) * (y1 - y0))
                for w, (x0, y0, x1, y1) in zip(weights, boxes, strict=True)
                if (x1 - x0) * (y1 - y0) > 0 and x0 <= x < x1 and y0 <= y < y1
            ]
            levels[row, column] = np.mean(hits) if hits else np.nan
    above = np.nan_to_num(np.maximum(levels - np.nanmean(levels), 0.0))
    return above / above.max()


def test_levels_agree_with_plain_loops():
    rng = np.random.default_rng(3)
    for _ in range(20):
        corners = np.sort(rng.random((7, 2, 2)), axis=2)
        boxes = np.stack([corners[:, 0, 0], corners[:, 1, 0], corners[:, 0, 1], corners[:, 1, 1]], axis=1)
        boxes[0] = 0.0
        weights = rng.random(7)
        assert attention_levels(weights, boxes, (13, 9)) == pytest.approx(slow_levels(weights, boxes, (13, 9)))


def test_levels_do_not_depend_on_the_scale_of_attention():
    rng = np.random.default_rng(4)
    boxes = np.array([[0, 0, 0.5, 1], [0.5, 0, 1, 1]], dtype=np.float64)
    weights = rng.random(2)
    assert attention_levels(weights, boxes, (4, 4)) == pytest.approx(attention_levels(7e-5 * weights, boxes, (4, 4)))


@pytest.mark.parametrize(
    ("mask", "path"),
    [
        pytest.param([[0, 0], [0, 0]], "", id="empty"),
        pytest.param([[1]], "M0 0h1M0 1h1M0 0v1M1 0v1", id="one_pixel"),
        pytest.param([[0, 1], [1, 0]], "M1 0h1M0 1h2M0 2h1M0 1v1M1 0v2M2 0v1", id="diagonal"),
    ],
)
def test_outline(mask, path):
    assert outline_path(np.array(mask, dtype=bool)) == path


def test_outline_length_is_the_perimeter():
    mask = np.random.default_rng(5).random((12, 17)) > 0.5
    padded = np.pad(mask, 1).astype(int)
    perimeter = np.abs(np.diff(padded, axis=0)).sum() + np.abs(np.diff(padded, axis=1)).sum()
    assert sum(int(n) for n in re.findall(r"[hv](\d+)", outline_path(mask))) == perimeter


def test_drawings_are_well_formed_and_escape_names():
    example = example_picture(key_object="<script>alert(1)</script>")
    label = f"the {example.key_object}"
    for made in (
        render_shared_parts(example, "p0"),
        render_picture(example, "p0", label=label),
        render_attention(example, "p0", (1, 2), label=label),
    ):
        ElementTree.fromstring(made)
        assert "<script>" not in made


def test_a_ring_marks_every_sink_that_has_a_place():
    # Six tokens of 24 x 16 pixels: five columns 4.8 wide, and padding without a place.
    shared = render_shared_parts(example_picture(sinks=[1, 4, 5]), "p0")
    rings = re.findall(r'<circle class="outline-over" cx="([^"]+)" cy="([^"]+)" r="([^"]+)"', shared)
    assert rings == [("7.2", "8", "2"), ("21.6", "8", "2")]
    assert "<circle" not in render_shared_parts(example_picture(sinks=[]), "p0")
    assert "<circle" not in render_shared_parts(example_picture(), "p0")


def test_shared_parts_define_what_the_drawings_use():
    example = example_picture()
    defined = set(re.findall(r'id="([^"]+)"', render_shared_parts(example, "p0")))
    drawn = render_picture(example, "p0", label="x") + render_attention(example, "p0", (0, 0), label="x")
    assert set(re.findall(r'href="#([^"]+)"', drawn)) == defined
