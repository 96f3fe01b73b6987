"""Masks and what is measured on them: worked by hand, against plain loops, and by properties."""

import numpy as np
import pytest
from PIL import Image

from headimpact.core.errors import DataFormatError
from headimpact.data.masks import (
    PngMask,
    RleMask,
    mask_area,
    mask_box,
    read_mask_file,
    refuse_other_frame,
    resize_to_plane,
    unite_masks,
)
from tests.builders import mask


def slow_resize(drawn, size):
    """Add up, for every cell, the part of every pixel that lies in it."""
    height, width = drawn.shape
    plane = np.zeros((size, size))
    for row in range(size):
        for column in range(size):
            for y in range(height):
                for x in range(width):
                    tall = min((row + 1) * height / size, y + 1) - max(row * height / size, y)
                    wide = min((column + 1) * width / size, x + 1) - max(column * width / size, x)
                    plane[row, column] += drawn[y, x] * max(tall, 0) * max(wide, 0)
    return plane / (height / size * width / size)


def palette_picture(drawn):
    """Make a palette picture whose object has index 1, shown black."""
    image = Image.new("P", drawn.shape[::-1])
    image.putdata([int(value) for value in drawn.ravel()])
    image.putpalette([255, 255, 255, 0, 0, 0])
    return image


@pytest.mark.parametrize(
    ("rows", "size", "expected"),
    [
        pytest.param(("##..", "##..", "....", "...."), 2, [[1, 0], [0, 0]], id="whole-cells"),
        pytest.param(("#...", "....", "....", "...."), 2, [[0.25, 0], [0, 0]], id="quarter-cell"),
        pytest.param(("#..",), 2, [[2 / 3, 0], [2 / 3, 0]], id="cut-pixel"),
        pytest.param(("#",), 3, np.ones((3, 3)), id="one-pixel-blown-up"),
        pytest.param(("....", "...."), 2, np.zeros((2, 2)), id="empty"),
        pytest.param(("#.", ".."), 1, [[0.25]], id="one-cell-is-the-share"),
    ],
)
def test_resize_to_plane_worked_by_hand(rows, size, expected):
    np.testing.assert_allclose(resize_to_plane(mask(*rows), size), expected, atol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_resize_to_plane_agrees_with_plain_loops(seed):
    generator = np.random.default_rng(seed)
    drawn = generator.random(tuple(generator.integers(1, 12, 2))) < 0.4
    size = int(generator.integers(1, 9))
    plane = resize_to_plane(drawn, size)
    np.testing.assert_allclose(plane, slow_resize(drawn, size), atol=1e-12)
    assert plane.mean() == pytest.approx(drawn.mean())
    assert plane.min() >= 0
    assert plane.max() <= 1


def test_resize_adds_up_over_disjoint_masks():
    drawn = np.random.default_rng(0).random((7, 11)) < 0.5
    np.testing.assert_allclose(resize_to_plane(drawn) + resize_to_plane(~drawn), 1.0)


@pytest.mark.parametrize(
    ("rows", "area", "box"),
    [
        pytest.param((".....", "..##.", "...#."), 3, (2, 1, 4, 3), id="blob"),
        pytest.param(("#...", "...#"), 2, (0, 0, 4, 2), id="corners"),
        pytest.param(("...",), 0, None, id="empty"),
    ],
)
def test_area_and_box(rows, area, box):
    assert mask_area(mask(*rows)) == area
    assert mask_box(mask(*rows)) == box


def test_union():
    assert unite_masks([mask("#.."), mask("..#")]).tolist() == mask("#.#").tolist()


@pytest.mark.parametrize("masks", [pytest.param([], id="none"), pytest.param([mask("#"), mask("##")], id="two-sizes")])
def test_union_refuses(masks):
    with pytest.raises(DataFormatError, match="all of one size"):
        unite_masks(masks)


@pytest.mark.parametrize("seed", range(4))
def test_rle_mask_round_trip(seed):
    generator = np.random.default_rng(seed)
    drawn = generator.random(tuple(generator.integers(1, 40, 2))) < generator.random()
    kept = RleMask.from_mask(drawn)
    assert kept.size_hw == drawn.shape
    assert kept.area == drawn.sum()
    decoded = kept.decode()
    assert decoded.dtype == bool
    assert (decoded == drawn).all()
    assert hash(kept) == hash(RleMask.from_mask(drawn))


@pytest.mark.parametrize("seed", range(4))
def test_unions_of_run_lengths(seed):
    drawn = np.random.default_rng(seed).random((3, 9, 14)) < 0.3
    masks = [RleMask.from_mask(one) for one in drawn]
    for chosen in ([0], [0, 1], [1, 0], [0, 1, 2], [0, 1]):  # those asked for before too
        united = RleMask.union([masks[place] for place in chosen])
        assert np.array_equal(united.decode(), drawn[chosen].any(axis=0))
        assert united.area == drawn[chosen].any(axis=0).sum()


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda m: Image.fromarray(m.astype(np.uint8) * 255), id="grey-255"),
        pytest.param(lambda m: Image.fromarray(m.astype(np.uint8)), id="grey-1"),
        pytest.param(Image.fromarray, id="1-bit"),
        pytest.param(lambda m: Image.fromarray(m.astype(np.uint16) * 256), id="16-bit"),
        pytest.param(palette_picture, id="palette"),
    ],
)
def test_mask_file_kinds(tmp_path, make):
    drawn = mask("..#.", ".##.")
    make(drawn).save(tmp_path / "m.png")
    assert read_mask_file(tmp_path / "m.png").tolist() == drawn.tolist()


def test_mask_file_of_several_channels_is_refused(tmp_path):
    Image.new("RGBA", (3, 2)).save(tmp_path / "m.png")
    with pytest.raises(DataFormatError, match=r"mode RGBA, expected one channel.*8-bit grey PNG"):
        read_mask_file(tmp_path / "m.png")


def test_changed_mask_file_is_refused(tmp_path):
    Image.new("L", (3, 2)).save(tmp_path / "m.png")
    with pytest.raises(DataFormatError, match=r"was 4 x 4, is 2 x 3\. Run again"):
        PngMask(tmp_path / "m.png", (4, 4)).decode()


def test_other_frame_is_refused():
    refuse_other_frame((2, 3), ((3, 2), (2, 3)))
    refuse_other_frame((9, 9), ())
    with pytest.raises(DataFormatError, match=r"9 x 9 \(height x width\), the picture is 3 x 2 or 2 x 3\."):
        refuse_other_frame((9, 9), ((3, 2), (2, 3)))


@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000"])
def test_a_mask_in_a_format_that_changes_pixels_is_refused(tmp_path, kind):
    drawn = np.zeros((40, 60), dtype=np.uint8)
    drawn[5:30, 7:33] = 255
    Image.fromarray(drawn).save(tmp_path / "m", format=kind)
    with pytest.raises(DataFormatError, match=rf"Mask in a lossy format: .* is {kind}, .*expected PNG\. Save the mask"):
        read_mask_file(tmp_path / "m")
