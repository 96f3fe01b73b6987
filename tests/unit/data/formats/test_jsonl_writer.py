"""Writing our own format: the round trip loses nothing."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from headimpact.core.errors import OptionError, OutputInUseError
from headimpact.data.dataset import KeyObjectDataset
from headimpact.data.formats import read_dataset
from headimpact.data.formats.jsonl_writer import write_jsonl_dataset
from headimpact.data.masks import RleMask
from headimpact.data.pictures import upright_size
from headimpact.data.sample import KeyObject, Sample
from tests.builders import coco_folder, mask, picture, sample, shared_data

FIELDS = ("image_id", "size_hw", "captions", "split", "prompt", "licence", "orientation")


def same(first, second):
    """Compare everything two samples say, pictures and masks decoded."""
    assert [getattr(first, name) for name in FIELDS] == [getattr(second, name) for name in FIELDS]
    assert [(k.category, k.names) for k in first.key_objects] == [(k.category, k.names) for k in second.key_objects]
    for one, two in zip(first.key_objects, second.key_objects, strict=True):
        assert np.array_equal(first.upright_mask(one.mask), second.upright_mask(two.mask))
    assert np.array_equal(first.load_mask(), second.load_mask())
    assert first.image_path.read_bytes() == second.image_path.read_bytes()


def round_trip(dataset, out):
    """Write, read, and compare."""
    write_jsonl_dataset(dataset, out)
    again = read_dataset(out)
    assert again.fingerprint == dataset.fingerprint
    assert again.info == dataset.info
    for first, second in zip(dataset, again, strict=True):
        same(first, second)
    return again


def test_coco_folder(tmp_path):
    def edit(instances, captions):
        instances["info"]["prompt"] = "Say\nwhat."
        instances["images"][0]["split"] = "test"
        captions["annotations"].append({"image_id": 1, "caption": 'Hund "Rex" \u00e4\u72ac'})

    again = round_trip(read_dataset(coco_folder(tmp_path / "coco", count=11, edit=edit)), tmp_path / "ours")
    assert again.image_ids[-1] == "11"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size_hw", [pytest.param((3, 5), id="oblong"), pytest.param((4, 4), id="square")])
def test_turned_pictures_with_several_key_objects(tmp_path, orientation, size_hw):
    generator = np.random.default_rng(orientation)
    upright = upright_size(size_hw, orientation)
    masks = [generator.random(size_hw) < 0.5, generator.random(upright) < 0.5]
    made = Sample(
        image_id="a/b",
        image_path=picture(tmp_path / "p.png", size_hw, orientation=orientation),
        size_hw=upright,
        key_objects=tuple(KeyObject(n, (n, "x"), RleMask.from_mask(m)) for n, m in zip("ab", masks, strict=True)),
        captions=("A.", "B."),
        orientation=orientation,
    )
    again = round_trip(KeyObjectDataset(samples=(made,), root=tmp_path / "none"), tmp_path / "ours")
    line = json.loads((tmp_path / "ours" / "metadata.jsonl").read_text())
    assert (line["category"], line["mask_file_name"]) == ("a", "masks/p.png")
    with Image.open(tmp_path / "ours" / "masks" / "p.png") as written:
        union = RleMask.from_mask(np.asarray(written))
    assert again[0].upright_mask(union).tolist() == made.load_mask().tolist()


def test_pictures_of_the_same_name_stay_apart(tmp_path):
    masks = [("#.", ".."), (".#", ".."), ("..", "#."), ("..", ".#")]
    samples = [sample(tmp_path / str(n), *rows, image_id=str(n)) for n, rows in enumerate(masks)]
    names = ["p.png", "P.png", "p_1.png", "p.0.png"]
    moved = [
        dataclasses.replace(one, image_path=one.image_path.rename(one.image_path.with_name(name)))
        for one, name in zip(samples, names, strict=True)
    ]
    round_trip(KeyObjectDataset(samples=tuple(moved), root=tmp_path / "none"), tmp_path / "ours")
    assert len(list((tmp_path / "ours" / "images").iterdir())) == 4


def test_lines_are_an_imagefolder(tmp_path):
    write_jsonl_dataset(read_dataset(coco_folder(tmp_path / "coco")), tmp_path / "ours")
    lines = [json.loads(line) for line in (tmp_path / "ours" / "metadata.jsonl").read_text().splitlines()]
    assert lines[0] == {
        "image_id": "1",
        "file_name": "images/1.png",
        "mask_file_name": "masks/1.png",
        "captions": ["Dog 1."],
        "category": "dog",
        "names": lines[0]["names"],
        "split": None,
        "prompt": None,
        "licence": None,
        "area_share": 0.166667,
        "categories": ["dog"],
    }
    assert {tuple(line) for line in lines} == {tuple(lines[0])}


def test_writing_is_whole_or_not_at_all(tmp_path):
    dataset = read_dataset(coco_folder(tmp_path / "coco"))
    dataset[2].image_path.unlink()
    with pytest.raises(Exception, match=r"3\.png|No such file"):
        write_jsonl_dataset(dataset, tmp_path / "ours")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["coco"]


def test_used_folder_is_refused(tmp_path):
    dataset = read_dataset(coco_folder(tmp_path / "coco"))
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "note").touch()
    with pytest.raises(OutputInUseError, match="--overwrite"):
        write_jsonl_dataset(dataset, tmp_path / "ours")
    write_jsonl_dataset(dataset, tmp_path / "ours", overwrite=True)
    assert not (tmp_path / "ours" / "note").exists()


@pytest.mark.parametrize("out", ["coco", "."])
def test_source_is_never_overwritten(tmp_path, out):
    dataset = read_dataset(coco_folder(tmp_path / "coco"))
    with pytest.raises(OptionError, match="Cannot write over the source"):
        write_jsonl_dataset(dataset, tmp_path / out, overwrite=True)
    assert len(read_dataset(tmp_path / "coco")) == 3


def test_real_coco(tmp_path):
    round_trip(read_dataset(shared_data("coco_mini")), tmp_path / "ours")


def test_mask_is_of_one_bit(tmp_path):
    made = sample(tmp_path, "#..", "..#")
    write_jsonl_dataset(KeyObjectDataset(samples=(made,), root=tmp_path / "none"), tmp_path / "ours")
    with Image.open(tmp_path / "ours" / "masks" / "1.png") as written:
        assert written.mode == "1"
        assert np.asarray(written).tolist() == mask("#..", "..#").tolist()
