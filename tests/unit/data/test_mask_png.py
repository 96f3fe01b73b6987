"""Mask files: read back by our reader and by Pillow, small, the same bytes every time."""

import numpy as np
import pytest
from PIL import Image

from headimpact.data.mask_png import encode_mask, write_mask_file
from headimpact.data.masks import read_mask_file


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 9), (9, 1), (3, 5), (480, 640)])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_mask_is_read_back(tmp_path, size_hw, share):
    mask = np.random.default_rng(0).random(size_hw) < share
    write_mask_file(mask, tmp_path / "mask.png")
    assert read_mask_file(tmp_path / "mask.png").tolist() == mask.tolist()
    with Image.open(tmp_path / "mask.png") as image:
        assert (image.mode, image.size) == ("1", size_hw[::-1])
        assert np.array_equal(np.asarray(image), mask)
        assert set(image.convert("L").tobytes()) <= {0, 255}  # white on the object


def test_columns_first_makes_no_difference():
    mask = np.random.default_rng(1).random((7, 4)) < 0.5
    assert encode_mask(np.asfortranarray(mask)) == encode_mask(mask) == encode_mask(mask)


def test_a_mask_of_one_object_takes_no_more_than_a_kilobyte():
    mask = np.zeros((480, 640), dtype=np.bool_)
    mask[100:300, 200:400] = True
    assert len(encode_mask(mask)) < 1024
