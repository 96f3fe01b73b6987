"""One's own pictures: every format gives the same masks, every fault is found with file and line."""

import json
import shutil
from pathlib import Path

import pytest

from headimpact.core.errors import DataFormatError, UnknownNameError
from headimpact.data.annotations import detect_annotation_format, read_pictures
from headimpact.data.formats import check_content
from tests.builders import mask, picture
from tests.unit.data.annotations.makers import (
    DRAWN,
    SQUARE,
    boxes,
    captions,
    coco,
    cvat,
    faults_of,
    labelme,
    pictures,
    png,
)

RECTANGLE = {"label": "dog", "shape_type": "rectangle", "points": [[3, 3], [1, 1]]}
SOUND = {
    "png, named by its folder": lambda root: png(root / "masks" / "dog" / "1.png").parent.parent,
    "png, named by --category": lambda root: png(root / "masks" / "1.png").parent,
    "coco, polygons": coco,
    "coco, run lengths": lambda root: coco(
        root,
        annotations=[{"image_id": 7, "category_id": 18, "segmentation": {"size": [4, 6], "counts": [5, 2, 2, 2, 13]}}],
    ),
    "labelme, folder": labelme,
    "labelme, rectangle": lambda root: labelme(root, RECTANGLE),
    "labelme, size unknown": lambda root: labelme(root, imageHeight=None, imageWidth=None),
    "cvat, polygon": cvat,
    "cvat, box": lambda root: cvat(root, '<box label="dog" xtl="1" ytl="1" xbr="3" ybr="3" rotation="0.0"/>'),
    "boxes, csv": boxes,
    "boxes, semicolons": lambda root: _written(
        root / "boxes.csv", "file_name;category;x0;y0;x1;y1\n1.png;dog;1;1;3;3\n"
    ),
    "boxes, jsonl": lambda root: _written(
        root / "boxes.jsonl", '{"file_name": "1.png", "category": "dog", "box": [1, 1, 3, 3]}\n'
    ),
}


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("make", SOUND.values(), ids=SOUND)
def test_all_formats_say_the_same(tmp_path, make):
    images, said = pictures(tmp_path), captions(tmp_path)
    content = read_pictures(images, captions=said, masks=make(tmp_path), category="dog")
    dataset = check_content(images, content)
    assert dataset.image_ids == ("1.png",)
    assert dataset.skipped == {"no_annotation": 1}
    (made,) = dataset
    assert made.load_mask().tolist() == DRAWN.tolist()
    assert made.captions == ("Dog 1.",)
    (key_object,) = made.key_objects
    assert key_object.names[:2] == ("dog", "puppy")
    assert key_object.origin is None


def test_pictures_in_folders_and_every_field_of_a_caption(tmp_path):
    images = pictures(tmp_path, "a/1.png", "b/1.png", ".hidden.png", "notes.txt.png")
    (images / "notes.txt").write_text("no picture")
    line = {
        "file_name": "a\\1.png", "caption": " A\x1b[31m <b>dog</b>. ", "image_id": 5, "split": "test",
        "prompt": "Say:\n", "licence": "CC0", "category": "dog",
    }  # fmt: skip
    png(tmp_path / "masks" / "a" / "1.png")
    png(tmp_path / "masks" / "cat" / "b" / "1.png")
    said = captions(tmp_path, line, {"file_name": "b/1.png", "text": ["", "A cat."]})
    content = read_pictures(images, captions=said, masks=tmp_path / "masks")
    dataset = check_content(images, content)
    assert dataset.image_ids == ("5", "b/1.png")
    assert dataset.skipped_ids == {"no_caption": ("notes.txt.png",)}
    first, second = dataset
    assert first.captions == ("A [31m <b>dog</b>.",)  # markup is text, and is escaped where it is shown
    assert (first.split, first.prompt, first.licence) == ("test", "Say:\n", "CC0")
    assert [one.key_objects[0].category for one in (first, second)] == ["dog", "cat"]


def test_csv_has_one_caption_a_line(tmp_path):
    images = pictures(tmp_path)
    text = '\ufefffile_name,caption,split\r\n1.png,"A dog, asleep.",train\r\n\r\n1.png,"It\nsleeps.",\r\n2.png,,\r\n'
    path = tmp_path / "captions.csv"
    path.write_bytes(text.encode())
    first, second = read_pictures(images, captions=path).entries
    assert first.captions == ("A dog, asleep.", "It sleeps.")
    assert (first.split, second.captions) == ("train", ())


def test_columns_are_named_in_any_case(tmp_path):
    images = pictures(tmp_path)
    path = _written(tmp_path / "captions.csv", "File_Name,CAPTION\n1.png,A dog.\n")
    assert [entry.captions for entry in read_pictures(images, captions=path).entries] == [("A dog.",), ()]


def test_a_name_may_lack_its_ending_where_one_picture_is_meant(tmp_path):
    images = pictures(tmp_path, "1.png", "2.jpg", "2.png", "b/3.v2.png")
    said = captions(tmp_path, {"file_name": "1", "text": "A."}, {"file_name": "3.v2", "text": "B."})
    captioned = {entry.image_id: entry.captions for entry in read_pictures(images, captions=said).entries}
    assert captioned == {"1.png": ("A.",), "2.jpg": (), "2.png": (), "b/3.v2.png": ("B.",)}
    several, other_ending = faults_of(tmp_path, captions=captions(tmp_path, {"file_name": "2"}, {"file_name": "1.jpg"}))
    assert "line 1: Several pictures are meant by '2': 2.jpg, 2.png" in several
    assert "line 2: No such picture: '1.jpg'" in other_ending


def test_splits_that_differ_in_case_only_are_a_fault_named_once(tmp_path):
    pictures(tmp_path, "1.png", "2.png", "3.png", "4.png")
    splits = ("train", "Train", "Train", "test")
    said = captions(tmp_path, *({"file_name": f"{n}.png", "split": one} for n, one in enumerate(splits, start=1)))
    assert faults_of(tmp_path, captions=said) == [
        "images/2.png: Split 'Train' differs from 'train' in case only; expected one name for one split. "
        "Write it alike."
    ]


def test_parts_of_one_group_are_one_object(tmp_path):
    images = pictures(tmp_path)
    part = {"label": "dog", "shape_type": "rectangle", "group_id": 4}
    other = {"label": "dog", "shape_type": "rectangle", "points": [[0, 0], [1, 1]]}
    folder = labelme(tmp_path, {**part, "points": [[0, 0], [1, 4]]}, {**part, "points": [[4, 0], [6, 4]]}, other)
    content = read_pictures(images, captions=captions(tmp_path), masks=folder)
    (made,) = check_content(images, content)
    assert made.load_mask().tolist() == mask("#...##", "#...##", "#...##", "#...##").tolist()


@pytest.mark.parametrize("name", ["../images/1.png", "..\\images\\1.png", "images/1.png", "1.png"])
def test_labelme_names_a_picture_from_where_its_file_lies(tmp_path, name):
    content = read_pictures(pictures(tmp_path), masks=labelme(tmp_path, imagePath=name))
    assert [len(entry.objects) for entry in content.entries if entry.image_id == "1.png"] == [1]


def test_labelme_files_may_lie_beside_the_pictures(tmp_path):
    images = pictures(tmp_path)
    with pytest.raises(DataFormatError, match=r"Cannot tell the format of .*: it holds \.png; expected mask PNGs"):
        read_pictures(images, masks=images)
    shutil.copy(labelme(tmp_path) / "1.json", images)
    content = read_pictures(images, masks=images)
    assert [len(entry.objects) for entry in content.entries if entry.image_id == "1.png"] == [1]


def test_several_masks_of_a_picture_are_all_key_objects(tmp_path):
    images = pictures(tmp_path)
    png(tmp_path / "masks" / "dog" / "1.png")
    png(tmp_path / "masks" / "cat" / "1.png", mask("....##", "......", "......", "......"))
    content = read_pictures(images, captions=captions(tmp_path), masks=tmp_path / "masks")
    (made,) = check_content(images, content)
    assert [one.category for one in made.key_objects] == ["cat", "dog"]


CAPTION_FAULTS = {
    "absolute": ({"file_name": "/etc/1.png"}, "line 1: Path leaves the data folder: '/etc/1.png' is absolute"),
    "upwards": ({"file_name": "../1.png"}, "line 1: Path leaves the data folder: '../1.png' goes up by '..'"),
    "unknown": ({"file_name": "11.png"}, "line 1: No such picture: '11.png' is not in images/. Did you mean '1.png'?"),
    "no name": ({"caption": "A dog."}, "line 1: File name is None"),
    "control character": ({"file_name": "1\n.png"}, "line 1: File name is '1\\n.png', expected a clean text"),
    "no text": ({"file_name": "1.png", "captions": [1]}, "line 1: Field 'captions' is [1], expected a list of texts"),
    "no id": ({"file_name": "1.png", "image_id": 1.5}, "line 1: Field 'image_id' is 1.5"),
    "truncated": ('{"file_name": "1.p', "line 1: Unreadable JSON"),
    "no object": ("[1]", "line 1: Found a JSON list, expected an object with file_name, captions"),
}


@pytest.mark.parametrize(("line", "fault"), CAPTION_FAULTS.values(), ids=CAPTION_FAULTS)
def test_faults_of_captions(tmp_path, line, fault):
    pictures(tmp_path)
    (found,) = faults_of(tmp_path, captions=captions(tmp_path, line))
    assert found.startswith(f"captions.jsonl: {fault}")


CSV_FAULTS = {
    "no column": (
        b"name,caption\n1.png,A dog.\n",
        "line 1: Columns are 'name, caption', without file_name; expected file_name, and any of captions",
    ),
    "empty": (b"", "Holds no entry; expected a header, then one a line, with file_name, and any of captions"),
    "header only": (b"file_name,caption\n", "Holds no entry; expected a header, then one a line, with file_name"),
    "too many values": (b"file_name,caption\n1.png,A dog, asleep.\n", "line 2: Has 3 values, the header names 2"),
    "latin-1": (b"file_name,caption\n1.png,A dog.\n2.png,Caf\xe9.\n", "line 3: Unreadable text"),
    "open quote": (b'file_name,caption\n1.png,"A dog.\n', "line 2: Broken CSV"),
    "twice": (b"file_name,caption\n1.png,A dog.\n1.png,A dog.\n", "line 3: Duplicate entry: '1.png' has this caption"),
    "other split": (
        b"file_name,caption,split\n1.png,A dog.,test\n1.png,A cat.,train\n",
        "line 3: Field 'split' of '1.png' is 'train' and was 'test' in line 2",
    ),
}


@pytest.mark.parametrize(("content", "fault"), CSV_FAULTS.values(), ids=CSV_FAULTS)
def test_faults_of_csv(tmp_path, content, fault):
    pictures(tmp_path)
    path = tmp_path / "captions.csv"
    path.write_bytes(content)
    (found,) = faults_of(tmp_path, captions=path)
    assert found.startswith(f"captions.csv: {fault}")


def test_a_picture_is_described_in_one_line_and_ids_are_its_own(tmp_path):
    pictures(tmp_path)
    line = {"file_name": "1.png", "caption": "A dog."}
    assert faults_of(tmp_path, captions=captions(tmp_path, line, line)) == [
        "captions.jsonl: line 2: Duplicate entry: '1.png' is also in line 1. Leave one out."
    ]
    assert faults_of(tmp_path, captions=captions(tmp_path, {**line, "image_id": "2.png"})) == [
        "images/2.png: Duplicate entry: image_id '2.png' is also in images/1.png. Leave one out."
    ]


FAR = [[0, 0], [100, 0], [100, 100]]
OUTSIDE = [[7, 0], [9, 0], [9, 3]]
SHAPE_FAULTS = {
    "far outside": ({"points": FAR}, "point (100.0, 0.0) is far outside the picture of 4 x 6"),
    "outside": ({"points": OUTSIDE}, "Object without a pixel: [7.0, 0.0"),
    "two points": ({"points": [[1, 1], [3, 3]]}, "Degenerate polygon: [1.0, 1.0, 3.0, 3.0] has 2 points"),
    "a line": ({"points": [[1, 1], [3, 1], [2, 1]]}, "Object without a pixel"),
    "no area": ({"shape_type": "rectangle", "points": [[1, 1], [1, 3]]}, "Degenerate box: (1.0, 1.0, 1.0, 3.0)"),
    "not a number": ({"points": [[1, "1"], [3, 1], [3, 3]]}, "Broken polygon: points are"),
    "infinite": ({"points": [[1, float("inf")], [3, 1], [3, 3]]}, "is far outside the picture"),
    "circle": ({"shape_type": "circle"}, "Shape of kind 'circle': expected polygon or rectangle"),
    "no word": ({"label": " "}, "Object without a category: found ' '"),
}


@pytest.mark.parametrize(("changes", "fault"), SHAPE_FAULTS.values(), ids=SHAPE_FAULTS)
def test_faults_of_a_shape(tmp_path, changes, fault):
    pictures(tmp_path)
    folder = labelme(tmp_path, {"label": "dog", "shape_type": "polygon", "points": SQUARE, **changes})
    (found,) = faults_of(tmp_path, masks=folder)
    assert found.startswith("labels/1.json: shapes[0]: ")
    assert fault in found


def coco_annotation(**changes):
    return [{"id": 1, "image_id": 7, "category_id": 18, "segmentation": [[1, 1, 3, 1, 3, 3]], **changes}]


def coco_image(**changes):
    return [{"id": 7, "file_name": "1.png", "height": 4, "width": 6, **changes}]


MASK_FAULTS = {
    "mask of another size": (
        lambda root: png(root / "masks" / "dog" / "1.png", mask("##", "##")).parent.parent,
        "masks/dog/1.png: Mask of another size: 2 x 2 (height x width), the picture is 4 x 6",
    ),
    "empty mask": (
        lambda root: png(root / "masks" / "dog" / "1.png", DRAWN & False).parent.parent,
        "masks/dog/1.png: Empty mask: every pixel of 1.png is 0",
    ),
    "mask of no picture": (lambda root: png(root / "masks" / "3.png").parent, "masks/3.png: Mask of no picture"),
    "mask without a word": (
        lambda root: png(root / "masks" / "1.png").parent,
        "masks/1.png: Mask without a word for its object",
    ),
    "mask of colours": (
        lambda root: picture(root / "masks" / "dog" / "1.png").parent.parent,
        "masks/dog/1.png: Mask has several channels",
    ),
    "COCO file truncated": (
        lambda root: _written(root / "objects.json", '{"images": ['),
        "objects.json: Unreadable JSON: line 1",
    ),
    "COCO file in Latin-1": (lambda root: _latin(root / "objects.json"), "objects.json: Unreadable file"),
    "COCO picture unknown": (
        lambda root: coco(root, images=coco_image(file_name="9.png"), annotations=[]),
        "objects.json: image 7: No such picture: '9.png'",
    ),
    "COCO picture outside": (
        lambda root: coco(root, images=coco_image(file_name="../1.png"), annotations=[]),
        "objects.json: image 7: Path leaves the data folder",
    ),
    "COCO picture of another size": (
        lambda root: coco(root, images=coco_image(height=5)),
        "objects.json: annotation 1: Mask of another size: 5 x 6",
    ),
    "COCO picture without a size": (
        lambda root: coco(root, images=coco_image(height=None), annotations=[]),
        "objects.json: image 7: Size is None x 6",
    ),
    "COCO picture twice": (
        lambda root: coco(root, images=coco_image() + coco_image(id=8)),
        "objects.json: image 8: Duplicate entry: '1.png' is also in images[0]",
    ),
    "COCO id twice": (
        lambda root: coco(root, annotations=coco_annotation() + coco_annotation()),
        "objects.json: annotation 1: Duplicate entry: id 1 is also in annotations[0]",
    ),
    "COCO category nowhere": (
        lambda root: coco(root, annotations=coco_annotation(category_id=9)),
        "objects.json: annotation 1: Points nowhere: category_id 9",
    ),
    "COCO picture without an id": (
        lambda root: coco(root, images=coco_image(id=None), annotations=[]),
        "objects.json: images[0]: Field 'id' is None",
    ),
    "COCO category twice": (
        lambda root: coco(root, categories=[{"id": 18, "name": "dog"}, {"id": 18, "name": "cat"}]),
        "objects.json: categories[1]: Field 'id' is 18; expected an id of its own",
    ),
    "COCO category without a word": (
        lambda root: coco(root, categories=[{"id": 18}]),
        "objects.json: annotation 1: Object without a category: found None",
    ),
    "COCO run lengths of another size": (
        lambda root: coco(root, annotations=coco_annotation(segmentation={"size": [4, 5], "counts": [20]})),
        "objects.json: annotation 1: Mask of another size: 4 x 5",
    ),
    "COCO polygon of two points": (
        lambda root: coco(root, annotations=coco_annotation(segmentation=[[1, 1, 2, 2]])),
        "objects.json: annotation 1: Degenerate polygon",
    ),
    "LabelMe picture outside": (
        lambda root: labelme(root, imagePath="..\\1.png"),
        "labels/1.json: Path leaves the data folder",
    ),
    "LabelMe picture in another folder": (
        lambda root: labelme(root, imagePath="../secret/1.png"),
        "labels/1.json: Path leaves the data folder: '../secret/1.png' goes up by '..'",
    ),
    "LabelMe absolute path": (
        lambda root: labelme(root, imagePath=str(root / "images" / "1.png")),
        "labels/1.json: Path leaves the data folder: '/",
    ),
    "LabelMe picture twice": (
        lambda root: (labelme(root), labelme(root, name="2.json"))[0],
        "labels/2.json: Duplicate entry: '1.png' is also in labels/1.json",
    ),
    "LabelMe size": (
        lambda root: labelme(root, imageHeight="4"),
        "labels/1.json: Size is '4' x 6, expected whole numbers above 0",
    ),
    "LabelMe size of another picture": (
        lambda root: labelme(root, imageHeight=6, imageWidth=4),
        "labels/1.json: shapes[0]: Mask of another size: 6 x 4",
    ),
    "LabelMe label": (
        lambda root: labelme(root, {"label": 7, "shape_type": "polygon", "points": SQUARE}),
        "labels/1.json: shapes[0]: Field 'label' is 7, expected the word",
    ),
    "LabelMe shapes missing": (
        lambda root: labelme(root, shapes=None),
        "labels/1.json: List 'shapes' is a NoneType",
    ),
    "CVAT file broken": (
        lambda root: _written(root / "objects.xml", "<annotations>\n<image"),
        "objects.xml: line 2: Unreadable XML: unclosed token",
    ),
    "CVAT file is another XML": (lambda root: _written(root / "objects.xml", "<svg/>"), "objects.xml: No CVAT file"),
    "CVAT entities": (
        lambda root: cvat(root, head='<!DOCTYPE a [<!ENTITY b "c">]>'),
        "objects.xml: line 2: XML with entities of its own",
    ),
    "CVAT picture unknown": (
        lambda root: cvat(root, image='name="9.png"'),
        "objects.xml: line 4: No such picture: '9.png'",
    ),
    "CVAT size": (
        lambda root: cvat(root, image='name="1.png" width="6" height="x"'),
        "objects.xml: line 4: Size is 'x' x '6'",
    ),
    "CVAT points": (
        lambda root: cvat(root, '<polygon label="dog" points="1,1;3"/>'),
        "objects.xml: line 5: Broken polygon: points are '1,1;3'",
    ),
    "CVAT outside": (
        lambda root: cvat(root, "", '<polygon label="dog" points="7,0;9,0;9,3"/>'),
        "objects.xml: line 6: Object without a pixel",
    ),
    "CVAT turned box": (
        lambda root: cvat(root, '<box label="dog" xtl="1" ytl="1" xbr="3" ybr="3" rotation="30"/>'),
        "objects.xml: line 5: Turned box",
    ),
    "CVAT line": (
        lambda root: cvat(root, '<polyline label="dog" points="1,1;3,1"/>'),
        "objects.xml: line 5: Shape of kind 'polyline'",
    ),
    "CVAT box of words": (
        lambda root: cvat(root, '<box label="dog" xtl="a" ytl="1" xbr="3" ybr="3"/>'),
        "objects.xml: line 5: Broken box: corners are ['a', '1', '3', '3']",
    ),
    "box in an unknown picture": (
        lambda root: boxes(root, "9.png,dog,1,1,3,3"),
        "boxes.csv: line 2: No such picture: '9.png'",
    ),
    "box of nothing": (lambda root: boxes(root, "1.png,dog,3,1,1,3"), "boxes.csv: line 2: Degenerate box"),
    "box of words": (lambda root: boxes(root, "1.png,dog,a,1,1,3"), "boxes.csv: line 2: Broken box"),
    "box of infinity": (lambda root: boxes(root, "1.png,dog,0,0,inf,3"), "boxes.csv: line 2: Broken box"),
    "box of four letters": (
        lambda root: _written(root / "b.jsonl", '{"file_name": "1.png", "category": "dog", "box": 7}\n'),
        "b.jsonl: line 1: Broken box: 7",
    ),
    "box outside": (lambda root: boxes(root, "1.png,dog,7,1,8,3"), "boxes.csv: line 2: Object without a pixel"),
    "box twice": (
        lambda root: boxes(root, "1.png,dog,1,1,3,3", "1.png,dog,1,1,3,3.0"),
        "boxes.csv: line 3: Duplicate entry: the same box is also in line 2",
    ),
    "boxes without corners": (
        lambda root: _written(root / "boxes.csv", "file_name,category,x,y\n1.png,dog,1,1\n2.png,dog,1,1\n"),
        "boxes.csv: line 1: Columns are 'file_name, category, x, y', without x0, y0, x1, y1; expected file_name, "
        "category, x0, y0, x1, y1.",
    ),
    "no box": (
        lambda root: _written(root / "boxes.jsonl", ""),
        "boxes.jsonl: Holds no entry; expected one a line, with",
    ),
    "box far outside": (
        lambda root: boxes(root, "1.png,dog,0,0,99,3"),
        "boxes.csv: line 2: Misplaced outline: point (99.0, 0.0) is far outside the picture",
    ),
    "box without a word": (
        lambda root: boxes(root, "1.png,,1,1,3,3"),
        "boxes.csv: line 2: Object without a category: found None",
    ),
}


def _latin(path: Path) -> Path:
    path.write_bytes(b'{"images": [{"file_name": "caf\xe9"}]}')
    return path


@pytest.mark.parametrize(("make", "fault"), MASK_FAULTS.values(), ids=MASK_FAULTS)
def test_faults_of_masks(tmp_path, make, fault):
    pictures(tmp_path)
    (found,) = faults_of(tmp_path, masks=make(tmp_path))
    assert found.startswith(fault)


def test_all_faults_at_once(tmp_path):
    pictures(tmp_path)
    (tmp_path / "images" / "2.png").write_bytes(b"no picture")
    said = captions(tmp_path, {"file_name": "7.png"}, "{")
    found = faults_of(tmp_path, captions=said, masks=boxes(tmp_path, "1.png,dog,7,1,8,3", "1.png,dog,3,3,1,1"))
    assert [fault.rpartition(": ")[0].split(": ")[0] for fault in found] == [
        "captions.jsonl",
        "captions.jsonl",
        "boxes.csv",
        "boxes.csv",
        "images/2.png",
    ]


BAD_OBJECTS = {
    "boxes": lambda root: boxes(root, "1.png,dog,1,1,3,3", "1.png,dog,3,3,1,1"),
    "labelme": lambda root: labelme(root, RECTANGLE, {"label": "dog", "shape_type": "line", "points": SQUARE}),
    "cvat": lambda root: cvat(root, '<box label="dog" xtl="1" ytl="1" xbr="3" ybr="3"/>', '<polygon label="dog"/>'),
    "coco": lambda root: coco(root, annotations=coco_annotation() + coco_annotation(id=2, segmentation=[])),
}


@pytest.mark.parametrize("make", BAD_OBJECTS.values(), ids=BAD_OBJECTS)
def test_a_bad_object_is_a_fault_of_its_picture_alone(tmp_path, make):
    images = pictures(tmp_path)
    said = captions(tmp_path, {"file_name": "1.png", "text": "A dog.", "image_id": 7})
    content = read_pictures(images, captions=said, masks=make(tmp_path))
    assert [fault.image_id for fault in content.faults] == ["7"]
    dataset = check_content(images, content, skip_bad=True)
    assert (len(dataset), dataset.skipped) == (0, {"bad_picture": 1, "no_caption": 1})


def test_masks_within_the_pictures_folder_are_no_pictures(tmp_path):
    images = pictures(tmp_path)
    png(images / "masks" / "dog" / "1.png")
    content = read_pictures(images, captions=captions(tmp_path), masks=images / "masks")
    assert check_content(images, content).image_ids == ("1.png",)


def test_a_mask_that_fits_two_pictures_is_refused(tmp_path):
    pictures(tmp_path, "1.png", "1.jpg")
    png(tmp_path / "masks" / "dog" / "1.png")
    (found,) = faults_of(tmp_path, masks=tmp_path / "masks")
    assert found.startswith("masks/dog/1.png: Several pictures are meant by '1': 1.jpg, 1.png")


def test_a_link_out_of_the_folder_is_a_fault(tmp_path):
    images = pictures(tmp_path)
    picture(tmp_path / "secret.png")
    (images / "3.png").symlink_to(tmp_path / "secret.png")
    (images / "4.png").symlink_to(images / "1.png")
    (found,) = faults_of(tmp_path)
    assert found.startswith("images/3.png: Path leaves the data folder: '3.png' is or goes through a link")
    (images / "3.png").unlink()
    assert len(read_pictures(images).entries) == 3


def test_a_bare_name_means_a_picture_only_where_one_has_it(tmp_path):
    pictures(tmp_path, "a/1.png", "b/1.png", "b/2.png")
    said = captions(tmp_path, {"file_name": "1.png"}, {"file_name": "2.png"}, {"file_name": "images/a/1.png"})
    (found,) = faults_of(tmp_path, captions=said)
    assert "line 1: Several pictures are meant by '1.png': a/1.png, b/1.png" in found


REFUSED = {
    "no folder": (lambda root: {"images": root / "no"}, "No folder of pictures: .*no does not exist"),
    "no picture": (lambda root: {"images": _emptied(root)}, "No picture in .*expected files that end in"),
    "no captions": (lambda root: {"captions": root / "no.csv"}, "No captions file: .*is not a file"),
    "captions as text": (lambda root: {"captions": _written(root / "a.txt", "")}, "ends in '.txt'; expected .jsonl"),
    "no masks": (lambda root: {"masks": root / "no"}, "No masks: .*does not exist; expected a folder of PNGs"),
    "masks of two kinds": (
        lambda root: {"masks": png(labelme(root) / "1.png").parent},
        "Cannot tell the format of .*holds .json, .png.*--masks-format",
    ),
}


def _emptied(root: Path) -> Path:
    shutil.rmtree(root / "images")
    (root / "images").mkdir()
    return root / "images"


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_input_at_all_is_refused(tmp_path, make, message):
    options = {"images": pictures(tmp_path), **make(tmp_path)}
    with pytest.raises(DataFormatError, match=message):
        read_pictures(**options)


def test_the_format_can_be_said(tmp_path):
    images = pictures(tmp_path)
    path = labelme(tmp_path) / "1.json"
    assert detect_annotation_format(path) == "coco"
    assert read_pictures(images, masks=path, masks_format="labelme").entries[0].objects
    with pytest.raises(UnknownNameError, match=r"Unknown annotation format 'lableme'\. Did you mean 'labelme'"):
        read_pictures(images, masks=path, masks_format="lableme")


def test_real_labelme_file_with_its_picture_inside_is_read_without_it(tmp_path):
    images = pictures(tmp_path)
    folder = labelme(tmp_path, imageData="A" * 3_000_000, flags={}, version="5.4.1")
    assert len(json.loads((folder / "1.json").read_text())["imageData"]) == 3_000_000
    assert len(read_pictures(images, masks=folder).entries[0].objects) == 1
