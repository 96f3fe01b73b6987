"""The examples folder: round trip, same bytes, refusals."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from headimpact.core.errors import DataFormatError, OutputInUseError
from headimpact.report.examples import THUMBNAIL_SIDE, make_thumbnail, read_examples, write_examples
from tests.unit.report.builders import example_picture


def files_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_round_trip(tmp_path, dtype):
    examples = [
        example_picture(image_id="../../etc", response="“naïve” <b>\n\U0001f600", dtype=dtype),
        example_picture(image_id="2", size_wh=(30, 21), seed=1, dtype=dtype, sinks=[2]),
    ]
    write_examples(tmp_path / "examples", examples)
    back = read_examples(tmp_path / "examples")
    assert len(back) == 2
    for one, other in zip(examples, back, strict=True):
        assert (one.image_id, one.response, one.key_object) == (other.image_id, other.response, other.key_object)
        assert np.array_equal(np.asarray(one.thumbnail), np.asarray(other.thumbnail))
        assert np.array_equal(one.mask, other.mask)
        assert other.mask.dtype == np.bool_
        assert np.array_equal(one.boxes.astype(np.float32), other.boxes)
        assert other.maps.dtype == dtype
        assert np.array_equal(one.maps, other.maps, equal_nan=True)
    assert back[0].sinks is None
    assert back[1].sinks is not None
    assert back[1].sinks.tolist() == [False, False, True, False, False, False]


def test_no_pictures_round_trip(tmp_path):
    write_examples(tmp_path / "examples", [])
    assert read_examples(tmp_path / "examples") == ()


def test_same_input_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_examples(tmp_path / name, [example_picture(), example_picture(seed=2)])
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")


def test_used_folder_is_refused_and_replaced_on_demand(tmp_path):
    folder = tmp_path / "examples"
    write_examples(folder, [example_picture(), example_picture(seed=2)])
    with pytest.raises(OutputInUseError, match="--overwrite"):
        write_examples(folder, [])
    write_examples(folder, [example_picture()], overwrite=True)
    assert len(read_examples(folder)) == 1
    assert not (folder / "001.png").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"mask": np.zeros((3, 3), dtype=bool)}, "expected bool", id="mask_size"),
        pytest.param({"mask": np.zeros((16, 24), dtype=np.uint8)}, "expected bool", id="mask_kind"),
        pytest.param({"thumbnail": Image.new("L", (24, 16))}, "expected RGB", id="grey"),
        pytest.param({"thumbnail": Image.new("RGB", (300, 16))}, "up to 224", id="large"),
        pytest.param({"boxes": np.zeros((5, 4), dtype=np.float32)}, "as many map entries", id="boxes"),
        pytest.param({"maps": np.zeros((3, 4, 6))}, "float16 or float32", id="float64"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change, message):
    # The shapes are checked by the class itself, so that a reader without shape checking hears of them too.
    with pytest.raises((DataFormatError, TypeError)) as caught:
        dataclasses.replace(example_picture(), **change)
    if isinstance(caught.value, DataFormatError):
        assert message in str(caught.value)


@pytest.mark.parametrize(
    ("breakage", "message"),
    [
        pytest.param(lambda f: (f / "examples.json").unlink(), "File not found", id="no_json"),
        pytest.param(lambda f: (f / "examples.safetensors").write_bytes(b"x"), "as safetensors", id="bad_tensors"),
        pytest.param(lambda f: (f / "000.png").unlink(), "Cannot read example picture", id="no_picture"),
        pytest.param(lambda f: (f / "000.png").write_bytes(b"x"), "Cannot read example picture", id="bad_picture"),
        pytest.param(lambda f: Image.new("RGB", (500, 2)).save(f / "000.png"), "too large", id="large_picture"),
        pytest.param(
            lambda f: (f / "examples.json").write_text(
                json.dumps({"schema": "examples/1", "examples": [{"name": "../x"}]})
            ),
            "expected digits",
            id="path_leaves_the_folder",
        ),
        pytest.param(
            lambda f: (f / "examples.json").write_text(json.dumps({"schema": "examples/1"})),
            "score again",
            id="no_list",
        ),
    ],
)
def test_broken_folder_is_named(tmp_path, breakage, message):
    folder = tmp_path / "examples"
    write_examples(folder, [example_picture()])
    breakage(folder)
    with pytest.raises(DataFormatError, match=message):
        read_examples(folder)


def test_thumbnail_shrinks_picture_and_mask_together():
    picture = Image.new("L", (896, 448), 7)
    mask = np.zeros((448, 896), dtype=bool)
    mask[:224, :448] = True
    small, small_mask = make_thumbnail(picture, mask)
    assert small.size == (THUMBNAIL_SIDE, 112)
    assert small.mode == "RGB"
    assert small_mask[:56, :112].all()
    assert small_mask.sum() == 56 * 112


def test_small_picture_keeps_its_size():
    small, mask = make_thumbnail(Image.new("RGBA", (80, 60)), np.ones((60, 80), dtype=bool))
    assert small.size == (80, 60)
    assert mask.all()


def test_thin_object_does_not_vanish():
    mask = np.zeros((2000, 2000), dtype=bool)
    mask[1000, 1000] = True
    _, small = make_thumbnail(Image.new("RGB", (2000, 2000)), mask)
    assert small.sum() >= 1


def test_mask_of_another_size_is_refused():
    with pytest.raises(DataFormatError, match="EXIF-turned"):
        make_thumbnail(Image.new("RGB", (8, 6)), np.zeros((8, 6), dtype=bool))
