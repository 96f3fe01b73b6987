"""Mask files: read back by our reader and by Pillow, small, the same bytes every time."""

import io

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from headimpact.data.mask_png import encode_mask, write_mask_file
from headimpact.data.masks import RleMask, read_mask_file
from headimpact.data.segmentations import rle_from_segmentation


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


def random_segmentation(generator, height, width):
    """Invent a segmentation as in COCO's lists: polygons, some beyond the picture, or runs, some of length 0."""
    if generator.random() < 0.5:
        parts = generator.uniform(-0.2, 1.2, (int(generator.integers(1, 4)), int(generator.integers(3, 12)), 2))
        return (parts * (width, height)).reshape(len(parts), -1).tolist()
    cuts = np.sort(generator.integers(0, height * width + 1, int(generator.integers(0, 30))))
    return {"size": [height, width], "counts": np.diff(cuts, prepend=0, append=height * width).tolist()}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pycocotools under numpy 2
@pytest.mark.parametrize("seed", range(8))
def test_run_lengths_make_the_file_of_the_mask_that_pycocotools_decodes(seed):
    generator = np.random.default_rng(seed)
    for _ in range(50):
        height, width = map(int, generator.integers(1, 70, 2))
        segmentation = random_segmentation(generator, height, width)
        kept = rle_from_segmentation(segmentation, size_hw=(height, width))
        drawn = coco_mask.frPyObjects(segmentation, height, width)
        slow = coco_mask.decode(coco_mask.merge(drawn) if isinstance(drawn, list) else drawn).astype(bool)
        with Image.open(io.BytesIO(encode_mask(kept))) as image:
            assert np.array_equal(np.asarray(image), slow), segmentation
        assert np.array_equal(kept.decode(), slow)
        assert encode_mask(kept) == encode_mask(slow), "one file, whichever way"


@pytest.mark.parametrize("size_hw", [(1, 1), (5, 8), (5, 9), (480, 612)])
@pytest.mark.parametrize("value", [False, True])
def test_run_lengths_of_nothing_and_of_everything(size_hw, value):
    mask = np.full(size_hw, value)
    assert encode_mask(RleMask.from_mask(mask)) == encode_mask(mask)
