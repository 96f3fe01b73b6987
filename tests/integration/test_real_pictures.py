"""Real pictures as they are: COCO's own files, and odd but valid picture files, are scored."""

import json
from pathlib import Path

import pytest
from PIL import Image

from headimpact.models.checkpoints import checkpoint_folder
from headimpact.scoring.head_scores import HeadScores
from tests.builders import shared_data
from tests.integration.conftest import done, run

FAST = ("--draws", 200, "--bootstrap", 50, "--donors", 4)
ODD = {
    "grey": "hopper_gray.jpg",
    "1-bit": "hopper_bw_500.png",
    "turned by EXIF": "hopper_orientation_6.jpg",
    "palette with transparency": "p_trns_single.png",
    "CMYK": "pil_sample_cmyk.jpg",
    "RGBA": "transparent.png",
}
BAD = ("broken.png", "decompression_bomb.gif", "truncated_jpeg.jpg")


@pytest.fixture
def embedded() -> str:
    folder = checkpoint_folder("embedded")
    if folder is None or not (folder / "model.safetensors").is_file():
        pytest.skip("needs the embedded checkpoint, which is not in this tree")
    return "embedded"


def stored_size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def odd_folder(root: Path, names: list[str]) -> Path:
    """Wrap pictures in our own format, each with a mask over the middle of its stored frame."""
    source = shared_data("odd_images")
    lines = []
    (root / "masks").mkdir(parents=True)
    for name in names:
        (root / name).write_bytes((source / name).read_bytes())
        size = (32, 32) if name in BAD else stored_size(root / name)
        mask = Image.new("L", size, 0)
        mask.paste(255, (size[0] // 4, size[1] // 4, size[0] // 2, size[1] // 2))
        mask.save(root / "masks" / f"{name}.png")
        line = {"file_name": name, "mask_file_name": f"masks/{name}.png", "category": "person", "text": "A person."}
        lines.append(json.dumps(line))
    (root / "metadata.jsonl").write_text("\n".join(lines))
    return root


def check_counts(out: Path, *, pictures: int) -> HeadScores:
    scores = HeadScores.read(out)
    assert scores.counts["used"] + sum(scores.counts["skipped"].values()) == pictures
    assert any("outside what this model knows" in warning for warning in scores.warnings)
    return scores


def test_some_coco_pictures_are_scored_with_a_warning(embedded, tmp_path):
    data = shared_data("coco_mini")
    words = ("--model", embedded, "--data", data, "--split", "all", "--limit", 6, "--examples", 1)
    answer = done("score", *words, *FAST, "--out", tmp_path / "scores")
    scores = HeadScores.read(tmp_path / "scores")
    assert scores.counts["used"] >= 1
    assert scores.counts["skipped"]["no_annotation"] >= 1, "some of the 42 pictures have captions but no annotation"
    assert "warning: The text is outside what this model knows" in answer.out
    page = tmp_path / "report.html"
    done("report", tmp_path / "scores", "--out", page)
    assert "outside what this model knows" in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_all_42_coco_pictures_are_scored_with_counts_that_add_up(embedded, tmp_path):
    data = shared_data("coco_mini")
    words = ("--model", embedded, "--data", data, "--split", "all", "--captions-per-image", 2)
    done("score", *words, *FAST, "--out", tmp_path / "scores")
    check_counts(tmp_path / "scores", pictures=42)


def test_the_real_folder_is_sound(tmp_path):
    answer = done("dataset", "validate", shared_data("coco_mini"), "--json").json
    assert answer["faults"] == []
    assert answer["used"] + sum(answer["skipped"].values()) == 42


@pytest.mark.parametrize("name", ["llava-siglip", "qwen2_5_vl"])
def test_odd_pictures_are_scored(tiny_checkpoint, tmp_path, name):
    root = odd_folder(tmp_path / "data", list(ODD.values()))
    words = ("--model", tiny_checkpoint(name), "--data", root, "--split", "all", "--examples", len(ODD))
    done("score", *words, *FAST, "--out", tmp_path / "scores")
    assert HeadScores.read(tmp_path / "scores").counts["used"] == len(ODD)


def test_odd_pictures_that_are_broken_are_named_one_by_one(tiny_llava, tmp_path):
    root = odd_folder(tmp_path / "data", [ODD["grey"], *BAD])
    words = ("score", "--model", tiny_llava, "--data", root, "--split", "all", *FAST, "--examples", 0)
    answer = run(*words, "--out", tmp_path / "scores")
    assert answer.code == 2
    assert all(any(name in line for line in answer.errors[1:]) for name in BAD)
    assert not (tmp_path / "scores").exists()
    done(*words, "--skip-bad", "--out", tmp_path / "scores")
    assert HeadScores.read(tmp_path / "scores").counts["skipped"] == {"bad_picture": 3}
