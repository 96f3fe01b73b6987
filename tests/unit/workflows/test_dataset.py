from pathlib import Path

import pytest

from headimpact.core.errors import OptionError
from headimpact.data.pictures import PictureFacts, read_picture_facts
from headimpact.workflows.configs import BuildScenesConfig, DataOptions, ValidateConfig
from headimpact.workflows.dataset import (
    GENERAL_PROMPT,
    holds_scenes,
    prompt_for,
    read_split,
    scene_counts,
    split_sizes,
    validate_command,
)
from tests.builders import coco_folder


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({}, {"calibration": 128, "train": 1024, "validation": 128, "test": 256}, id="defaults"),
        pytest.param({"count": 12}, {"calibration": 1, "train": 8, "validation": 1, "test": 2}, id="in proportion"),
        pytest.param({"count": 1}, {"train": 1}, id="one"),
        pytest.param({"validation": 0, "count": 11}, {"calibration": 1, "train": 8, "test": 2}, id="a split left out"),
    ],
)
def test_scenes_are_spread_over_the_splits(tmp_path, options, expected):
    counts = scene_counts(BuildScenesConfig(out=tmp_path, **options))
    assert counts == expected
    assert "count" not in options or sum(counts.values()) == options["count"]


@pytest.mark.parametrize(
    "options",
    [{"count": 0}, {"train": -1}, {"calibration": 0, "train": 0, "validation": 0, "test": 0}],
    ids=["count of none", "negative", "nothing at all"],
)
def test_no_scene_is_refused(tmp_path, options):
    with pytest.raises(OptionError, match="expected at least one"):
        scene_counts(BuildScenesConfig(out=tmp_path, **options))


@pytest.mark.parametrize("text", [None, "[", "{}", '{"images": [1], "info": {}}'], ids=["no file", "broken", "{}", "x"])
def test_other_folders_hold_no_scenes(tmp_path, text):
    if text is not None:
        (tmp_path / "instances.json").write_text(text)
    assert not holds_scenes(tmp_path, task="where", counts={"train": 1}, seed=0)


def test_a_split_is_read_and_cut_down(tmp_path):
    root = coco_folder(tmp_path, count=5, split="train")
    assert len(read_split(DataOptions(data=root), split="train", seed=0)) == 5
    drawn = read_split(DataOptions(data=root, limit=2), split="all", seed=3)
    assert len(drawn) == 2
    assert split_sizes(drawn) == {"train": 2}
    assert prompt_for(DataOptions(data=root), drawn) == GENERAL_PROMPT
    assert prompt_for(DataOptions(data=root, prompt="What?"), drawn) == "What?"


def test_pictures_without_a_split_count_as_none(tmp_path):
    assert split_sizes(read_split(DataOptions(data=coco_folder(tmp_path)), split="all", seed=0)) == {"(none)": 3}


@pytest.mark.parametrize("broken", [False, True], ids=["sound", "with a fault"])
def test_validating_opens_every_picture_once(tmp_path, monkeypatch, capsys, broken):
    root = coco_folder(tmp_path)
    if broken:
        (root / "images" / "2.png").write_text("no picture")
    opened: list[str] = []

    def counted(path: Path) -> PictureFacts:
        opened.append(path.name)
        return read_picture_facts(path)

    monkeypatch.setattr("headimpact.data.inspection.read_picture_facts", counted)
    assert validate_command(ValidateConfig(data=root)) == (1 if broken else 0)
    assert sorted(opened) == ["1.png", "2.png", "3.png"]
    out = capsys.readouterr().out
    assert ("1 fault in" in out) is broken


@pytest.mark.parametrize("broken", [True, False])
def test_faults_of_questions_are_listed_beside_those_of_pictures(tmp_path, capsys, broken):
    root = coco_folder(tmp_path)
    if broken:
        (root / "images" / "2.png").write_text("no picture")
    (root / "questions.jsonl").write_text('{"question_id": 1, "image_id": 1, "question": ""}\n')
    assert validate_command(ValidateConfig(data=root)) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[-2].startswith("questions.jsonl: line 1: Empty question '1'")
    assert out[-1].startswith("2 faults" if broken else "1 fault")
