"""To the hub's formats and back: nothing is lost, and `datasets.load_dataset` opens what is written."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headimpact.data.closed_questions import ClosedQuestion
from headimpact.data.dataset import KeyObjectDataset
from headimpact.data.formats import read_dataset
from headimpact.data.formats.hub_card import FOLDER_FILES, write_card
from headimpact.data.formats.jsonl_writer import write_jsonl_dataset
from headimpact.data.formats.questions import read_questions
from headimpact.data.masks import RleMask
from headimpact.data.origins import CaptionOrigin, MaskOrigin
from headimpact.data.sample import KeyObject, Sample
from tests.builders import coco_folder, picture, shared_data
from tests.integration.conftest import done, run

datasets = pytest.importorskip("datasets", reason="needs the extra hub")

MASK = MaskOrigin(models=("dino@1a", "sam"), phrase="dog", box=(1.0, 1.0, 3.0, 3.0), box_confidence=0.5)
CAPTION = CaptionOrigin(model="vlm@2b", prompt="Describe.\n", is_complete=True)


QUESTIONS = (
    ClosedQuestion(question_id="1-a", question="Is there a dog?", answers=("yes", "no", "yes"), choices=("yes", "no")),
    ClosedQuestion(
        question_id="1-b", question="Wo?", answers=("l\u00e4nks",), kind="side", categories=("dog", "bench")
    ),
)


def drawn(size_hw: tuple[int, int], seed: int) -> RleMask:
    return RleMask.from_mask(np.random.default_rng(seed).random(size_hw) > 0.5)


def sample(root: Path, name: str, number: int, **fields: Any) -> Sample:
    """Make a sample; an odd number has one key object, an even one two; the third is turned."""
    orientation = 6 if number == 3 else 1
    path = picture(root / name, (40, 60), orientation=orientation, seed=number)
    objects = [KeyObject("dog", ("dog", "Rex"), drawn((40, 60), number), MASK if number == 2 else None)]
    if number % 2 == 0:
        objects.append(KeyObject("red cup", ("red cup",), drawn((40, 60), 10 + number)))
    return Sample(
        image_id=f"id {number}",
        image_path=path,
        size_hw=(60, 40) if orientation == 6 else (40, 60),
        orientation=orientation,
        key_objects=tuple(objects),
        captions=(f"Dog {number}, \N{SNOWMAN}.", "<b>\u00e9</b>"),
        **fields,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a data folder whose names lead `load_dataset` astray where no card keeps it."""
    root = tmp_path_factory.mktemp("hub")
    names = ("train_1.png", "a/test 2.png", "b/test_3.jpg", "train_1.jpg")
    splits = ("calibration", "train", "calibration", None)
    samples = [
        sample(root / "from", name, number, split=split)
        for number, (name, split) in enumerate(zip(names, splits, strict=True), start=1)
    ]
    optional: dict[str, Any] = {
        "prompt": "Say:\n",
        "licence": "CC0",
        "caption_origin": CAPTION,
        "captions_original": (" DOG 1, \x07", "b"),
        "categories": ("bench", "dog"),
        "questions": QUESTIONS,
    }
    samples[0] = dataclasses.replace(samples[0], **optional)
    dataset = KeyObjectDataset(samples=tuple(samples), root=root / "from", info={"prompt": "Say:"})
    write_jsonl_dataset(dataset, root / "set")
    (root / "set/README.md").write_text("---\nlicense: cc0-1.0\n---\n\n# Dogs and a cup\n")
    write_card(root / "set", data_files=FOLDER_FILES, lines=["# Pictures"], source=root / "set")
    (root / "set/attribution.csv").write_text("image_id,licence\nid 1,CC0\n")
    return root / "set"


APART = {"image_path", "key_objects", "questions"}
"""Fields of a sample that are compared in another way."""

SAME = [field.name for field in dataclasses.fields(Sample) if field.name not in APART]


def same(one: KeyObjectDataset, other: KeyObjectDataset) -> None:
    """Compare everything but where files lie."""
    assert one.image_ids == other.image_ids
    assert asked(one.root) == asked(other.root)
    assert one.info == other.info
    for first, second in zip(one, other, strict=True):
        for name in SAME:
            assert getattr(first, name) == getattr(second, name), name
        assert first.image_path.read_bytes() == second.image_path.read_bytes()
        assert first.load_image().tobytes() == second.load_image().tobytes()
        assert [(k.category, k.names, k.origin) for k in first.key_objects] == [
            (k.category, k.names, k.origin) for k in second.key_objects
        ]
        for mine, its in zip(first.key_objects, second.key_objects, strict=True):
            assert (mine.mask.decode() == its.mask.decode()).all()


@pytest.mark.parametrize("kind", ["parquet", "imagefolder"])
def test_the_way_there_and_back_loses_nothing(tmp_path, folder, kind):
    exported = done("dataset", "export", folder, "--format", kind, "--out", tmp_path / "hub", "--json").json
    assert exported["splits"] == {"calibration": 2, "train": 1, "unsplit": 1}
    answer = done("dataset", "build", "hub", tmp_path / "hub", "--out", tmp_path / "back", "--json").json
    assert answer["pictures"] == 4
    for name in ("README.md", "attribution.csv", "info.json"):
        assert (tmp_path / "back" / name).read_text() == (folder / name).read_text()
    assert "license: cc0-1.0" in (tmp_path / "hub/README.md").read_text()
    assert "# Dogs and a cup" in (tmp_path / "hub/README.md").read_text()
    assert asked(folder) == {"id 1": QUESTIONS}
    same(read_dataset(tmp_path / "back"), read_dataset(folder))
    assert shares(tmp_path / "back") == shares(folder)


def asked(folder: Path) -> dict[str, tuple[ClosedQuestion, ...]]:
    """Questions of a folder, if it has any."""
    return read_questions(folder) if (folder / "questions.jsonl").is_file() else {}


def shares(folder: Path) -> dict[str, float]:
    """Share of each picture that its key objects cover, as its list says."""
    lines = map(json.loads, (folder / "metadata.jsonl").read_text().splitlines())
    return {line["image_id"]: line["area_share"] for line in lines}


@pytest.mark.parametrize("kind", ["parquet", "imagefolder"])
def test_what_was_built_from_coco_goes_there_and_back(tmp_path, kind):
    """Every field that a built set has and a plain folder has not; one picture has two key objects."""

    def edit(instances: dict[str, Any], captions: dict[str, Any]) -> None:
        instances["licenses"] = [{"id": 4, "name": "CC BY", "url": "http://licence"}]
        instances["images"][0] |= {"license": 4}
        instances["annotations"].append(
            {**instances["annotations"][0], "id": 99, "category_id": 17, "segmentation": [[0, 0, 1, 0, 1, 2, 0, 2]]}
        )
        captions["annotations"][0]["caption"] = "A DOG  AND A CAT"

    data = coco_folder(tmp_path / "coco", edit=edit)
    lists = ("--instances", data / "instances.json", "--captions", data / "captions.json", "--images", data / "images")
    done("dataset", "build", "coco", *lists, "--out", tmp_path / "set")
    done("dataset", "export", tmp_path / "set", "--format", kind, "--out", tmp_path / "hub")
    done("dataset", "build", "hub", tmp_path / "hub", "--out", tmp_path / "back")
    built = read_dataset(tmp_path / "set")
    assert built[0].captions_original == ("A DOG  AND A CAT",) != built[0].captions
    assert (built[0].licence, len(built[0].key_objects)) == ("CC BY (http://licence)", 2)
    same(read_dataset(tmp_path / "back"), built)
    assert shares(tmp_path / "back") == shares(tmp_path / "set")
    for name in ("README.md", "attribution.csv", "decisions.jsonl", "questions.jsonl", "info.json", "areas.svg"):
        assert (tmp_path / "back" / name).read_bytes() == (tmp_path / "set" / name).read_bytes(), name


def test_questions_in_vqas_files_go_along(tmp_path):
    data = coco_folder(tmp_path / "coco")
    questions = [{"question_id": n, "image_id": n, "question": f"How many, {n}?"} for n in (1, 3)]
    answers = [
        {"question_id": n, "question_type": "how many", "answers": [{"answer": "1"}, {"answer": "2"}]} for n in (1, 3)
    ]
    (data / "questions.json").write_text(json.dumps({"questions": questions}))
    (data / "answers.json").write_text(json.dumps({"annotations": answers}))
    done("dataset", "export", data, "--out", tmp_path / "hub")
    done("dataset", "build", "hub", tmp_path / "hub", "--out", tmp_path / "back")
    assert list(asked(tmp_path / "back")) == ["1", "3"]
    assert asked(tmp_path / "back") == read_questions(data)


def test_questions_that_are_none_stop_the_export(tmp_path):
    data = coco_folder(tmp_path / "coco")
    line = {"question_id": "q", "image_id": 99, "question": "Is it?", "answer": "yes"}
    (data / "questions.jsonl").write_text(json.dumps(line))
    answer = run("dataset", "export", data, "--out", tmp_path / "hub")
    assert answer.code == 2
    assert "image_id '99' is no picture of this folder" in answer.err
    assert not (tmp_path / "hub").exists()


def test_a_folder_of_ours_that_was_put_on_the_hub_as_it_is(tmp_path):
    samples = (sample(tmp_path / "from", "1.png", 1), sample(tmp_path / "from", "3.jpg", 3))
    made = dataclasses.replace(samples[0].key_objects[0], origin=MASK)
    samples = (dataclasses.replace(samples[0], key_objects=(made,)), samples[1])
    write_jsonl_dataset(KeyObjectDataset(samples=samples, root=tmp_path / "from"), tmp_path / "set")
    assert "key_objects" not in (tmp_path / "set/metadata.jsonl").read_text()
    done("dataset", "build", "hub", tmp_path / "set", "--out", tmp_path / "back")
    same(read_dataset(tmp_path / "back"), read_dataset(tmp_path / "set"))


@pytest.mark.parametrize("kind", ["parquet", "imagefolder"])
def test_real_pictures_go_there_and_back(tmp_path, kind):
    source = read_dataset(shared_data("coco_mini"))
    done("dataset", "export", shared_data("coco_mini"), "--format", kind, "--out", tmp_path / "hub")
    done("dataset", "build", "hub", tmp_path / "hub", "--out", tmp_path / "back")
    back = read_dataset(tmp_path / "back")
    assert len(back) > 30
    same(back, dataclasses.replace(source, info=back.info))
    assert back.info["description"] == source.info["description"]


def rows_of(path: Path, cache: Path) -> dict[str, dict[str, Any]]:
    """Open a folder as anybody would, and give its rows by id."""
    opened = datasets.load_dataset(str(path), cache_dir=str(cache))
    return {row["image_id"]: {**row, "of": split} for split in opened for row in opened[split]}


@pytest.mark.parametrize("kind", ["as it is", "parquet", "imagefolder"])
def test_load_dataset_opens_it(tmp_path, folder, kind):
    opened = folder
    if kind != "as it is":
        opened = tmp_path / "hub"
        done("dataset", "export", folder, "--format", kind, "--out", opened)
    rows = rows_of(opened, tmp_path / "cache")
    expected = read_dataset(folder)
    assert set(rows) == set(expected.image_ids)
    for one in expected:
        row = rows[one.image_id]
        assert row["image"].convert("RGB").tobytes() == one.load_image().tobytes()
        assert (np.asarray(row["mask"]) > 0).tolist() == one.load_mask().tolist()
        assert tuple(row["captions"]) == one.captions
        assert tuple(row["captions_original"]) == one.captions_original
        assert row["split"] == one.split
        assert row["of"] == (one.split or "unsplit") or kind == "as it is"
        assert [block["category"] for block in row["key_objects"]] == [k.category for k in one.key_objects]
        assert row["categories"] == (None if one.categories is None else list(one.categories))
        if kind != "as it is":
            ids = [question["question_id"] for question in row["questions"]]
            assert ids == (["1-a", "1-b"] if one.image_id == "id 1" else [])
        for block, key_object in zip(row["key_objects"], one.key_objects, strict=True):
            assert (np.asarray(block["mask"]) > 0).tolist() == one.upright_mask(key_object.mask).tolist()


def test_what_dataset_build_writes_is_opened_too(tmp_path):
    data = coco_folder(tmp_path / "coco")
    lines = [{"file_name": f"{n}.png", "caption": f"Dog {n}."} for n in (1, 2, 3)]
    said = tmp_path / "captions.jsonl"
    said.write_text("\n".join(map(json.dumps, lines)))
    words = ("--images", data / "images", "--captions", said, "--masks", data / "instances.json")
    done("dataset", "build", "pictures", *words, "--out", tmp_path / "set")
    rows = rows_of(tmp_path / "set", tmp_path / "cache")
    assert {name: row["captions"] for name, row in rows.items()} == {f"{n}.png": [f"Dog {n}."] for n in (1, 2, 3)}
    assert np.asarray(rows["1.png"]["mask"]).sum() == 4


def test_what_dataset_build_coco_writes_is_opened_too(tmp_path):
    def rename(instances: dict[str, Any], _captions: dict[str, Any]) -> None:
        for record in instances["images"]:
            record["file_name"] = f"COCO_train2014_{record['id']:012d}.png"
        extra = {**instances["annotations"][0], "id": 99, "category_id": 17, "segmentation": [[0, 0, 1, 0, 1, 2, 0, 2]]}
        instances["annotations"].append(extra)
        _captions["annotations"][0]["caption"] = "A dog and a cat."

    data = coco_folder(tmp_path / "coco", edit=rename)
    for number in (1, 2, 3):
        (data / f"images/{number}.png").rename(data / f"images/COCO_train2014_{number:012d}.png")
    lists = ("--instances", data / "instances.json", "--captions", data / "captions.json", "--images", data / "images")
    done("dataset", "build", "coco", *lists, "--out", tmp_path / "set")
    rows = rows_of(tmp_path / "set", tmp_path / "cache")
    assert {name: row["captions"] for name, row in rows.items()} == {
        one.image_id: list(one.captions) for one in read_dataset(tmp_path / "set")
    }
    assert [[one["category"] for one in row["key_objects"]] for _, row in sorted(rows.items())] == [
        ["dog", "cat"],
        ["dog"],
        ["dog"],
    ]
    exported = done("dataset", "export", tmp_path / "set", "--out", tmp_path / "hub", "--json").json
    assert exported["pictures"] == 3
    assert (tmp_path / "hub/attribution.csv").read_text() == (tmp_path / "set/attribution.csv").read_text()


def test_a_coco_folder_without_splits_becomes_one_split(tmp_path):
    answer = done("dataset", "export", coco_folder(tmp_path / "coco"), "--out", tmp_path / "hub", "--json").json
    assert answer["splits"] == {"train": 3}
    done("dataset", "build", "hub", tmp_path / "hub", "--out", tmp_path / "back")
    assert [one.split for one in read_dataset(tmp_path / "back")] == [None] * 3


def test_large_splits_are_cut_into_files(tmp_path, folder, monkeypatch):
    monkeypatch.setattr("headimpact.data.formats.hub_writer.ROW_GROUP_BYTES", 1)
    monkeypatch.setattr("headimpact.data.formats.hub_writer.FILE_BYTES", 1)
    done("dataset", "export", folder, "--out", tmp_path / "hub")
    assert {path.name for path in (tmp_path / "hub/data").iterdir()} == {
        "calibration-00000-of-00002.parquet",
        "calibration-00001-of-00002.parquet",
        "train-00000-of-00001.parquet",
        "unsplit-00000-of-00001.parquet",
    }
    done("dataset", "build", "hub", tmp_path / "hub", "--out", tmp_path / "back")
    same(read_dataset(tmp_path / "back"), read_dataset(folder))


def foreign(root: Path, split: str = "validation", **columns: Any) -> Path:
    """Write a Parquet data set as others publish them: `datasets` itself writes it."""
    pictures = [Image.fromarray(np.full((4, 6, 3), value, dtype=np.uint8)) for value in (10, 200)]
    masks = [Image.fromarray(np.eye(4, 6, dtype=np.uint8) * 255)] * 2
    content = {"picture": pictures, "mask": masks, "text": ["A dog.", "A cat."], "label": [0, 1], **columns}
    features = datasets.Features(
        {
            "picture": datasets.Image(),
            "mask": datasets.Image(),
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["dog", "cat"]),
        }
    )
    kept = {name: value for name, value in content.items() if value is not None}
    chosen = datasets.Features({name: features[name] for name in kept})
    (root / "data").mkdir(parents=True)
    datasets.Dataset.from_dict(kept, features=chosen).to_parquet(root / "data" / f"{split}-00000-of-00001.parquet")
    return root


def test_a_data_set_by_others(tmp_path):
    words = ("dataset", "build", "hub", foreign(tmp_path / "theirs"), "--image-column", "picture")
    plan = done(*words, "--out", tmp_path / "out", "--dry-run").out
    assert "captions='text', mask='mask', category='label'" in plan
    assert not (tmp_path / "out").exists()
    done(*words, "--out", tmp_path / "out")
    first, second = read_dataset(tmp_path / "out")
    assert (first.image_id, first.split, first.captions) == ("validation/0", "validation", ("A dog.",))
    assert [one.key_objects[0].category for one in (first, second)] == ["dog", "cat"]
    assert first.load_mask().tolist() == np.eye(4, 6, dtype=bool).tolist()
    assert np.asarray(second.load_image()).mean() == 200


def test_a_name_that_is_no_clean_text_is_not_used(tmp_path):
    content = picture(tmp_path / "1.png").read_bytes()
    source = raw_rows(tmp_path / "theirs", image={"bytes": content, "path": "a\nb.png"})
    done("dataset", "build", "hub", source, "--out", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out/images").iterdir()] == ["train_000000.png"]
    assert done("dataset", "build", "hub", source, "--out", tmp_path / "out", "--resume").out.startswith("finished")


def test_pictures_and_captions_alone_wait_for_masks(tmp_path):
    source = foreign(tmp_path / "theirs", "train", mask=None, label=None)
    answer = done("dataset", "build", "hub", source, "--out", tmp_path / "out", "--json").json
    assert (answer["pictures"], answer["skipped"]) == (2, {"no_annotation": 2})
    models = ("--detector", "x", "--segmenter", "y")
    given = ("--images", tmp_path / "out/images", "--captions", tmp_path / "out/metadata.jsonl", *models)
    plan = done("dataset", "build", "pictures", *given, "--out", tmp_path / "set", "--dry-run", "--json").json
    assert plan["to_mask"] == 2


def test_a_column_that_only_sounds_like_ours_is_not_taken_for_it(tmp_path):
    picture(tmp_path / "theirs/1.png")
    line = {"file_name": "1.png", "text": "A dog.", "key_objects": ["dog"]}
    (tmp_path / "theirs/metadata.jsonl").write_text(json.dumps(line) + "\n")
    answer = done("dataset", "build", "hub", tmp_path / "theirs", "--out", tmp_path / "out", "--json").json
    assert answer["skipped"] == {"no_annotation": 1}


def test_a_word_for_masks_without_one(tmp_path):
    source = foreign(tmp_path / "theirs", label=None)
    words = ("dataset", "build", "hub", source, "--image-column", "picture", "--out", tmp_path / "out")
    answer = run(*words)
    assert answer.code == 2
    assert "metadata.jsonl: line 1: Field 'category' is missing" in answer.err
    done(*words, "--category", "dog")
    assert read_dataset(tmp_path / "out")[1].key_objects[0].category == "dog"


def broken_parquet(root: Path) -> Path:
    path = next((foreign(root) / "data").iterdir())
    path.write_bytes(path.read_bytes()[:200])
    return root


def linked_picture(root: Path) -> Path:
    picture(root.parent / "secret.png")
    root.mkdir()
    (root / "1.png").symlink_to(root.parent / "secret.png")
    (root / "metadata.jsonl").write_text('{"file_name": "1.png", "text": "A secret."}\n')
    return root


def upward_picture(root: Path) -> Path:
    picture(root.parent / "secret.png")
    picture(root / "1.png")
    (root / "metadata.jsonl").write_text('{"file_name": "../secret.png", "text": "A secret."}\n')
    return root


def no_picture(root: Path) -> Path:
    picture(root / "1.png")
    (root / "1.png").write_bytes(b"no picture")
    (root / "metadata.jsonl").write_text('{"file_name": "1.png", "text": "A dog."}\n')
    return root


def other_mask(root: Path) -> Path:
    masks = [Image.fromarray(np.zeros((3, 3), dtype=np.uint8))] * 2
    return foreign(root, mask=masks, text=["A.", "B."])


def raw_rows(root: Path, **row: Any) -> Path:
    """Write Parquet whose pictures are not looked at by whoever wrote it."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})
    (root / "data").mkdir(parents=True)
    content = {"image": {"bytes": b"no picture", "path": None}, "text": "A dog.", **row}
    table = arrow.Table.from_pylist([content], schema=features.arrow_schema)
    parquet.write_table(table, root / "data/train-00000-of-00001.parquet")
    return root


PICTURE = ("--image-column", "picture")
REFUSED = {
    "no folder and no id": (lambda root: root, (), "is not a folder; expected one, or a hub id"),
    "broken Parquet": (broken_parquet, PICTURE, "Cannot "),
    "a link out of the folder": (linked_picture, (), "Path leaves the data folder"),
    "a path upwards": (upward_picture, (), "Cannot read split 'train' after row -1"),
    "no picture": (no_picture, (), "Cannot read picture"),
    "bytes that are no picture": (raw_rows, (), "Cannot read the picture of split 'train' row 0"),
    "no bytes": (lambda root: raw_rows(root, image=None), (), "No picture in split 'train' row 0"),
    "a missing file": (
        lambda root: raw_rows(root, image={"bytes": None, "path": str(root / "1.png")}),
        (),
        "Cannot read the picture of split 'train' row 0",
    ),
    "a file elsewhere": (
        lambda root: raw_rows(root, image={"bytes": None, "path": "/etc/hostname"}),
        (),
        "Path leaves the data folder: '/etc/hostname' in split 'train' row 0",
    ),
    "two pictures": (foreign, (), "Cannot tell which column is the picture: pictures in picture, mask"),
    "unknown column": (foreign, ("--captions-column", "words"), "No column 'words' for --captions-column"),
    "captions that are none": (
        foreign,
        (*PICTURE, "--captions-column", "label"),
        "No captions in split 'validation' row 0",
    ),
    "masks of another size": (other_mask, PICTURE, "Mask of another size: 3 x 3"),
}


@pytest.mark.parametrize(("make", "more", "part"), REFUSED.values(), ids=REFUSED)
def test_bad_input_is_named_and_leaves_nothing(tmp_path, make, more, part):
    answer = run("dataset", "build", "hub", make(tmp_path / "theirs"), *more, "--out", tmp_path / "out")
    assert answer.code == 2, answer.out
    assert part in answer.errors[0], answer.err
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))


def test_what_cannot_be_exported(tmp_path, folder):
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "metadata.jsonl").write_text("")
    for words, part in (
        ((folder, "--format", "arrow"), "Unknown hub format 'arrow'"),
        ((empty,), "Nothing to export"),
        ((tmp_path / "no",), "Not a data folder"),
    ):
        answer = run("dataset", "export", *words, "--out", tmp_path / "out")
        assert answer.code == 2
        assert part in answer.errors[0]
        assert not (tmp_path / "out").exists()


def test_a_split_that_the_hub_cannot_name(tmp_path, folder):
    copied = shutil.copytree(folder, tmp_path / "set")
    text = (copied / "metadata.jsonl").read_text().replace('"calibration"', '"my split"')
    (copied / "metadata.jsonl").write_text(text)
    answer = run("dataset", "export", copied, "--out", tmp_path / "out")
    assert answer.code == 2
    assert "Name of a split cannot go to the hub: 'my split'" in answer.errors[0]


def test_a_finished_export_stays_and_a_used_folder_is_not_overwritten(tmp_path, folder):
    words = ("dataset", "export", folder, "--out", tmp_path / "hub")
    done(*words)
    assert "Output already exists" in run(*words).err
    assert done(*words, "--resume").out.startswith("finished already")
    done(*words, "--overwrite")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("dear")
    assert "Will not overwrite" in run(*words[:-1], tmp_path / "mine", "--overwrite").err
    assert (tmp_path / "mine/letter.txt").is_file()


def test_without_the_extra_the_install_line_is_given(tmp_path, folder):
    code = (
        "import sys; sys.modules['datasets'] = None\n"
        "from headimpact.cli.main import main\n"
        f"sys.exit(main(['dataset', 'export', {str(folder)!r}, '--out', {str(tmp_path / 'out')!r}]))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert "pip install 'headimpact[hub]'" in answer.stderr
    assert not (tmp_path / "out").exists()
