"""Our own format: read, every fault found."""

import json

import numpy as np
import pytest
from PIL import Image

from headimpact.core.errors import DataFormatError
from headimpact.data.checks import check_folder
from headimpact.data.formats import read_dataset
from tests.builders import jsonl_folder, mask, picture


def faults_of(root):
    """List the faults of a folder as text."""
    return [str(fault) for fault in check_folder(root)]


def test_sound_folder(tmp_path):
    dataset = read_dataset(jsonl_folder(tmp_path))
    assert check_folder(tmp_path) == []
    assert dataset.image_ids == ("1.png", "2.png")
    made = dataset[0]
    assert made.captions == ("A dog.",)
    assert made.load_mask().tolist() == mask("......", ".##...", ".##...", "......").tolist()
    assert made.key_objects[0].names[:2] == ("dog", "puppy")
    assert (made.split, made.prompt, made.licence) == (None, None, None)


def test_all_fields(tmp_path):
    line = {
        "image_id": 7, "file_name": "images/a b.png", "captions": [" One. ", "", "Two\n."], "names": ["Rex"],
        "split": "test", "prompt": "Say:\n", "licence": "CC0",
    }  # fmt: skip
    (tmp_path / "info.json").write_text('{"prompt": "Say:"}')
    dataset = read_dataset(jsonl_folder(tmp_path, line))
    (made,) = dataset
    assert made.image_id == "7"
    assert made.captions == ("One.", "Two .")
    assert made.names == ("dog", "Rex")
    assert (made.split, made.prompt, made.licence) == ("test", "Say:\n", "CC0")
    assert made.image_path == tmp_path / "images" / "a b.png"
    assert dataset.info == {"prompt": "Say:"}


@pytest.mark.parametrize(
    ("line", "captions"),
    [
        pytest.param({"captions": None, "text": "A cat."}, ("A cat.",), id="text"),
        pytest.param({"captions": "A cat."}, ("A cat.",), id="one-caption"),
        pytest.param({"captions": [], "text": ["A", "B"]}, ("A", "B"), id="text-list"),
        pytest.param({"license": "MIT"}, ("A dog.",), id="american"),
    ],
)
def test_other_spellings(tmp_path, line, captions):
    (made,) = read_dataset(jsonl_folder(tmp_path, line))
    assert made.captions == captions
    assert made.licence == line.get("license")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param({"captions": []}, "no_caption", id="no-caption"),
        pytest.param({"captions": [" "]}, "no_caption", id="blank-caption"),
        pytest.param({"mask_file_name": None}, "no_annotation", id="no-mask"),
        pytest.param({"key_objects": []}, "no_annotation", id="no-key-object"),
        pytest.param({"mask_file_name": "empty.png"}, "empty_mask", id="empty-mask"),
    ],
)
def test_skips(tmp_path, line, reason):
    Image.new("L", (6, 4)).save(tmp_path / "empty.png")
    dataset = read_dataset(jsonl_folder(tmp_path, line, {}))
    assert dataset.skipped_ids == {reason: ("1.png",)}
    assert dataset.image_ids == ("2.png",)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param(
            {"file_name": "/etc/passwd"}, "metadata.jsonl: line 1: Path leaves the data folder", id="absolute"
        ),
        pytest.param({"file_name": "../a.png"}, "line 1: Path leaves the data folder", id="up"),
        pytest.param({"file_name": None}, "line 1: File name is None, expected a clean text", id="no-file-name"),
        pytest.param({"mask_file_name": "../m.png"}, "line 1: Path leaves the data folder", id="mask-up"),
        pytest.param({"mask_file_name": "gone.png"}, "line 1: Cannot open picture: ", id="mask-missing"),
        pytest.param({"mask_file_name": "broken.png"}, "broken.png is broken or not one of", id="mask-broken"),
        pytest.param(
            {"mask_file_name": "colour.png"}, "colour.png is of mode RGB, expected one channel", id="mask-colour"
        ),
        pytest.param(
            {"mask_file_name": "small.png"}, "line 1: Mask of another size: 2 x 2 (height x width)", id="mask-size"
        ),
        pytest.param({"image_id": "2.png"}, "line 2: Duplicate id: image_id '2.png' is also in line 1", id="id-twice"),
        pytest.param({"file_name": "2.png", "image_id": 1}, "line 2: Same picture file as in line 1", id="file-twice"),
        pytest.param({"image_id": 1.5}, "line 1: Field 'image_id' is 1.5", id="float-id"),
        pytest.param({"category": None}, "line 1: Field 'category' is missing", id="no-category"),
        pytest.param({"captions": [3]}, "line 1: Field 'captions' is [3], expected a list of texts", id="caption"),
        pytest.param({"split": 1}, "line 1: Field 'split' is 1, expected a text", id="split"),
        pytest.param({"prompt": 1}, "line 1: Field 'prompt' is 1, expected a text", id="prompt"),
        pytest.param(
            {"names": "Rex", "key_objects": {}}, "Field 'key_objects' is {}, expected a list", id="key-objects"
        ),
    ],
)
def test_faults(tmp_path, line, message):
    Image.new("L", (2, 2)).save(tmp_path / "small.png")
    Image.new("RGB", (6, 4)).save(tmp_path / "colour.png")
    (tmp_path / "broken.png").write_bytes(b"no")
    jsonl_folder(tmp_path, line, {})
    assert [message in fault for fault in faults_of(tmp_path)] == [True], faults_of(tmp_path)
    with pytest.raises(DataFormatError, match="1 fault in"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param(b'{"file_name": ', "line 2: Unreadable JSON: line 1 column 15", id="cut"),
        pytest.param(b"[1]", "line 2: Found a JSON list, expected an object with image_id, file_name", id="list"),
        pytest.param(b'{"a": "\xff"}', "line 2: Unreadable text: .*Expected UTF-8", id="no-utf8"),
    ],
)
def test_unreadable_lines(tmp_path, line, message):
    jsonl_folder(tmp_path, {})
    with (tmp_path / "metadata.jsonl").open("ab") as file:
        file.write(line + b"\n\n")
    (fault,) = check_folder(tmp_path)
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(str(fault))


def test_unreadable_info_is_a_fault(tmp_path):
    (tmp_path / "info.json").write_text("{")
    jsonl_folder(tmp_path)
    assert faults_of(tmp_path)[0].startswith("info.json: Unreadable JSON: line 1")


def test_byte_order_mark_and_windows_line_ends(tmp_path):
    jsonl_folder(tmp_path)
    path = tmp_path / "metadata.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert len(read_dataset(tmp_path)) == 2


def test_mask_turns_only_if_in_the_stored_frame(tmp_path):
    jsonl_folder(tmp_path, {}, {"mask_file_name": "upright.png"})
    for name in ("1.png", "2.png"):
        picture(tmp_path / name, (4, 6), orientation=6)
    drawn = np.zeros((4, 6), np.uint8)
    drawn[0, :2] = 255
    Image.fromarray(drawn).save(tmp_path / "masks" / "1.png")
    Image.fromarray(np.ascontiguousarray(drawn.T)).save(tmp_path / "upright.png")
    stored, upright = read_dataset(tmp_path)
    assert stored.load_mask().tolist() == np.rot90(drawn > 0, -1).tolist()
    assert upright.load_mask().tolist() == (drawn.T > 0).tolist()


def test_a_line_is_what_hugging_face_datasets_expect(tmp_path):
    jsonl_folder(tmp_path, {})
    (line,) = (json.loads(text) for text in (tmp_path / "metadata.jsonl").read_text().splitlines())
    assert (tmp_path / line["file_name"]).is_file()
    assert (tmp_path / line["mask_file_name"]).is_file()
