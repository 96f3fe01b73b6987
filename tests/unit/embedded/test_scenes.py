import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from headimpact.core.errors import OptionError, OutputInUseError, UnknownNameError
from headimpact.embedded.scenes import TASKS, build_scenes, draw_scene, encode_mask

COUNTS = {"calibration": 3, "train": 4, "validation": 2, "test": 2}

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools on numpy 2


@pytest.fixture(scope="module", params=sorted(TASKS))
def built(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / request.param
    build_scenes(folder, task=request.param, counts=COUNTS, seed=5)
    return request.param, folder


def drawn(task):
    return [
        draw_scene(task=task, split=split, index=index, seed=5)
        for split, count in COUNTS.items()
        for index in range(count)
    ]


def test_pycocotools_reads_the_same_masks(built):
    task, folder = built
    coco = COCO(str(folder / "instances.json"))
    assert len(coco.imgs) == sum(COUNTS.values())
    for image_id, scene in zip(coco.imgs, drawn(task), strict=True):
        annotations = coco.loadAnns(coco.getAnnIds(image_id))
        assert [annotation["is_key_object"] for annotation in annotations].count(True) == 1
        for annotation, item in zip(annotations, scene.objects, strict=True):
            assert np.array_equal(coco.annToMask(annotation).astype(bool), item.mask)
            assert annotation["area"] == item.mask.sum()
            left, top, width, height = annotation["bbox"]
            assert item.mask[top : top + height, left : left + width].sum() == item.area
            assert coco.cats[annotation["category_id"]]["name"] == item.shape
            assert annotation["is_key_object"] == (item is scene.key_object)


def test_pictures_are_stored_without_loss(built):
    task, folder = built
    images = json.loads((folder / "instances.json").read_text())["images"]
    for record, scene in zip(images, drawn(task), strict=True):
        with Image.open(folder / "images" / record["file_name"]) as picture:
            assert np.array_equal(np.asarray(picture), scene.pixels)
        assert record["file_name"].startswith(record["split"])


def test_captions_and_questions_belong_to_their_pictures(built):
    task, folder = built
    captions = json.loads((folder / "captions.json").read_text())["annotations"]
    questions = json.loads((folder / "questions.json").read_text())["questions"]
    answers = json.loads((folder / "answers.json").read_text())["annotations"]
    assert [record["caption"] for record in captions] == [TASKS[task].write_caption(scene) for scene in drawn(task)]
    assert [record["question_id"] for record in questions] == [record["question_id"] for record in answers]
    by_id = {record["question_id"]: record for record in answers}
    for record in questions:
        if record["question"] == "What colour is the background?":
            answer = by_id[record["question_id"]]
            assert answer["multiple_choice_answer"] == drawn(task)[record["image_id"] - 1].background
            assert answer["answers"][0]["answer"] == answer["multiple_choice_answer"]
    assert json.loads((folder / "instances.json").read_text())["info"]["prompt"] == TASKS[task].prompt


def test_same_seed_same_files(tmp_path):
    for name in ("one", "two"):
        build_scenes(tmp_path / name, task="where", counts={"test": 2}, seed=1)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) == 6
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes() for file in files)


def test_refusals(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(OutputInUseError, match="--overwrite"):
        build_scenes(tmp_path, task="where", counts={"test": 1}, seed=0)
    with pytest.raises(UnknownNameError, match="Did you mean 'where'"):
        build_scenes(tmp_path / "a", task="wher", counts={"test": 1}, seed=0)
    with pytest.raises(UnknownNameError, match="Did you mean 'test'"):
        build_scenes(tmp_path / "a", task="where", counts={"tests": 1}, seed=0)
    with pytest.raises(OptionError, match="at least one picture"):
        build_scenes(tmp_path / "a", task="where", counts={"test": 0}, seed=0)
    assert not (tmp_path / "a").exists()
    assert (tmp_path / "note.txt").read_text() == "mine"


def test_an_error_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("headimpact.embedded.scenes.json.dumps", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build_scenes(tmp_path / "a", task="describe", counts={"test": 1}, seed=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seed", range(3))
def test_masks_encode_like_pycocotools(seed):
    mask_utils = pytest.importorskip("pycocotools.mask")
    mask = np.random.default_rng(seed).random((7, 5)) < (0.0, 0.5, 1.0)[seed]
    encoded = encode_mask(mask)
    assert sum(encoded["counts"]) == 35
    again = mask_utils.decode(mask_utils.frPyObjects(encoded, 7, 5))
    assert np.array_equal(again.astype(bool), mask)
