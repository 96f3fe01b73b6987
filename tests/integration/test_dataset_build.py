"""`dataset build coco`: from COCO's lists to a folder that the whole main job runs from."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from headimpact.data.build.picture_builder import BuildRule
from headimpact.data.formats import read_dataset
from headimpact.data.masks import read_mask_file
from headimpact.data.splits import SHARES
from headimpact.workflows.dataset_configs import BuildCocoConfig
from headimpact.workflows.dataset_options import build_rule, read_shares
from tests.builders import Edit, coco_folder, shared_data
from tests.integration.conftest import Answer, done, run
from tests.integration.makers import bomb, truncated

TABLES = ("metadata.jsonl", "decisions.jsonl", "questions.jsonl", "attribution.csv", "info.json", "README.md")


def build_words(source: Path, *words: object) -> tuple[object, ...]:
    lists = ("--instances", source / "instances.json", "--captions", source / "captions.json")
    workers = () if "--workers" in words else ("--workers", 1)
    return ("dataset", "build", "coco", *lists, "--images", source / "images", *workers, *words)


def built(root: Path, *words: object, count: int = 3, edit: Edit | None = None) -> Path:
    """Build a data set of a few pictures of dogs."""
    source = coco_folder(root / "source", count=count, edit=edit)
    done(*build_words(source, *words, "--out", root / "built"))
    return root / "built"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def content(folder: Path) -> dict[str, bytes]:
    """Give every file of a data set but those that name its own folder and the commit."""
    own = {"config.yaml", "provenance.json"}
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in own)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


# what comes out


def test_a_built_folder_holds_what_its_tables_say(tmp_path):
    def edit(instances: dict[str, Any], captions: dict[str, Any]) -> None:
        instances["licenses"] = [{"id": 1, "name": "By", "url": "http://creativecommons.org/licenses/by/2.0/"}]
        instances["images"][0].update(license=1, flickr_url="http://example.org/1")
        captions["annotations"].insert(0, {"id": 90, "image_id": 1, "caption": " a lawn "})

    out = built(tmp_path, edit=edit)
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [*TABLES, "images", "masks", "categories.svg", "areas.svg", "config.yaml", "provenance.json"]
    )
    line = lines(out / "metadata.jsonl")[0]
    split = line.pop("split")
    assert split in {"calibration", "train", "validation", "test"}
    assert line == {
        "image_id": "1",
        "file_name": "images/1.png",
        "mask_file_name": "masks/1.png",
        "captions": ["Dog 1.", "A lawn."],
        "captions_original": ["Dog 1.", " a lawn "],
        "category": "dog",
        "key_objects": [{"mask_file_name": "masks/1.png", "category": "dog"}],
        "licence": "By (http://creativecommons.org/licenses/by/2.0/)",
        "area_share": round(4 / 24, 6),
        "categories": ["dog"],
    }
    assert int(read_mask_file(out / "masks" / "1.png").sum()) == 4
    assert Path(out / "images" / "1.png").samefile(tmp_path / "source" / "images" / "1.png")
    rows = list(csv.DictReader((out / "attribution.csv").read_text(encoding="utf-8").splitlines()))
    assert rows[0] == {
        "image_id": "1", "file_name": "images/1.png", "licence": line["licence"], "source": "http://example.org/1",
    }  # fmt: skip
    assert [decision["reason"] for decision in lines(out / "decisions.jsonl")] == ["kept"] * 3
    questions = lines(out / "questions.jsonl")
    assert {question["image_id"] for question in questions} == {"1", "2", "3"}
    assert all(question["split"] for question in questions)


def test_two_key_objects_have_a_mask_each_and_one_together(tmp_path):
    def edit(instances: dict[str, Any], captions: dict[str, Any]) -> None:
        cat = [[4, 1, 6, 1, 6, 3, 4, 3]]
        instances["annotations"].append({"id": 99, "image_id": 1, "category_id": 17, "segmentation": cat})
        captions["annotations"][0]["caption"] = "A dog and a cat"

    out = built(tmp_path, edit=edit)
    line = lines(out / "metadata.jsonl")[0]
    assert {block["category"] for block in line["key_objects"]} == {"dog", "cat"}
    areas = [int(read_mask_file(out / block["mask_file_name"]).sum()) for block in line["key_objects"]]
    assert (areas, int(read_mask_file(out / line["mask_file_name"]).sum())) == ([4, 4], 8)
    sample = read_dataset(out)[0]
    assert [key_object.category for key_object in sample.key_objects] == [
        block["category"] for block in line["key_objects"]
    ]


@pytest.mark.parametrize("images_as", ["link", "copy", "reference"])
def test_pictures_are_linked_copied_or_left_where_they_are(tmp_path, images_as):
    out = built(tmp_path, "--images-as", images_as)
    source = tmp_path / "source" / "images"
    if images_as == "reference":
        assert not (out / "images").exists()
        refused = run("dataset", "validate", out)
        assert (refused.code, "--images" in refused.errors[0]) == (2, True)
        assert len(read_dataset(out, images=source)) == 3
        assert done("dataset", "validate", out, "--images", source).code == 0
        return
    assert Path(out / "images" / "1.png").samefile(source / "1.png") == (images_as == "link")
    assert (out / "images" / "1.png").read_bytes() == (source / "1.png").read_bytes()
    assert len(read_dataset(out)) == 3


def test_licences_are_kept_and_filtered(tmp_path):
    def edit(instances: dict[str, Any], captions: dict[str, Any]) -> None:
        names = ("by", "by-nc")
        instances["licenses"] = [
            {"id": n, "name": f"L{n}", "url": f"http://creativecommons.org/licenses/{name}/2.0/"}
            for n, name in enumerate(names)
        ]
        for n, image in enumerate(instances["images"]):
            image["license"] = n % 2

    out = built(tmp_path, "--license", "cc-by-2.0", edit=edit)
    assert [line["image_id"] for line in lines(out / "metadata.jsonl")] == ["1", "3"]
    answer = run(*build_words(tmp_path / "source", "--license", "cc-by-3.0", "--out", tmp_path / "other"))
    assert (answer.code, "Unknown licence 'cc-by-3.0'" in answer.errors[0]) == (2, True)


def test_splits_are_seeded_and_share_no_picture(tmp_path):
    source = coco_folder(tmp_path / "source", count=40)
    chosen = []
    for number, seed in enumerate((0, 0, 1)):
        out = tmp_path / str(number)
        done(*build_words(source, "--seed", seed, "--splits", "train=0.75", "test=0.25", "--out", out))
        chosen.append({line["image_id"]: line["split"] for line in lines(out / "metadata.jsonl")})
    assert chosen[0] == chosen[1] != chosen[2]
    assert sorted(chosen[0].values()) == ["test"] * 10 + ["train"] * 30


def test_limit_draws_pictures_by_the_seed(tmp_path):
    source = coco_folder(tmp_path / "source", count=20)
    drawn = []
    for limit in (5, 8):
        done(*build_words(source, "--limit", limit, "--out", tmp_path / str(limit)))
        drawn.append({line["image_id"] for line in lines(tmp_path / str(limit) / "decisions.jsonl")})
    assert (len(drawn[0]), len(drawn[1])) == (5, 8)
    assert drawn[0] < drawn[1]


def test_options_reach_the_rule_and_the_card(tmp_path):
    out = built(tmp_path, "--largest-area-share", 0.9, "--questions-per-kind", 1)
    assert json.loads((out / "info.json").read_text())["rule"]["largest_area_share"] == 0.9
    assert "| `rule.largest_area_share` | 0.9 |" in (out / "README.md").read_text()
    answer = run(*build_words(tmp_path / "source", "--largest-area-share", 0.1, "--out", tmp_path / "none"))
    assert answer.code == 2
    assert "No picture has a clear key object: 3 were looked at (3 covers_too_much)" in answer.errors[0]
    assert not (tmp_path / "none").exists()


def test_the_defaults_of_the_command_are_those_of_the_rules():
    config = BuildCocoConfig(out=Path("x"), instances=Path("x"), captions=Path("x"), images=Path("x"))
    assert build_rule(config) == BuildRule()
    assert read_shares(config.splits) == dict(SHARES)


def test_a_dry_run_says_what_would_be_built_and_writes_nothing(tmp_path):
    source = coco_folder(tmp_path / "source")
    answer = done(*build_words(source, "--dry-run", "--json", "--out", tmp_path / "built"))
    assert answer.json == {"out": str(tmp_path / "built"), "pictures": 3, "decided": 3}
    assert not (tmp_path / "built").exists()


def test_several_processes_end_with_the_same_bytes_as_one(tmp_path):
    source = coco_folder(tmp_path / "source", count=600)
    for workers in (1, 2):
        done(*build_words(source, "--workers", workers, "--out", tmp_path / str(workers)))
    assert content(tmp_path / "1") == content(tmp_path / "2")


def test_a_build_is_replaced_where_asked_for(tmp_path):
    out = built(tmp_path)
    words = build_words(tmp_path / "source", "--limit", 2, "--out", out)
    refused = run(*words)
    assert (refused.code, "Output already exists" in refused.errors[0]) == (2, True)
    done(*words, "--overwrite")
    assert len(read_dataset(out)) == 2
    assert len(list((out / "images").iterdir())) == 2


def test_a_finished_build_is_not_begun_again(tmp_path):
    out = built(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    answer = done(*build_words(tmp_path / "source", "--resume", "--out", out))
    assert answer.out.startswith("finished already: 3 of 3 pictures")
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


# killed and resumed


def test_a_killed_build_ends_with_the_same_bytes(tmp_path):
    source = coco_folder(tmp_path / "source", count=1600)
    done(*build_words(source, "--out", tmp_path / "whole"))
    out = tmp_path / "killed"
    for parts in (1, 3):
        kill_after(build_words(source, "--workers", 2, "--resume", "--out", out), out, parts=parts)
        assert not (out / "metadata.jsonl").exists(), "an unfinished folder is no data set"
    kept = {path: path.stat().st_mtime_ns for path in (out / "parts").glob("part-*")}
    assert len(kept) >= 3
    assert "did not finish. Pass --resume to go on with it" in run(*build_words(source, "--out", out)).errors[0]
    answer = done(*build_words(source, "--resume", "--out", out))
    assert "built 1600 of 1600" in answer.out
    assert content(out) == content(tmp_path / "whole")


def kill_after(words: tuple[object, ...], out: Path, *, parts: int) -> None:
    """Start a build in a process of its own and kill it when so many parts are there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "headimpact", *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    try:
        while len(list(out.glob("parts/part-*.jsonl"))) < parts:
            assert process.poll() is None, "ended too early"
            assert time.monotonic() < deadline, "no part appeared"
            time.sleep(0.002)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_a_build_is_not_resumed_with_other_lists_or_options(tmp_path):
    source = coco_folder(tmp_path / "source", count=300)
    out = tmp_path / "built"
    kill_after(build_words(source, "--out", out), out, parts=1)
    other = run(*build_words(source, "--resume", "--smallest-lead", 0.2, "--out", out))
    assert (other.code, "--smallest-lead is 0.2 now and was 0.1" in other.errors[0]) == (2, True)
    (source / "captions.json").write_text((source / "captions.json").read_text() + " ")
    changed = run(*build_words(source, "--resume", "--out", out))
    assert (changed.code, "the lists have changed" in changed.errors[0]) == (2, True)
    assert list(out.glob("parts/part-*.jsonl")), "work that is done stays"


# what is odd but no fault


def test_objects_without_a_pixel_do_not_count_and_are_noted(tmp_path):
    def edit(instances: dict[str, Any], captions: dict[str, Any]) -> None:
        instances["annotations"][0]["segmentation"] = [[1, 1, 3, 3]]
        instances["annotations"][1]["segmentation"] = [[7, 1, 9, 1, 9, 3]]

    out = built(tmp_path, edit=edit)
    first, second, third = lines(out / "decisions.jsonl")
    assert (first["reason"], first["without_pixels"]) == ("no_annotation", ["10"])
    assert (second["reason"], second["without_pixels"]) == ("no_annotation", ["20"])
    assert "without_pixels" not in third


def test_a_category_without_synonyms_falls_back_to_its_name_and_says_so(tmp_path):
    def edit(instances: dict[str, Any], captions: dict[str, Any]) -> None:
        instances["categories"][0]["name"] = "Hund"
        captions["annotations"][0]["caption"] = "Ein Hund."

    source = coco_folder(tmp_path / "source", edit=edit)
    answer = done(*build_words(source, "--out", tmp_path / "built"))
    assert "no synonyms are known for Hund: only the plain name counts" in answer.out
    assert [line["reason"] for line in lines(tmp_path / "built" / "decisions.jsonl")] == [
        "kept", "no_object_named", "no_object_named",
    ]  # fmt: skip


def test_captions_with_control_characters_and_markup_are_texts(tmp_path):
    def edit(instances: dict[str, Any], captions: dict[str, Any]) -> None:
        captions["annotations"][0]["caption"] = "A dog\x00\x1b[31m <script>alert(1)</script>\u202e\n| a"

    out = built(tmp_path, edit=edit)
    (caption,) = lines(out / "metadata.jsonl")[0]["captions"]
    assert caption == "A dog [31m <script>alert(1)</script> | a."
    page = tmp_path / "sheet.html"
    done("dataset", "sheet", out, "--out", page)
    assert "<script>alert" not in page.read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(1)" in page.read_text(encoding="utf-8")


def test_pictures_of_one_name_in_two_folders_stay_apart(tmp_path):
    def edit(instances: dict[str, Any], captions: dict[str, Any]) -> None:
        images = tmp_path / "source" / "images"
        for n in (1, 2):
            (images / str(n)).mkdir()
            (images / f"{n}.png").rename(images / str(n) / "a.png")
            instances["images"][n - 1]["file_name"] = f"{n}/a.png"

    out = built(tmp_path, edit=edit)
    assert [line["file_name"] for line in lines(out / "metadata.jsonl")][:2] == ["images/a.png", "images/a_1.png"]
    for n, sample in enumerate(list(read_dataset(out))[:2], start=1):
        assert sample.image_path.read_bytes() == (tmp_path / "source" / "images" / str(n) / "a.png").read_bytes()


def test_bad_pictures_are_left_out_where_asked_for(tmp_path):
    source = coco_folder(tmp_path / "source")
    truncated(source / "images" / "2.png")
    answer = done(*build_words(source, "--skip-bad", "--out", tmp_path / "built"))
    assert "left out, bad_picture: 1" in answer.out
    decision = lines(tmp_path / "built" / "decisions.jsonl")[1]
    assert (decision["image_id"], decision["reason"]) == ("2", "bad_picture")
    assert str(tmp_path) not in decision["says"]


@pytest.mark.parametrize(
    ("check", "is_found"), [pytest.param("whole", True), pytest.param("header", False), pytest.param("no", False)]
)
def test_pictures_are_read_as_far_as_asked_for(tmp_path, check, is_found):
    source = coco_folder(tmp_path / "source")
    path = source / "images" / "2.png"
    path.write_bytes(path.read_bytes()[:60])  # the header and the beginning of the pixels
    answer = run(*build_words(source, "--check-pictures", check, "--out", tmp_path / "built"))
    assert (answer.code == 2) == is_found


# bad input: one clear line, exit code 2, nothing half-written


def changed(**changes: Any) -> Edit:
    """Change the first annotated object."""
    return lambda instances, captions: instances["annotations"][0].update(changes)


def renamed(name: object) -> Edit:
    return lambda instances, captions: instances["images"][1].update(file_name=name)


def twice(kind: str, key: str) -> Edit:
    def edit(instances: dict[str, Any], captions: dict[str, Any]) -> None:
        records = (instances if kind == "instances" else captions)[key]
        records.append(dict(records[0]))

    return edit


def captioned(caption: object) -> Edit:
    return lambda instances, captions: captions["annotations"][0].update(caption=caption)


LISTS = {
    "object of no picture": (changed(image_id=99), "annotation 10: Points nowhere: image_id 99"),
    "object of no category": (changed(category_id=99), "annotation 10: Points nowhere: category_id 99"),
    "caption of no picture": (
        lambda i, c: c["annotations"][0].update(image_id=99),
        "captions.json: annotation 1: Points nowhere",
    ),
    "polygon far outside": (
        changed(segmentation=[[1, 1, 900, 1, 3, 3]]),
        "annotation 10: Misplaced outline: point (900",
    ),
    "polygon of odd length": (changed(segmentation=[[1, 1, 3, 1, 3]]), "annotation 10: Broken polygon"),
    "polygon of texts": (changed(segmentation=[["1"] * 6]), "annotation 10: Broken polygon"),
    "runs of another size": (
        changed(segmentation={"size": [3, 3], "counts": [9]}),
        "annotation 10: Mask of another size: 3 x 3",
    ),
    "runs that do not fill": (
        changed(segmentation={"size": [4, 6], "counts": [9]}),
        "annotation 10: Broken run lengths: the counts add up to 9",
    ),
    "broken compressed runs": (
        changed(segmentation={"size": [4, 6], "counts": "\u00ff"}),
        "annotation 10: Broken run lengths",
    ),
    "crowd flag": (changed(iscrowd="yes"), "annotation 10: Field 'iscrowd' is 'yes'"),
    "picture listed twice": (twice("instances", "images"), "image 1: Duplicate id"),
    "object listed twice": (twice("instances", "annotations"), "annotation 10: Duplicate id"),
    "category listed twice": (twice("instances", "categories"), "categories 18: Duplicate id"),
    "caption listed twice": (twice("captions", "annotations"), "captions.json: annotation 1: Duplicate id"),
    "same id as text": (
        lambda i, c: i["annotations"].append({**i["annotations"][0], "id": "10"}),
        "annotation 10: Duplicate id",
    ),
    "id that is none": (lambda i, c: i["images"][0].update(id=1.5), "images[0]: Field 'id' is 1.5"),
    "category without a name": (lambda i, c: i["categories"][0].update(name=" "), "categories 18: Field 'name'"),
    "size missing": (lambda i, c: i["images"][0].pop("height"), "image 1: Size is height None"),
    "path that goes up": (renamed("../2.png"), "image 2: Path leaves the data folder: '../2.png' goes up"),
    "absolute path": (renamed("/etc/passwd"), "image 2: Path leaves the data folder: '/etc/passwd' is absolute"),
    "path of no text": (renamed(7), "image 2: File name is 7"),
    "caption of no text": (captioned(7), "captions.json: annotation 1: Field 'caption' is 7"),
    "picture of another size": (lambda i, c: i["images"][1].update(height=4, width=7), "image 2: Picture of another"),
    "record that is no object": (lambda i, c: i["annotations"].append(7), "annotations[3]: Is a JSON int"),
    "list missing": (lambda i, c: i.pop("categories"), "List 'categories' is missing"),
    "list of another kind": (lambda i, c: i.update(images={}), "List 'images' is a JSON object"),
}


def refused(answer: Answer, out: Path, *parts: str, code: int = 2) -> None:
    assert answer.code == code, (answer.out, answer.err)
    assert answer.out == ""
    for part in parts:
        assert part in answer.errors[0], answer.errors
    assert not out.exists()
    assert not list(out.parent.glob(".*")), "a temporary file stayed"


@pytest.mark.parametrize("name", LISTS)
def test_broken_lists(tmp_path, name):
    edit, part = LISTS[name]
    source = coco_folder(tmp_path / "source", edit=edit)
    refused(run(*build_words(source, "--out", tmp_path / "built")), tmp_path / "built", part)


def no_utf8(source: Path) -> None:
    (source / "captions.json").write_bytes((source / "captions.json").read_bytes().replace(b"Dog 1", b"D\xf6g 1"))


def cut(source: Path) -> None:
    (source / "instances.json").write_bytes((source / "instances.json").read_bytes()[:-40])


def not_json(source: Path) -> None:
    (source / "instances.json").write_text('{"images": [\n {"id": 1},\n {"id" 2}]}')


def link_away(source: Path) -> None:
    (source / "images" / "2.png").rename(source.parent / "2.png")
    (source / "images" / "2.png").symlink_to(source.parent / "2.png")


def not_a_picture(source: Path) -> None:
    (source / "images" / "2.png").write_text("no picture")


FILES = {
    "no UTF-8": (no_utf8, "captions.json: Unreadable file: 'utf-8' codec can't decode"),
    "truncated JSON": (cut, "instances.json: line 1: Unreadable JSON: Input data was truncated"),
    "no JSON": (not_json, "instances.json: line 3: Unreadable JSON"),
    "an array": (lambda s: (s / "captions.json").write_text("[]"), "captions.json: Found a JSON array"),
    "empty file": (lambda s: (s / "captions.json").write_text(""), "captions.json: Unreadable file"),
    "missing file": (lambda s: (s / "captions.json").unlink(), "File not found"),
    "link that leaves the folder": (
        link_away,
        "image 2: Path leaves the data folder: '2.png' is or goes through a link",
    ),
    "missing picture": (
        lambda s: (s / "images" / "2.png").unlink(),
        "image 2: Cannot open picture: 2.png does not exist",
    ),
    "broken picture": (not_a_picture, "image 2: Cannot read picture: 2.png is broken"),
    "truncated picture": (lambda s: truncated(s / "images" / "2.png"), "image 2: Cannot read picture: 2.png is trunc"),
    "bomb": (lambda s: bomb(s / "images" / "2.png"), "image 2: Picture too large"),
}


@pytest.mark.parametrize("name", FILES)
def test_broken_files(tmp_path, name):
    spoil, part = FILES[name]
    source = coco_folder(tmp_path / "source")
    spoil(source)
    refused(run(*build_words(source, "--out", tmp_path / "built")), tmp_path / "built", part)


OPTIONS = {
    "shares": (("--splits", "train=0.5"), "Shares of splits"),
    "share of no number": (("--splits", "train=x"), "--splits: given 'train=x'"),
    "placing": (("--images-as", "move"), "Unknown value of --images-as 'move'"),
    "check": (("--check-pictures", "all"), "Unknown value of --check-pictures 'all'"),
    "instance rule": (("--instance-rule", "all"), "Unknown value of --instance-rule 'all'"),
    "crowd rule": (("--crowd-rule", "all"), "Unknown value of --crowd-rule 'all'"),
    "weights": (("--named-weight", 0.9), "Weights of the key-object rule"),
    "questions": (("--question-choices", 1), "Options of questions"),
    "limit": (("--limit", 0), "--limit is 0"),
    "workers": (("--workers", 0), "--workers is 0"),
    "licence": (("--license", "x"), "Unknown licence 'x'"),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_bad_options(tmp_path, name):
    words, part = OPTIONS[name]
    source = coco_folder(tmp_path / "source")
    refused(run(*build_words(source, *words, "--out", tmp_path / "built")), tmp_path / "built", part)


def test_all_faults_are_listed_at_once(tmp_path):
    def edit(instances: dict[str, Any], captions: dict[str, Any]) -> None:
        for n in (0, 2):
            instances["annotations"][n]["segmentation"] = [[1, 1, 900, 1, 3, 3]]

    source = coco_folder(tmp_path / "source", edit=edit)
    (source / "images" / "2.png").unlink()
    answer = run(*build_words(source, "--out", tmp_path / "built"))
    refused(answer, tmp_path / "built", "3 faults")
    assert [line.strip().split(": ")[1] for line in answer.errors[1:]] == ["annotation 10", "image 2", "annotation 30"]


def test_the_source_is_never_written_over(tmp_path):
    source = coco_folder(tmp_path / "source")
    for out in (source, source / "images"):
        answer = run(*build_words(source, "--overwrite", "--out", out))
        assert (answer.code, "Cannot write over the source" in answer.errors[0]) == (2, True)
    assert len(read_dataset(source)) == 3


def test_a_full_disk_leaves_finished_parts_for_resume(tmp_path, monkeypatch):
    from headimpact.data import mask_png
    from headimpact.data.build import parts

    source = coco_folder(tmp_path / "source", count=300)
    calls = []
    write = mask_png.write_mask_file

    def full(mask: Any, path: Path) -> None:
        calls.append(path)
        if len(calls) == 280:
            raise OSError(28, "No space left on device")
        write(mask, path)

    monkeypatch.setattr(parts, "write_mask_file", full)
    answer = run(*build_words(source, "--out", tmp_path / "built"))
    assert answer.code == 1
    assert answer.errors == [
        f"headimpact: error: Cannot write {tmp_path / 'built'}: No space left on device. Free space, then run again "
        "with --resume."
    ]
    assert not (tmp_path / "built" / "metadata.jsonl").exists()
    done(*build_words(source, "--resume", "--out", tmp_path / "built"))
    assert len(read_dataset(tmp_path / "built")) == 300


def test_a_disk_that_is_full_from_the_start_leaves_nothing(tmp_path, monkeypatch):
    from headimpact.data.build import parts

    def full(mask: Any, path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(parts, "write_mask_file", full)
    source = coco_folder(tmp_path / "source")
    refused(run(*build_words(source, "--out", tmp_path / "built")), tmp_path / "built", "No space left", code=1)


# looking after a built folder


def test_what_was_marked_is_dropped_from_everything(tmp_path):
    out = built(tmp_path, count=4)
    (tmp_path / "bad.txt").write_text("2\n\n4\n")
    assert done("dataset", "drop", out, "--list", tmp_path / "bad.txt", "--dry-run", "--json").json["dropped"] == [
        "2", "4",
    ]  # fmt: skip
    assert len(read_dataset(out)) == 4
    splits = {line["image_id"]: line["split"] for line in lines(out / "metadata.jsonl")}
    assert "dropped 2 pictures" in done("dataset", "drop", out, "--list", tmp_path / "bad.txt").out
    assert {line["image_id"]: line["split"] for line in lines(out / "metadata.jsonl")} == {
        one: splits[one] for one in ("1", "3")
    }
    assert {line["image_id"] for line in lines(out / "questions.jsonl")} == {"1", "3"}
    assert [line["reason"] for line in lines(out / "decisions.jsonl")] == ["kept", "dropped", "kept", "dropped"]
    assert [row["image_id"] for row in csv.DictReader((out / "attribution.csv").read_text().splitlines())] == ["1", "3"]
    assert sorted(path.name for path in (out / "images").iterdir()) == ["1.png", "3.png"]
    assert sorted(path.name for path in (out / "masks").glob("*.png")) == ["1.png", "3.png"]
    assert "| was marked as bad by a person | 2 |" in (out / "README.md").read_text()
    assert (tmp_path / "source" / "images" / "2.png").is_file(), "the source keeps its pictures"
    again = done("dataset", "drop", out, "--list", tmp_path / "bad.txt")
    assert again.out.splitlines() == [f"dropped 0 pictures from {out}", "dropped before: 2"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        pytest.param("9\n", "Unknown picture id '9'", id="unknown"),
        pytest.param("\n", "Empty list", id="empty"),
        pytest.param(None, "Cannot read the list", id="missing"),
    ],
)
def test_a_bad_list_changes_nothing(tmp_path, text, part):
    out = built(tmp_path)
    if text is not None:
        (tmp_path / "bad.txt").write_text(text)
    before = content(out)
    answer = run("dataset", "drop", out, "--list", tmp_path / "bad.txt")
    assert (answer.code, part in answer.errors[0]) == (2, True)
    assert content(out) == before


def test_statistics_count_what_is_there(tmp_path):
    out = built(tmp_path, count=8)
    found = done("dataset", "stats", out, "--json").json
    assert (found["pictures"], found["decided"], found["captions"]) == (8, 8, 8)
    assert found["categories"] == {"dog": 8}
    assert sum(found["splits"].values()) == 8
    assert found["area_steps"] == {"3": 8}
    text = done("dataset", "stats", out).out
    assert "0.15 to 0.20" in text
    refused = run("dataset", "stats", tmp_path / "source")
    assert (refused.code, "no metadata.jsonl" in refused.errors[0]) == (2, True)


@pytest.mark.parametrize(
    ("field", "part"),
    [
        ('"key_objects": 7', "line 2: Expected `array | null`, got `int` - at `$.key_objects`"),
        ('"split": ["a"]', "line 2: Expected `str | null`, got `array` - at `$.split`"),
        ('"area_share": 1.5', "line 2: Expected `float` <= 1.0 - at `$.area_share`"),
        ('"area_share": NaN', "line 2: JSON is malformed"),
        ('"category": "d\xf6g"', "line 2: 'utf-8' codec can't decode"),
    ],
)
def test_a_line_that_cannot_be_counted_is_named(tmp_path, field, part):
    sound = '{"file_name": "1.png", "area_share": 1}'
    (tmp_path / "metadata.jsonl").write_bytes(f"\ufeff{sound}\n".encode() + f"{{{field}}}\n".encode("latin-1"))
    answer = run("dataset", "stats", tmp_path)
    assert answer.code == 2
    assert f"Broken table: metadata.jsonl {part}" in answer.errors[0]
    (tmp_path / "metadata.jsonl").write_text(sound)
    assert "0.95 to 1.00" in done("dataset", "stats", tmp_path).out


def test_faults_of_a_built_folder_are_listed_with_file_and_line(tmp_path):
    out = built(tmp_path)
    (out / "masks" / "1.png").unlink()
    (out / "images" / "3.png").write_text("no picture")
    answer = run("dataset", "validate", out)
    assert answer.code == 1
    assert [line.split(":")[:2] for line in answer.out.splitlines()[:2]] == [
        ["metadata.jsonl", " line 1"],
        ["metadata.jsonl", " line 3"],
    ]


def test_a_contact_sheet_shows_pages(tmp_path):
    out = built(tmp_path, count=5)
    page = tmp_path / "sheet.html"
    answer = done("dataset", "sheet", out, "--out", page, "--page-size", 2, "--page", 3)
    assert "Pictures 5 to 5 of 5; page 3 of 3" in answer.out
    assert 'data-id="5"' in page.read_text()
    assert run("dataset", "sheet", out, "--out", page).code == 2, "a file that is there is not replaced"
    for words in (("--page", 4, "--page-size", 2), ("--category", "cat"), ("--page", 0)):
        assert run("dataset", "sheet", out, "--out", page, "--overwrite", *words).code == 2
    (out / "images" / "2.png").write_text("no picture")
    told = done("dataset", "sheet", out, "--out", page, "--overwrite")
    assert "not shown: metadata.jsonl: line 2: Cannot read picture" in told.out
    (out / "metadata.jsonl").write_text('{"file_name": "../1.png"}\n')
    refused = run("dataset", "sheet", out, "--out", page, "--overwrite")
    assert (refused.code, "first metadata.jsonl: line 1: Path leaves the data folder" in refused.errors[0]) == (2, True)


# the main job


def test_the_main_job_runs_from_a_built_folder(tmp_path, tiny_llava):
    out = built(tmp_path, count=24)
    splits = {line["image_id"]: line["split"] for line in lines(out / "metadata.jsonl")}
    model = ("--model", tiny_llava, "--data", out)
    fast = ("--draws", 50, "--bootstrap", 20, "--donors", 2, "--examples", 0)
    done("score", *model, *fast, "--out", tmp_path / "scores")
    done("select", "--scores", tmp_path / "scores", "--out", tmp_path / "selection")
    done("tune", *model, "--selection", tmp_path / "selection", "--max-steps", 1, "--out", tmp_path / "tuned")
    done("evaluate", *model, "--adapter", tmp_path / "tuned", "--max-new-tokens", 2, "--out", tmp_path / "evaluated")
    for stage, split in (("scores", "calibration"), ("tuned", "train"), ("evaluated", "test")):
        used = json.loads((tmp_path / stage / "split.json").read_text())["image_ids"]
        assert set(used) == {one for one, name in splits.items() if name == split}, stage


def test_pictures_that_stay_where_they_are_are_scored(tmp_path, tiny_llava):
    out = built(tmp_path, "--images-as", "reference", count=12)
    words = ("score", "--model", tiny_llava, "--data", out, "--draws", 50, "--bootstrap", 20, "--donors", 2)
    answer = run(*words, "--out", tmp_path / "scores")
    assert (answer.code, "Pictures lie elsewhere" in answer.errors[0]) == (2, True)
    done(*words, "--images", tmp_path / "source" / "images", "--examples", 0, "--out", tmp_path / "scores")
    assert json.loads((tmp_path / "scores" / "split.json").read_text())["split"] == "calibration"


def test_real_pictures_are_built_and_read_back(tmp_path):
    source = shared_data("coco_mini")
    answer = done(*build_words(source, "--json", "--out", tmp_path / "built")).json
    assert answer["decided"] == 42
    assert answer["pictures"] + sum(answer["left_out"].values()) == 42
    assert answer["left_out"]["no_annotation"] == 2
    assert answer["left_out"]["crowd"] >= 1
    decided = {line["image_id"]: line for line in lines(tmp_path / "built" / "decisions.jsonl")}
    assert len(decided) == 42
    dataset = read_dataset(tmp_path / "built")
    assert len(dataset) == answer["pictures"]
    for sample in dataset:
        shares = [one["area_share"] for one in decided[sample.image_id]["candidates"] if one["is_key"]]
        assert sample.load_mask().mean() == pytest.approx(sum(shares), abs=0.02)
        assert [key_object.category for key_object in sample.key_objects] == decided[sample.image_id]["key_objects"]
