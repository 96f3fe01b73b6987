"""The table of formats and the door through which every stage reads."""

import subprocess
import sys
import threading

import pytest

from headimpact.core.errors import DataFormatError, OptionError, UnknownNameError
from headimpact.data.checks import check_folder
from headimpact.data.formats import FORMATS, detect_format, read_dataset
from tests.builders import coco_folder, jsonl_folder


@pytest.mark.parametrize("name", FORMATS)
def test_table_leads_to_readers(name):
    assert callable(FORMATS.load(name))


def test_detection(tmp_path):
    assert detect_format(coco_folder(tmp_path / "a")) == "coco"
    assert detect_format(jsonl_folder(tmp_path / "b")) == "jsonl"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda path: None, r"Not a data folder: .* does not exist", id="missing"),
        pytest.param(lambda path: path.touch(), r"Not a data folder: .* is a file", id="file"),
        pytest.param(lambda path: path.mkdir(), r"No data set in .*instances\.json.*metadata\.jsonl", id="empty"),
        pytest.param(
            lambda path: jsonl_folder(coco_folder(path)), r"several formats: .*Move one of them away", id="both"
        ),
    ],
)
@pytest.mark.parametrize("read", [check_folder, read_dataset])
def test_folders_of_no_format(tmp_path, make, message, read):
    make(tmp_path / "data")
    with pytest.raises(DataFormatError, match=message):
        read(tmp_path / "data")


def test_split_and_limit(tmp_path):
    root = coco_folder(tmp_path, count=20)
    assert len(read_dataset(root, split="train")) == 10
    assert read_dataset(root, split="train").image_ids == read_dataset(root).split("train").image_ids
    assert read_dataset(root, split="train", limit=4, seed=3).image_ids == (
        read_dataset(root, seed=3).split("train").limit(4, 3).image_ids
    )
    with pytest.raises(UnknownNameError, match=r"Unknown split 'trian'\. Did you mean 'train'"):
        read_dataset(root, split="trian")


@pytest.mark.parametrize("options", [{"limit": 0}, {"workers": 0}])
def test_options_out_of_range(tmp_path, options):
    with pytest.raises(OptionError, match="expected 1 or more"):
        read_dataset(coco_folder(tmp_path), **options)


def test_no_sample_left_is_an_empty_data_set(tmp_path):
    root = coco_folder(tmp_path, edit=lambda instances, captions: captions.update(annotations=[]))
    dataset = read_dataset(root)
    assert len(dataset) == 0
    assert dataset.skipped == {"no_caption": 3}


@pytest.mark.parametrize("workers", [1, 2, 7, None])
def test_progress_counts_every_picture_in_the_calling_thread(tmp_path, workers):
    seen = []

    def progress(done, total):
        seen.append((done, total, threading.current_thread() is threading.main_thread()))

    root = coco_folder(tmp_path, count=9)
    reference = read_dataset(root)
    assert check_folder(root, progress=progress, workers=workers) == []
    assert seen == [(done, 9, True) for done in range(1, 10)]
    assert read_dataset(root, workers=workers) == reference


def test_reading_needs_no_torch(tmp_path):
    coco_folder(tmp_path)
    script = (
        "import sys; from pathlib import Path; from headimpact.data.formats import read_dataset; "
        "read_dataset(Path(sys.argv[1]))[0].load_mask(); "
        "found = {'torch', 'transformers', 'peft', 'matplotlib'} & set(sys.modules); sys.exit(', '.join(found) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("make", [coco_folder, jsonl_folder], ids=["coco", "jsonl"])
def test_pictures_may_lie_in_another_folder(tmp_path, make):
    root, elsewhere = make(tmp_path / "data"), tmp_path / "elsewhere"
    here = root / "images" if (root / "images").is_dir() else root
    elsewhere.mkdir()
    for path in here.glob("*.png"):
        path.rename(elsewhere / path.name)
    dataset = read_dataset(root, images=elsewhere)
    assert {sample.image_path.parent for sample in dataset} == {elsewhere.resolve()}
    with pytest.raises(DataFormatError, match="Folder not found"):
        read_dataset(root, images=tmp_path / "nowhere")


@pytest.mark.parametrize("make", [coco_folder, jsonl_folder], ids=["coco", "jsonl"])
def test_names_may_not_leave_the_other_folder_either(tmp_path, make):
    root, elsewhere = make(tmp_path / "data"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    here = root / "images" if (root / "images").is_dir() else root
    for path in here.glob("*.png"):
        (elsewhere / path.name).symlink_to(path)
    with pytest.raises(DataFormatError, match="faults") as caught:
        read_dataset(root, images=elsewhere)
    assert all("goes through a link" in fault for fault in caught.value.faults)
