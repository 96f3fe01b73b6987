"""Masks and captions made by models, from the command line, with tiny models of the real classes."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from headimpact.annotation.loading import load_detector, load_segmenter
from headimpact.annotation.masks_from_text import PictureMasks, make_masks
from headimpact.data.formats import read_dataset
from headimpact.data.pictures import load_upright_rgb, unturn_mask
from tests.builders import picture
from tests.integration.conftest import done, run
from tests.integration.test_kill_resume import start_and_kill
from tests.unit.annotation import makers
from tests.unit.data.annotations.makers import boxes, captions

CAPTIONS = {
    "1.png": ["A small brown dog on a red sofa.", "A cat and a blue cup."],
    "2.png": ["It is nice."],
    "3.jpg": ["a cat, a blue cup"],
    "4.png": ["A dog."],
}
LOW = ("--box-threshold", 0.02, "--min-mask-confidence", 0, "--key-objects", "all", "--batch-size", 2)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> tuple[object, ...]:
    boxes_at, masks_at = tmp_path_factory.mktemp("boxes"), tmp_path_factory.mktemp("masks")
    makers.save_grounding_dino(boxes_at)
    makers.save_sam2_video(masks_at)
    return "--detector", boxes_at, "--segmenter", masks_at, "--device", "cpu"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Write four pictures, one turned, and a mask drawn on one."""
    folder = tmp_path / "images"
    for number, name in enumerate(CAPTIONS):
        picture(folder / name, (60, 90), orientation=6 if name.endswith("jpg") else 1, seed=number)
    return folder


def words(images: Path, *more: object, said: dict[str, list[str]] = CAPTIONS) -> list[str]:
    lines = [{"file_name": name, "captions": texts} for name, texts in said.items()]
    given = ("--images", images, "--captions", captions(images.parent, *lines), *more)
    return ["dataset", "build", "pictures", *map(str, given)]


def test_masks_of_the_captions_phrases(tmp_path, images, models):
    drawn = boxes(tmp_path, "4.png,dog,0,0,30,30")
    out = tmp_path / "set"
    answer = done(*words(images, "--masks", drawn, *models, *LOW), "--out", out, "--json").json
    dataset = read_dataset(out)
    assert dataset.image_ids == ("1.png", "3.jpg", "4.png")
    assert answer["left_out"] == {"no_annotation": 1}
    lines = [json.loads(line) for line in (out / "made_masks.jsonl").read_text().splitlines()]
    assert answer["made"]["masks made"] == sum(len(line["masks"]) for line in lines) > 0
    assert answer["made"]["phrases or boxes left out, no_phrase"] == 1
    assert [line["image_id"] for line in lines] == ["1.png", "2.png", "3.jpg"]
    by_people = dataset[2].key_objects
    assert [one.origin for one in by_people] == [None]
    for sample in dataset.samples[:2]:
        for one in sample.key_objects:
            assert one.origin is not None
            assert one.origin.models == (str(models[1]), str(models[3]))
            assert one.category == one.origin.phrase
            assert one.origin.phrase in " ".join(sample.captions).lower()
            assert one.origin.box_confidence >= 0.02
    assert "- masks made by models: 2 pictures" in (out / "README.md").read_text()


def test_a_turned_picture_is_seen_upright_and_its_mask_stored_as_it_is(tmp_path, images, models):
    out = tmp_path / "set"
    done(*words(images, *models, *LOW), "--out", out)
    sample = next(one for one in read_dataset(out) if one.image_id == "3.jpg")
    assert sample.orientation == 6
    detector, segmenter = load_detector(models[1], device="cpu"), load_segmenter(models[3], device="cpu")
    upright = load_upright_rgb(images / "3.jpg")
    (result,) = make_masks(
        [upright], CAPTIONS["3.jpg"], detector=detector, segmenter=segmenter, box_threshold=0.02, min_mask_confidence=0
    )
    expected = {(made.phrase.text, made.box): made.mask.decode() for made in result.masks}
    assert len(sample.key_objects) > 0
    for one in sample.key_objects:
        assert one.origin is not None
        seen = expected[one.origin.phrase, one.origin.box]
        assert one.mask.size_hw == (60, 90)
        assert (one.mask.decode() == unturn_mask(seen, 6)).all()
        assert (sample.upright_mask(one.mask) == seen).all()


def test_the_rule_decides_and_says_why(tmp_path, images, models):
    out = tmp_path / "set"
    given = words(images, *models, *LOW, "--key-objects", "rule")
    left_out = done(*given, "--out", out, "--json").json["left_out"]
    decisions = {line["image_id"]: line for line in map(json.loads, (out / "decisions.jsonl").read_text().splitlines())}
    assert set(decisions) == set(CAPTIONS)
    assert {name for name, line in decisions.items() if line["reason"] == "kept"} == set(read_dataset(out).image_ids)
    assert left_out == Counter(line["reason"] for line in decisions.values() if line["reason"] != "kept")


def test_sam_3_does_both(tmp_path, images):
    pytest.importorskip("torchvision", reason="SAM 3 needs torchvision", exc_type=ImportError)
    makers.save_sam3(tmp_path / "sam3")
    given = words(images, "--text-segmenter", tmp_path / "sam3", "--threshold", 0, "--key-objects", "all")
    done(*given, "--device", "cpu", "--out", tmp_path / "set")
    origins = [one.origin for sample in read_dataset(tmp_path / "set") for one in sample.key_objects]
    assert {origin.models for origin in origins if origin} == {(str(tmp_path / "sam3"),)}
    assert {origin.mask_confidence for origin in origins if origin} == {None}


def test_sam_3_without_torchvision(tmp_path, images, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    answer = run(*words(images, "--text-segmenter", "facebook/sam3"), "--out", tmp_path / "set")
    assert answer.code == 2
    assert "pip install torchvision" in answer.errors[0]
    assert not (tmp_path / "set").exists()


def test_nothing_found_is_one_clear_line_and_keeps_the_work(tmp_path, images, models):
    answer = run(*words(images, *models, "--box-threshold", 1), "--out", tmp_path / "set")
    assert answer.code == 2
    assert "No picture left of" in answer.errors[0]
    assert "4 no_annotation" in answer.errors[0]
    assert (tmp_path / "set/made_masks.jsonl").is_file()
    assert not (tmp_path / "set/metadata.jsonl").exists()


def test_described_by_a_model(tmp_path, images, models, tiny_llava):
    drawn = boxes(tmp_path, *(f"{name},dog,0,0,30,30" for name in CAPTIONS))
    said = {name: CAPTIONS[name] for name in ("1.png", "4.png")}
    describer = (
        "--describer",
        tiny_llava,
        "--describe-prompt",
        "What is it?",
        "--max-new-tokens",
        5,
        "--device",
        "cpu",
    )
    out = tmp_path / "set"
    answer = done(*words(images, "--masks", drawn, *describer, said=said), "--out", out, "--json").json
    dataset = read_dataset(out)
    made = {sample.image_id: sample.caption_origin for sample in dataset}
    assert made["1.png"] is None
    assert made["4.png"] is None
    described = [origin for origin in made.values() if origin is not None]
    assert answer["made"]["captions made"] == len(described) == 2
    assert {(origin.model, origin.prompt) for origin in described} == {(str(tiny_llava), "What is it?")}
    lines = [json.loads(line) for line in (out / "made_captions.jsonl").read_text().splitlines()]
    texts = {line["image_id"]: line["caption"] for line in lines}
    assert all(sample.captions == (texts[sample.image_id],) for sample in dataset if sample.caption_origin)
    assert "- captions made by models: 2 pictures" in (out / "README.md").read_text()


def test_captions_and_masks_in_one_go(tmp_path, images, models, tiny_llava):
    given = ["dataset", "build", "pictures", "--images", str(images), *map(str, (*models, *LOW))]
    plan = done(*given, "--describer", tiny_llava, "--out", tmp_path / "set", "--dry-run", "--json").json
    assert plan == {"pictures": 0, "left_out": {"no_caption": 4}, "to_describe": 4, "to_mask": 4}
    assert not (tmp_path / "set").exists()
    answer = run(*given, "--describer", tiny_llava, "--max-new-tokens", 5, "--out", tmp_path / "set", "--json")
    made = [
        [json.loads(line) for line in (tmp_path / "set" / name).read_text().splitlines()]
        for name in ("made_captions.jsonl", "made_masks.jsonl")
    ]
    assert [line["image_id"] for line in made[0]] == list(CAPTIONS)
    assert [line["image_id"] for line in made[1]] == [line["image_id"] for line in made[0] if line["caption"]]
    found = [line["image_id"] for line in made[1] if line["masks"]]
    assert answer.code == (0 if found else 2)
    assert (not found) or answer.json["pictures"] == len(found)


def test_a_batch_that_does_not_fit_the_memory_is_halved(tmp_path, images, models, monkeypatch):
    from headimpact.workflows import annotation_models

    given = words(images, *models, *LOW)
    done(*given, "--batch-size", 1, "--out", tmp_path / "one")
    asked = []

    def small(batch: list[Image.Image], *rest: Any, **options: Any) -> list[PictureMasks]:
        asked.append(len(batch))
        if len(batch) > 1:
            raise torch.OutOfMemoryError
        return make_masks(batch, *rest, **options)

    monkeypatch.setattr(annotation_models, "make_masks", small)
    done(*given, "--batch-size", 4, "--out", tmp_path / "halved")
    assert asked == [4, 2, 1, 1, 1, 1, 1]
    one, halved = ((tmp_path / name / "made_masks.jsonl").read_bytes() for name in ("one", "halved"))
    assert one == halved


def test_a_killed_run_ends_with_the_same_bits(tmp_path, images, models):
    given = words(images, *models, *LOW, "--shard-size", 1)
    done(*given, "--out", tmp_path / "whole")
    out = tmp_path / "out"
    start_and_kill(
        [*given, "--out", str(out), "--resume"], out=out, work="made_masks/part-*.jsonl", files=2, delay=0.001
    )
    assert not (out / "metadata.jsonl").exists(), "the run was finished before it was killed"
    kept = {path.name: path.stat().st_mtime_ns for path in out.glob("made_masks/part-*")}
    done(*given, "--out", out, "--resume")
    assert 2 <= len(kept) <= 4
    files = [path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*") if path.is_file()]
    assert len(files) > 10
    for name in files:
        if name.name not in {"config.yaml", "provenance.json"}:
            assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert not list(out.rglob(".*.tmp"))


def test_other_captions_than_when_it_began_are_refused(tmp_path, images, models):
    out = tmp_path / "set"
    assert run(*words(images, *models, "--box-threshold", 1), "--out", out).code == 2
    before = (out / "made_masks.jsonl").read_bytes()
    other = {**CAPTIONS, "2.png": ["A dog."]}
    answer = run(*words(images, *models, "--box-threshold", 1, said=other), "--out", out, "--resume")
    assert answer.code == 2
    assert "captions was" in answer.errors[0]
    assert (out / "made_masks.jsonl").read_bytes() == before


REFUSED = {
    "half a pair": (("--detector", "x"), "--detector without --segmenter"),
    "the other half": (("--segmenter", "x"), "--segmenter without --detector"),
    "two ways": (("--detector", "x", "--segmenter", "x", "--text-segmenter", "x"), "pass one way of making masks"),
    "no share": (("--box-threshold", 2), "--box-threshold is 2.0; expected a number from 0 to 1"),
    "no batch": (("--batch-size", 0), "--batch-size is 0; expected 1 or more"),
    "no prompt": (("--describe-prompt", " "), "--describe-prompt is ' '"),
    "no model": (("--detector", "/no/where", "--segmenter", "/no/where"), "Model not found: '/no/where'"),
    "another kind": (("--describer", "/no/where"), "/no/where"),
}


@pytest.mark.parametrize(("more", "part"), REFUSED.values(), ids=REFUSED)
def test_bad_options_give_one_line_and_nothing_half_written(tmp_path, images, more, part):
    said = {} if "--describer" in more else CAPTIONS
    answer = run(*words(images, *more, said=said), "--out", tmp_path / "set")
    assert answer.code == 2, answer.out
    assert len(answer.errors) == 1
    assert part in answer.errors[0]
    assert not (tmp_path / "set").exists()
