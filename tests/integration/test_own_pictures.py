"""`headimpact dataset build pictures`: from a folder of pictures to a data set that `score` takes."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headimpact.data.formats import read_dataset
from tests.builders import picture, shared_data
from tests.integration.conftest import done, run
from tests.unit.data.annotations.makers import boxes, captions, cvat, labelme, pictures, png

NAMES = tuple(f"{number}.png" for number in range(1, 13))


def folder(root: Path) -> tuple[object, ...]:
    """Write twelve pictures with captions and boxes, two of them without."""
    images = pictures(root, *NAMES)
    said = captions(root, *({"file_name": name, "captions": [f"A dog, {name}."]} for name in NAMES[:-1]))
    drawn = boxes(root, *(f"{name},dog,1,1,{2 + n % 3},3" for n, name in enumerate(NAMES) if n != 4))
    return ("dataset", "build", "pictures", "--images", images, "--captions", said, "--masks", drawn)


def test_from_pictures_to_scores(tmp_path, tiny_llava):
    out = tmp_path / "set"
    answer = done(*folder(tmp_path), "--out", out, "--json").json
    assert (answer["pictures"], answer["left_out"]) == (10, {"no_annotation": 1, "no_caption": 1})
    assert answer["categories"] == {"dog": 10}
    assert sum(answer["splits"].values()) == 10
    assert set(answer["splits"]) == {"calibration", "train", "validation", "test"}
    dataset = read_dataset(out)
    assert len(dataset) == 10
    assert dataset[0].load_mask().sum() == 2
    left_out = list(csv.DictReader((out / "left_out.csv").read_text(encoding="utf-8").splitlines()))
    assert left_out == [
        {"image_id": "12.png", "reason": "no_caption"},
        {"image_id": "5.png", "reason": "no_annotation"},
    ]
    assert {path.name for path in out.iterdir()} == {
        "metadata.jsonl", "images", "masks", "left_out.csv", "README.md", "config.yaml", "provenance.json", "info.json",
        "categories.svg", "areas.svg",
    }  # fmt: skip
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "10 pictures of 12 that were looked at" in card
    assert [word for word in ("attribution.csv", "questions", "made by models") if word in card] == []
    assert (out / "images" / "1.png").samefile(tmp_path / "images" / "1.png")
    fast = ("--draws", 50, "--bootstrap", 20, "--donors", 2, "--examples", 0, "--split", "all")
    scored = done("score", "--model", tiny_llava, "--data", out, *fast, "--out", tmp_path / "scores", "--json").json
    assert scored["counts"]["used"] == 10


def test_a_picture_that_is_dropped_is_gone_from_everything(tmp_path):
    out, marked = tmp_path / "set", tmp_path / "bad.txt"
    done(*folder(tmp_path), "--out", out)
    marked.write_text("3.png\n")
    assert "dropped 1 pictures" in done("dataset", "drop", out, "--list", marked).out
    assert "dropped before: 1" in done("dataset", "drop", out, "--list", marked).out
    assert len(read_dataset(out)) == 9
    assert not list(out.rglob("3.png"))
    assert (tmp_path / "images/3.png").is_file(), "the picture that it was made from"
    found = done("dataset", "stats", out, "--json").json
    assert found["reasons"] == {"kept": 9, "no_caption": 1, "no_annotation": 1, "dropped": 1}
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "9 pictures of 12 that were looked at" in card
    assert "| was marked as bad by a person | 1 |" in card


def test_the_same_pictures_and_seed_give_the_same_bytes(tmp_path):
    words = folder(tmp_path)
    for name in ("a", "b"):
        done(*words, "--out", tmp_path / name)
    assert (tmp_path / "a/metadata.jsonl").read_bytes() == (tmp_path / "b/metadata.jsonl").read_bytes()
    done(*words, "--out", tmp_path / "c", "--seed", 1)
    assert (tmp_path / "a/metadata.jsonl").read_bytes() != (tmp_path / "c/metadata.jsonl").read_bytes()


def test_own_splits_are_kept_and_other_pictures_get_none(tmp_path):
    images = pictures(tmp_path)
    said = captions(
        tmp_path, {"file_name": "1.png", "caption": "A.", "split": "dev"}, {"file_name": "2.png", "text": "B"}
    )
    for number in (1, 2):
        png(tmp_path / "masks" / "dog" / f"{number}.png")
    words = ("--images", images, "--captions", said, "--masks", tmp_path / "masks", "--out", tmp_path / "out")
    assert done("dataset", "build", "pictures", *words, "--json").json["splits"] == {"dev": 1, "(none)": 1}


def test_which_of_several_objects_are_key(tmp_path):
    images = pictures(tmp_path, "1.png", "2.png", "3.png")
    texts = ("A dog beside a sofa.", "Ein Hund.", "Ein Hund.")
    said = captions(tmp_path, *({"file_name": f"{n}.png", "text": text} for n, text in enumerate(texts, start=1)))
    objects = (
        "1.png,sofa,0,0,6,1",
        "1.png,dog,1,1,3,3",
        "2.png,sofa,0,0,6,1",
        "2.png,dog,1,1,3,3",
        "3.png,dog,0,0,1,1",
    )
    words = ("--images", images, "--captions", said, "--masks", boxes(tmp_path, *objects))
    found = {}
    for name in ("rule", "largest", "all"):
        given = (*words, "--key-objects", name, "--out", tmp_path / name)
        answer = done("dataset", "build", "pictures", *given, "--json").json
        found[name] = (
            answer["left_out"],
            {sample.image_id: [one.category for one in sample.key_objects] for sample in read_dataset(tmp_path / name)},
        )
    assert found["rule"] == ({"no_object_named": 1}, {"1.png": ["sofa", "dog"], "3.png": ["dog"]})
    assert found["largest"] == ({}, {"1.png": ["sofa"], "2.png": ["sofa"], "3.png": ["dog"]})
    assert found["all"] == ({}, {"1.png": ["sofa", "dog"], "2.png": ["sofa", "dog"], "3.png": ["dog"]})
    lines = (tmp_path / "rule/decisions.jsonl").read_text().splitlines()
    assert [(line["image_id"], line["reason"]) for line in map(json.loads, lines)] == [
        ("1.png", "kept"),
        ("2.png", "no_object_named"),
    ]
    assert not (tmp_path / "all/decisions.jsonl").exists()


def test_a_turned_picture_keeps_its_mask_where_it_was_drawn(tmp_path):
    images = picture(tmp_path / "images" / "1.jpg", (40, 60), orientation=6).parent
    said = captions(tmp_path, {"file_name": "1.jpg", "caption": "A dog."})
    drawn = cvat(
        tmp_path, '<box label="dog" xtl="0" ytl="0" xbr="10" ybr="20"/>', image='name="1.jpg" width="40" height="60"'
    )
    words = ("--images", images, "--captions", said, "--masks", drawn, "--out", tmp_path / "out")
    done("dataset", "build", "pictures", *words)
    (made,) = read_dataset(tmp_path / "out")
    assert made.load_image().size == (40, 60)
    assert np.argwhere(made.load_mask()).max(axis=0).tolist() == [19, 9]


def test_real_pictures_with_cocos_file(tmp_path):
    """Polygons in parts, run lengths and crowds of COCO; every picture is used or has its reason."""
    coco = shared_data("coco_mini")
    lists = {name: json.loads((coco / f"{name}.json").read_text()) for name in ("instances", "captions")}
    names = {image["id"]: image["file_name"] for image in lists["instances"]["images"]}
    texts: dict[str, list[str]] = {}
    for record in lists["captions"]["annotations"]:
        texts.setdefault(names[record["image_id"]], []).append(record["caption"])
    said = captions(tmp_path, *({"file_name": name, "captions": of_one} for name, of_one in texts.items()))
    words = ("--images", coco / "images", "--captions", said, "--masks", coco / "instances.json")
    answer = done("dataset", "build", "pictures", *words, "--out", tmp_path / "set", "--json").json
    assert answer["pictures"] + sum(answer["left_out"].values()) == len(names)
    assert answer["left_out"]["no_annotation"] == 2
    assert answer["pictures"] > 20
    by_name = {sample.image_path.name: sample for sample in read_dataset(coco)}
    for made in read_dataset(tmp_path / "set"):
        assert made.captions == by_name[made.image_id].captions
        assert made.load_image().tobytes() == by_name[made.image_id].load_image().tobytes()


def test_finished_and_started_runs(tmp_path):
    words = (*folder(tmp_path), "--out", tmp_path / "set")
    plan = done(*words, "--dry-run").out
    assert "pictures that have all: 10" in plan
    assert not (tmp_path / "set").exists()
    done(*words)
    before = (tmp_path / "set/metadata.jsonl").stat()
    assert done(*words, "--resume").out.startswith("finished already")
    assert (tmp_path / "set/metadata.jsonl").stat() == before
    assert "Output already exists" in run(*words).err
    assert "--key-objects is 'all' now" in run(*words, "--resume", "--key-objects", "all").err
    done(*words, "--overwrite", "--key-objects", "all")


def test_a_run_killed_while_it_moved_files_is_gone_on_with(tmp_path):
    words = (*folder(tmp_path), "--out", tmp_path / "set")
    done(*words)
    whole = (tmp_path / "set/metadata.jsonl").read_bytes()
    (tmp_path / "set/metadata.jsonl").unlink()
    (tmp_path / "set/.dataset.tmp/masks").mkdir(parents=True)
    done(*words, "--resume")
    assert (tmp_path / "set/metadata.jsonl").read_bytes() == whole
    assert not (tmp_path / "set/.dataset.tmp").exists()


def test_skip_bad_leaves_a_picture_out_but_not_a_fault_of_the_lists(tmp_path):
    words = (*folder(tmp_path), "--out", tmp_path / "set", "--skip-bad")
    (tmp_path / "images/1.png").write_bytes(b"no picture")
    assert done(*words, "--json").json["left_out"]["bad_picture"] == 1
    (tmp_path / "captions.jsonl").write_text('{"file_name": "nowhere.png"}')
    answer = run(*words, "--overwrite")
    assert answer.code == 2
    assert "captions.jsonl: line 1: No such picture: 'nowhere.png'" in answer.errors[0]


def spoilt(root: Path, *words: object) -> tuple[object, ...]:
    return (*folder(root), *words)


def broken_picture(root: Path) -> tuple[object, ...]:
    words = folder(root)
    (root / "images/3.png").write_bytes((root / "images/3.png").read_bytes()[:40])
    return words


def broken_labels(root: Path) -> tuple[object, ...]:
    words = folder(root)
    (labelme(root) / "1.json").write_bytes(b'{"imagePath": "caf\xe9.png"}')
    return (*words, "--masks", root / "labels")


def linked_picture(root: Path) -> tuple[object, ...]:
    words = folder(root)
    Image.new("RGB", (6, 4)).save(root / "secret.png")
    (root / "images/secret.png").symlink_to(root / "secret.png")
    return words


REFUSED = {
    "a broken picture": (broken_picture, "images/3.png: Cannot read picture"),
    "a label file in Latin-1": (broken_labels, "labels/1.json: Unreadable file"),
    "a link out of the folder": (linked_picture, "images/secret.png: Path leaves the data folder"),
    "no captions at all": (
        lambda root: folder(root)[:5] + folder(root)[7:],
        "12 no_caption. A picture needs a caption",
    ),
    "no masks at all": (lambda root: folder(root)[:7], "11 no_annotation"),
    "unknown format": (lambda root: spoilt(root, "--masks-format", "voc"), "Unknown annotation format 'voc'"),
    "unknown choice": (lambda root: spoilt(root, "--key-objects", "al"), "Did you mean 'all'"),
}


@pytest.mark.parametrize(("make", "part"), REFUSED.values(), ids=REFUSED)
def test_bad_input_gives_one_line_and_nothing_half_written(tmp_path, make, part):
    answer = run(*make(tmp_path), "--out", tmp_path / "out")
    assert answer.code == 2, answer.out
    assert len(answer.errors) == 1, answer.err
    assert part in answer.errors[0]
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".*"))


def test_faults_are_listed_all_at_once(tmp_path):
    words = broken_picture(tmp_path)
    (tmp_path / "captions.jsonl").write_text('{"file_name": "../1.png"}\n{"file_name": "1.png", "caption": 3}\n')
    answer = run(*words, "--out", tmp_path / "out")
    assert answer.code == 2
    assert answer.errors[0].startswith("headimpact: error: Data folder cannot be used: 3 faults in")
    assert [line.split(": ")[:2] for line in answer.errors[1:]] == [
        ["  captions.jsonl", "line 1"],
        ["  captions.jsonl", "line 2"],
        ["  images/3.png", "Cannot read picture"],
    ]


@pytest.mark.parametrize("inside", ["images/out", "."])
def test_input_and_output_are_kept_apart(tmp_path, inside):
    answer = run(*folder(tmp_path), "--out", tmp_path / inside, "--overwrite")
    assert answer.code == 2
    assert len(json.dumps(answer.errors)) > 10
    assert len(list((tmp_path / "images").iterdir())) == len(NAMES)


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    words = folder(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    for module, name in ((os, "link"), (shutil, "copyfile")):
        monkeypatch.setattr(module, name, full)
    answer = run(*words, "--out", tmp_path / "out")
    assert answer.code == 1
    assert "No space left on device" in answer.errors[0]
    assert not (tmp_path / "out").exists()
