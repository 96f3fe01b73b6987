"""Samples: what they refuse, and masks that turn with their picture."""

import numpy as np
import pytest
from PIL import Image

from headimpact.core.errors import DataFormatError
from headimpact.data.masks import RleMask
from headimpact.data.pictures import turn_mask, upright_size
from headimpact.data.sample import KeyObject, Sample
from tests.builders import mask, picture, sample

STORED = mask("#....", "##...", ".....")


def turned_sample(folder, orientation, drawn):
    """Make a sample whose picture of 3 x 5 stored pixels is turned by EXIF."""
    return Sample(
        image_id="1",
        image_path=picture(folder / "p.png", (3, 5), orientation=orientation),
        size_hw=upright_size((3, 5), orientation),
        key_objects=(KeyObject("dog", ("dog",), RleMask.from_mask(drawn)),),
        captions=("A dog.",),
        orientation=orientation,
    )


def test_sample_loads_on_demand(tmp_path):
    made = sample(tmp_path, "..#.", ".##.")
    assert made.load_mask().tolist() == mask("..#.", ".##.").tolist()
    assert made.load_image().size == (4, 2)
    assert made.names[:2] == ("dog", "puppy")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_mask_of_the_stored_size_turns_with_the_picture(tmp_path, orientation):
    made = turned_sample(tmp_path, orientation, STORED)
    assert made.stored_hw == (3, 5)
    assert made.load_mask().shape == made.size_hw
    assert made.load_mask().tolist() == turn_mask(STORED, orientation).tolist()
    assert (made.load_image().height, made.load_image().width) == made.size_hw


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_mask_of_the_upright_size_stays(tmp_path, orientation):
    made = turned_sample(tmp_path, orientation, STORED.T)
    assert made.load_mask().tolist() == STORED.T.tolist()


@pytest.mark.parametrize("orientation", range(2, 9))
def test_mask_counts_as_stored_where_both_sizes_agree(tmp_path, orientation):
    square = mask("#..", "...", "...")
    made = Sample(
        image_id="1",
        image_path=picture(tmp_path / "p.png", (3, 3), orientation=orientation),
        size_hw=(3, 3),
        key_objects=(KeyObject("dog", ("dog",), RleMask.from_mask(square)),),
        captions=("A dog.",),
        orientation=orientation,
    )
    assert made.load_mask().tolist() == turn_mask(square, orientation).tolist()


def test_mask_lies_on_the_object_of_a_turned_picture(tmp_path):
    stored = np.zeros((3, 5, 3), np.uint8)
    stored[STORED] = 255
    image = Image.fromarray(stored)
    exif = image.getexif()
    exif[0x0112] = 6
    made = turned_sample(tmp_path, 6, STORED)
    image.save(made.image_path, exif=exif)
    assert ((np.asarray(made.load_image())[..., 0] > 0) == made.load_mask()).all()


def test_masks_of_several_key_objects_unite(tmp_path):
    masks = [mask("#..", "..."), mask("...", "..#")]
    made = Sample(
        image_id="1",
        image_path=picture(tmp_path / "p.png", (2, 3)),
        size_hw=(2, 3),
        key_objects=tuple(
            KeyObject(n, (n, "pet"), RleMask.from_mask(m)) for n, m in zip(("dog", "cat"), masks, strict=True)
        ),
        captions=("Pets.",),
    )
    assert made.load_mask().tolist() == mask("#..", "..#").tolist()
    assert made.names == ("dog", "pet", "cat")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"captions": ()}, r"1 key objects, 0 captions; expected at least one", id="no-caption"),
        pytest.param({"key_objects": ()}, r"0 key objects, 1 captions; expected at least one", id="no-object"),
        pytest.param({"size_hw": (9, 9)}, r"Mask of another size in sample '1'", id="other-size"),
    ],
)
def test_empty_samples_are_refused(tmp_path, change, message):
    made = sample(tmp_path)
    fields = {name: getattr(made, name) for name in ("image_id", "image_path", "size_hw", "key_objects", "captions")}
    with pytest.raises(DataFormatError, match=message):
        Sample(**(fields | change))


@pytest.mark.parametrize(("category", "names"), [("", ("",)), ("dog", ()), ("dog", ("cat",))])
def test_key_object_needs_its_category_as_name(category, names):
    with pytest.raises(DataFormatError, match="expected the category as the first name"):
        KeyObject(category, names, RleMask.from_mask(mask("#")))


def test_changed_picture_is_refused(tmp_path):
    made = sample(tmp_path)
    picture(made.image_path, (9, 9))
    with pytest.raises(DataFormatError, match=r"was \(4, 6\), is \(9, 9\).*Run again"):
        made.load_image()
