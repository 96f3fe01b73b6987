"""A picture's records: counted pixels and boxes, cleaned captions, every fault at once."""

import json
from pathlib import Path

import pytest

from headimpact.data.build.coco_pictures import CocoSource, read_coco_picture
from headimpact.data.formats.coco_records import PictureRecord

SQUARE = [[1, 1, 3, 1, 3, 3, 1, 3]]


def source(tmp_path: Path) -> CocoSource:
    return CocoSource(
        images=tmp_path.resolve(),
        instances="i.json",
        captions="c.json",
        categories={"18": "dog"},
        licences={"4": ("By", "http://example.org/")},
    )


def read(tmp_path, *, objects=(), captions=(), **fields):
    """Read a picture of 4 x 6 pixels."""
    record = PictureRecord(**{"id": 7, "file_name": "a/7.png", "height": 4, "width": 6, **fields})
    raws = [json.dumps({"id": n, "category_id": 18, **one}).encode() for n, one in enumerate(objects, start=1)]
    texts = [json.dumps({"id": n, "caption": one}).encode() for n, one in enumerate(captions, start=1)]
    return read_coco_picture(record, raws, texts, stem="7", source=source(tmp_path))


def test_areas_and_boxes_are_those_of_the_pixels(tmp_path):
    wrong = {"area": 99, "bbox": [9, 9, 9, 9]}
    runs = {"size": [4, 6], "counts": [0, 4, 20]}
    found, faults = read(tmp_path, objects=[{"segmentation": SQUARE, **wrong}, {"segmentation": runs, "iscrowd": 1}])
    assert faults == []
    first, second = found.annotated.instances
    assert (first.area, first.box, first.is_crowd, first.category) == (4, (1, 1, 2, 2), False, "dog")
    assert (second.area, second.box, second.is_crowd) == (4, (0, 0, 1, 4), True)
    assert int(first.mask.decode().sum()) == 4


def test_captions_are_cleaned_and_kept(tmp_path):
    found, _ = read(tmp_path, captions=[" a dog ", "...", "A CAT RUNS"])
    assert found.annotated.captions == ("A dog.", "A cat runs.")
    assert found.originals == (" a dog ", "A CAT RUNS")


def test_licence_address_and_path(tmp_path):
    found, _ = read(tmp_path, license=4, coco_url="http://b", flickr_url="http://a")
    assert (found.licence, found.address) == ("By (http://example.org/)", "http://a")
    assert found.path == tmp_path.resolve() / "a" / "7.png"
    found, _ = read(tmp_path, license=9)
    assert (found.licence, found.address) == (None, None)


def test_objects_without_a_pixel_are_set_apart(tmp_path):
    found, faults = read(tmp_path, objects=[{"segmentation": [[1, 1, 2, 2]]}, {"segmentation": SQUARE}, {}])
    assert faults == []
    assert found.without_pixels == ("1", "3")
    assert [instance.instance_id for instance in found.annotated.instances] == ["2"]


def test_an_object_without_an_id_gets_one(tmp_path):
    found, _ = read(tmp_path, objects=[{"segmentation": SQUARE, "id": None}, {"segmentation": SQUARE, "id": None}])
    assert [instance.instance_id for instance in found.annotated.instances] == ["7.0", "7.1"]


def test_every_fault_is_found_at_once(tmp_path):
    found, faults = read(
        tmp_path,
        objects=[{"segmentation": [[1]]}, {"segmentation": SQUARE, "iscrowd": 2}],
        captions=[7],
        file_name="/x",
    )
    assert found is None
    assert [(fault.file, fault.where, fault.image_id) for fault in faults] == [
        ("i.json", "image 7", None),
        ("i.json", "annotation 1", "7"),
        ("i.json", "annotation 2", "7"),
        ("c.json", "annotation 1", "7"),
    ]


@pytest.mark.parametrize("height", [None, 0, -1, 4.0, "4", True])
def test_a_size_that_is_none(tmp_path, height):
    found, faults = read(tmp_path, height=height, objects=[{"segmentation": SQUARE}])
    assert found is None
    assert [fault.what.split(",")[0] for fault in faults] == [f"Size is height {height!r}"]
