"""COCO folders: sound ones are read, every fault is found."""

import json
import shutil

import numpy as np
import pytest

from headimpact.core.errors import DataFormatError
from headimpact.data.checks import check_folder
from headimpact.data.formats import read_dataset
from headimpact.data.masks import RleMask
from tests.builders import coco_folder, mask, picture, shared_data


def first(kind, **fields):
    """Change fields of the first record of a list."""
    return lambda instances, captions: instances[kind][0].update(fields)


def extended(kind, **fields):
    """Add a changed copy of the first record of a list."""
    return lambda instances, captions: instances[kind].append({**instances[kind][0], **fields})


def faults_of(root):
    """List the faults of a folder as text."""
    return [str(fault) for fault in check_folder(root)]


def test_sound_folder(tmp_path):
    dataset = read_dataset(coco_folder(tmp_path))
    assert check_folder(tmp_path) == []
    assert dataset.image_ids == ("1", "2", "3")
    assert dataset.info == {"description": "tiny"}
    made = dataset[0]
    assert made.captions == ("Dog 1.",)
    assert made.key_objects[0].category == "dog"
    assert "puppy" in made.names
    assert made.load_mask().tolist() == mask("......", ".##...", ".##...", "......").tolist()
    assert (made.split, made.prompt, made.licence) == (None, None, None)


def edit_extras(instances, captions):
    """Use everything that is read beyond the least."""
    instances["info"]["prompt"] = "What\nis it?\x1b"
    instances["licenses"] = [{"id": 4, "name": "CC BY 2.0", "url": "http:\\/\\/x.org\\/by"}]
    instances["images"][0].update(split=" test ", license=4)
    instances["images"][1].update(split="train", license=99)
    instances["images"][2]["split"] = "train"
    instances["annotations"][0].update(is_key_object=False)
    instances["annotations"].append(
        {
            "image_id": 1,
            "category_id": 17,
            "segmentation": {"size": [4, 6], "counts": [0, 1, 23]},
            "is_key_object": True,
            "names": ["tom", "cat"],
        }
    )
    captions["annotations"].insert(0, {"image_id": 1, "caption": "  Two\r\nlines. "})
    captions["annotations"].append({"image_id": 1, "caption": " \n "})


def test_extra_fields(tmp_path):
    dataset = read_dataset(coco_folder(tmp_path, edit=edit_extras))
    one, two, _ = dataset
    assert (one.split, one.prompt, one.licence) == ("test", "What\nis it? ", "CC BY 2.0 (http://x.org/by)")
    assert (two.split, two.licence) == ("train", None)
    assert one.captions == ("Two lines.", "Dog 1.")
    assert [thing.names for thing in one.key_objects] == [("cat", "tom")]
    assert one.load_mask().sum() == 1
    assert dataset.split("train").image_ids == ("2", "3")


def test_order_is_by_id_whatever_the_file_says(tmp_path):
    def edit(instances, captions):
        instances["images"].reverse()
        instances["annotations"].reverse()

    assert read_dataset(coco_folder(tmp_path, count=12, edit=edit)).image_ids == tuple(map(str, range(1, 13)))


@pytest.mark.parametrize(
    ("edit", "skipped"),
    [
        pytest.param(lambda i, c: c["annotations"].pop(0), {"no_caption": ("1",)}, id="no-caption"),
        pytest.param(
            lambda i, c: c["annotations"][0].update(caption=" \n"), {"no_caption": ("1",)}, id="blank-caption"
        ),
        pytest.param(lambda i, c: i["annotations"].pop(0), {"no_annotation": ("1",)}, id="no-annotation"),
        pytest.param(first("annotations", iscrowd=1), {"no_annotation": ("1",)}, id="crowd-only"),
        pytest.param(first("annotations", segmentation=[]), {"empty_mask": ("1",)}, id="no-polygon"),
        pytest.param(first("annotations", segmentation=None), {"empty_mask": ("1",)}, id="null-segmentation"),
        pytest.param(
            first("annotations", segmentation={"size": [4, 6], "counts": [24]}), {"empty_mask": ("1",)}, id="no-pixel"
        ),
    ],
)
def test_skips(tmp_path, edit, skipped):
    dataset = read_dataset(coco_folder(tmp_path, edit=edit))
    assert check_folder(tmp_path) == []
    assert dataset.skipped_ids == skipped
    assert dataset.image_ids == ("2", "3")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        pytest.param(
            first("annotations", image_id=77), "instances.json: annotation 10: Points nowhere: image_id 77", id="image"
        ),
        pytest.param(
            first("annotations", category_id=5), "annotation 10: Points nowhere: category_id 5", id="category"
        ),
        pytest.param(
            lambda i, c: c["annotations"][0].update(image_id=77),
            "captions.json: annotation 1: Points nowhere",
            id="caption",
        ),
        pytest.param(extended("images", file_name="4.png"), "image 1: Duplicate id", id="image-twice"),
        pytest.param(extended("annotations"), "annotation 10: Duplicate id", id="annotation-twice"),
        pytest.param(extended("categories"), "category 18: Duplicate id", id="category-twice"),
        pytest.param(
            lambda i, c: c["annotations"].append(c["annotations"][0]),
            "captions.json: annotation 1: Duplicate",
            id="caption-twice",
        ),
        pytest.param(extended("images", id=4), "image 4: Same picture file as image 1: '1.png'", id="file-twice"),
        pytest.param(first("images", file_name="no.png"), "image 1: Cannot open picture: ", id="missing-file"),
        pytest.param(first("images", file_name="/etc/passwd"), "image 1: Path leaves the data folder", id="absolute"),
        pytest.param(first("images", file_name="../1.png"), "image 1: Path leaves the data folder", id="up"),
        pytest.param(first("images", file_name=None), "image 1: File name is None", id="no-file-name"),
        pytest.param(first("images", height=5), "image 1: Picture of another size: listed as 5 x 6", id="other-size"),
        pytest.param(first("images", height=None), "image 1: Size is height None, width 6", id="no-size"),
        pytest.param(first("images", width=True), "image 1: Size is height 4, width True", id="bool-size"),
        pytest.param(first("images", id=1.5), "images[0]: Field 'id' is 1.5", id="float-id"),
        pytest.param(first("images", split=3), "image 1: Field 'split' is 3, expected a text", id="split"),
        pytest.param(
            first("annotations", segmentation={"size": [6, 5], "counts": [30]}),
            "annotation 10: Mask of another size: 6 x 5 (height x width), the picture is 4 x 6",
            id="mask-size",
        ),
        pytest.param(first("annotations", segmentation=[[1, 2, 3]]), "annotation 10: Broken polygon", id="polygon"),
        pytest.param(
            first("annotations", segmentation={"size": [4, 6], "counts": "~"}), "Broken run lengths", id="runs"
        ),
        pytest.param(first("annotations", iscrowd="no"), "annotation 10: Field 'iscrowd' is 'no'", id="crowd"),
        pytest.param(first("annotations", is_key_object="yes"), "Field 'is_key_object' is 'yes'", id="key"),
        pytest.param(first("annotations", names=[1]), "Field 'names' is [1], expected a list of texts", id="names"),
        pytest.param(first("annotations", id=[]), "annotations[0]: Field 'id' is []", id="list-id"),
        pytest.param(first("categories", name=" "), "category 18: Field 'name' is ' '", id="category-name"),
        pytest.param(first("categories", id=None), "categories[0]: Field 'id' is None", id="category-id"),
        pytest.param(
            lambda i, c: c["annotations"][0].update(caption=3),
            "captions.json: annotation 1: Field 'caption' is 3",
            id="text",
        ),
        pytest.param(lambda i, c: i.update(info=[1]), "info: Is a list, expected an object", id="info"),
        pytest.param(lambda i, c: i.update(info={"prompt": 3}), "info: Field 'prompt' is 3", id="prompt"),
        pytest.param(
            lambda i, c: i.pop("categories"), "instances.json: List 'categories' is missing", id="no-categories"
        ),
        pytest.param(lambda i, c: i.update(annotations={}), "List 'annotations' is a dict", id="no-list"),
        pytest.param(lambda i, c: i["images"].append(3), "images[3]: Is a int, expected an object", id="no-record"),
        pytest.param(
            lambda i, c: c.update(images=[{"id": 1, "file_name": "x.png"}]),
            "captions.json: image 1: File name is 'x.png', but '1.png' in instances.json",
            id="lists-disagree",
        ),
    ],
)
def test_faults(tmp_path, edit, message):
    coco_folder(tmp_path, edit=edit)
    faults = faults_of(tmp_path)
    assert any(message in fault for fault in faults), faults
    with pytest.raises(DataFormatError, match=r"Data folder cannot be used: .* first ") as refused:
        read_dataset(tmp_path)
    assert list(refused.value.faults) == faults


def edit_much(instances, captions):
    """Break many things at once."""
    instances["images"][0]["file_name"] = "gone.png"
    instances["images"][1]["height"] = 9
    instances["annotations"][2]["segmentation"] = [[1, 2, 3]]
    instances["annotations"][3]["category_id"] = 404
    captions["annotations"][4]["image_id"] = 405


def test_all_faults_come_at_once(tmp_path):
    coco_folder(tmp_path, count=6, edit=edit_much)
    (tmp_path / "images" / "6.png").write_bytes((tmp_path / "images" / "6.png").read_bytes()[:60])
    faults = check_folder(tmp_path)
    assert len(faults) == 6
    assert [fault.image_id for fault in faults] == [None, None, "1", "2", "3", "6"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(lambda root: (root / "images/2.png").unlink(), "does not exist", id="missing"),
        pytest.param(lambda root: (root / "images/2.png").write_bytes(b"no"), "is broken or not one of", id="broken"),
        pytest.param(lambda root: picture(root / "images/2.png", (9, 9)), "another size", id="other-size"),
    ],
)
def test_picture_faults_can_be_skipped(tmp_path, spoil, message):
    spoil(coco_folder(tmp_path))
    with pytest.raises(DataFormatError, match=r"1 fault in .*pass --skip-bad") as refused:
        read_dataset(tmp_path)
    assert message in refused.value.faults[0]
    dataset = read_dataset(tmp_path, skip_bad=True)
    assert dataset.image_ids == ("1", "3")
    assert dataset.skipped_ids == {"bad_picture": ("2",)}


def test_list_faults_cannot_be_skipped(tmp_path):
    coco_folder(tmp_path, edit=first("annotations", image_id=77))
    (tmp_path / "images" / "2.png").unlink()
    with pytest.raises(DataFormatError, match=r"1 fault in .*skip-bad helps with faults of single pictures only"):
        read_dataset(tmp_path, skip_bad=True)


def test_unreadable_list_is_named_with_its_line(tmp_path):
    coco_folder(tmp_path)
    (tmp_path / "captions.json").write_text('{"annotations": [\n{"id": 1,, }]}')
    assert faults_of(tmp_path) == [
        "captions.json: Unreadable JSON: line 2 column 10: Expecting property name enclosed in double quotes. "
        "Write the file again."
    ]


def test_masks_are_checked_where_the_picture_is_broken(tmp_path):
    coco_folder(tmp_path, edit=first("annotations", segmentation={"size": [5, 5], "counts": [25]}))
    (tmp_path / "images" / "1.png").write_bytes(b"no")
    assert len(check_folder(tmp_path)) == 2


def test_linked_picture_folder_is_one_fault(tmp_path):
    root = coco_folder(tmp_path / "root")
    shutil.move(root / "images", tmp_path / "elsewhere")
    (root / "images").symlink_to(tmp_path / "elsewhere")
    assert [fault.split(":")[1] for fault in faults_of(root)] == [" Path leaves the data folder"]


def move_to(root, annotations, ending, pictures):
    """Move the parts of a folder to other places."""
    folder = root / annotations
    folder.mkdir(exist_ok=True)
    for kind in ("instances", "captions"):
        (root / f"{kind}.json").rename(folder / f"{kind}{ending}.json")
    if pictures != "images":
        (root / pictures).parent.mkdir(parents=True, exist_ok=True)
        for path in list((root / "images").iterdir()):
            (root / pictures).mkdir(parents=True, exist_ok=True)
            path.rename(root / pictures / path.name)


@pytest.mark.parametrize(
    ("annotations", "ending", "pictures"),
    [
        pytest.param(".", "", "images", id="ours"),
        pytest.param("annotations", "", "images", id="annotations-folder"),
        pytest.param("annotations", "_val2017", "val2017", id="coco-as-unpacked"),
        pytest.param("annotations", "_val2017", "images/val2017", id="in-images"),
        pytest.param("annotations", "_train", "images", id="ending-but-images"),
        pytest.param(".", "_val2017", "val2017", id="lists-at-the-top"),
        pytest.param(".", "", ".", id="pictures-at-the-top"),
    ],
)
def test_layouts(tmp_path, annotations, ending, pictures):
    root = coco_folder(tmp_path / "root")
    move_to(root, annotations, ending, pictures)
    dataset = read_dataset(root)
    assert len(dataset) == 3
    assert dataset[0].image_path.resolve() == (root / pictures / "1.png").resolve()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        pytest.param(
            ("instances_train2017", "captions_train2017", "instances_val2017", "captions_val2017"),
            r"Several COCO data sets in .*: annotations/instances_train2017\.json, .*_val2017\.json; expected one",
            id="several",
        ),
        pytest.param(("instances_val2017",), r"found annotations/instances_val2017\.json; expected", id="no-captions"),
        pytest.param(
            ("captions",), r"found annotations/captions\.json; expected instances\.json and", id="no-instances"
        ),
        pytest.param(("instances_a", "captions_b"), r"No pair of COCO lists", id="other-ending"),
    ],
)
def test_lists_that_cannot_be_told_apart(tmp_path, names, message):
    (tmp_path / "annotations").mkdir()
    for name in names:
        (tmp_path / "annotations" / f"{name}.json").write_text("{}")
    with pytest.raises(DataFormatError, match=message):
        check_folder(tmp_path)


@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("frame", ["stored", "upright"])
def test_mask_turns_with_the_picture_if_listed_in_the_stored_frame(tmp_path, orientation, frame):
    hw = (4, 6) if frame == "stored" or orientation < 5 else (6, 4)
    coco_folder(
        tmp_path,
        count=1,
        edit=lambda i, c: (
            i["images"][0].update(height=hw[0], width=hw[1]),
            i["annotations"][0].update(segmentation=[[0, 0, 2, 0, 2, 1, 0, 1]]),
        ),
    )
    picture(tmp_path / "images" / "1.png", (4, 6), orientation=orientation)
    drawn = np.zeros(hw, bool)
    drawn[0, :2] = True
    if hw == (4, 6):
        drawn = {1: drawn, 3: drawn[::-1, ::-1], 6: np.rot90(drawn, -1)}[orientation]
    made = read_dataset(tmp_path)[0]
    assert made.size_hw == ((6, 4) if orientation == 6 else (4, 6))
    assert made.load_mask().tolist() == drawn.tolist()


def test_nothing_is_held_open_or_in_memory(tmp_path):
    dataset = read_dataset(coco_folder(tmp_path))
    assert all(isinstance(thing.mask, RleMask) for made in dataset for thing in made.key_objects)
    shutil.rmtree(tmp_path / "images")
    with pytest.raises(DataFormatError, match="does not exist"):
        dataset[0].load_image()


def test_real_coco():
    dataset = read_dataset(shared_data("coco_mini"))
    assert len(dataset) == 40
    assert dataset.skipped_ids == {"no_annotation": ("58636", "226111")}
    assert list(dataset.image_ids) == sorted(dataset.image_ids, key=int)
    chosen = {made.image_id: made.key_objects[0].category for made in dataset}
    assert {i: chosen[i] for i in ("412151", "555705", "551780")} == {
        "412151": "person",
        "555705": "cat",
        "551780": "clock",
    }
    for made in dataset:
        assert made.load_mask().shape == made.size_hw
        assert made.load_mask().any()
        assert len(made.captions) >= 5
        assert all(caption == caption.strip() for caption in made.captions)
        assert made.licence is not None


def test_real_coco_masks_agree_with_the_recorded_area():
    folder = shared_data("coco_mini")
    records = json.loads((folder / "instances.json").read_text())["annotations"]
    for made in read_dataset(folder):
        areas = [record["area"] for record in records if str(record["image_id"]) == made.image_id]
        pixels = made.load_mask().sum()
        assert any(abs(area - pixels) <= 0.05 * pixels + 20 for area in areas)
