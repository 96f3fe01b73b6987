"""Bad input: one clear line that names it, the right exit code, and nothing half-written."""

import dataclasses
import errno
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peft import LoraConfig
from PIL import Image
from safetensors.numpy import save_file
from transformers import LlamaConfig

from headimpact.selection.selection import Selection
from tests.builders import coco_folder, jsonl_folder
from tests.integration.conftest import done, run
from tests.integration.makers import TINY, bomb, edit_json, truncated, written_scores

FAST = ("--draws", 50, "--bootstrap", 20, "--donors", 2, "--examples", 0)


Cases = dict[str, tuple[Any, ...]]
"""Name of a case to: what makes the command, and the parts that its one line of error must hold."""


class Place:
    """A folder to make inputs in, the tiny model, and the output that must not appear."""

    def __init__(self, root: Path, model: Path) -> None:
        self.root, self.model, self.out = root, model, root / "out"

    def score(self, data: object, *words: object, model: object = None) -> tuple[object, ...]:
        return ("score", "--model", model or self.model, "--data", data, "--split", "all", *FAST, *words)

    def tune(self, selection: object, *words: object) -> tuple[object, ...]:
        return ("tune", "--model", self.model, "--data", self.data(), "--selection", selection, *words)

    def evaluate(self, *words: object, model: object = None) -> tuple[object, ...]:
        return ("evaluate", "--model", model or self.model, "--data", self.data(), "--split", "all", *words)

    def data(self, **options: Any) -> Path:
        return coco_folder(self.root / "data", **options)

    def select(self, *words: object, **options: Any) -> tuple[object, ...]:
        return ("select", "--scores", written_scores(self.root / "scores", **options), *words)

    def selection(self, **changes: Any) -> Path:
        path = self.root / "chosen" / "selection.json"
        Selection(**{"strategy": "given", "layers": (1,), "architecture": TINY, **changes}).write(path)
        return path

    def copied_model(self) -> Path:
        shutil.copytree(self.model, self.root / "model")
        return self.root / "model"

    def yaml(self, text: str) -> Path:
        path = self.root / "run.yaml"
        path.write_text(text)
        return path

    def text_model(self) -> Path:
        LlamaConfig(num_hidden_layers=1).save_pretrained(self.root / "text")
        return self.root / "text"


@pytest.fixture
def place(tmp_path: Path, tiny_llava: Path) -> Place:
    return Place(tmp_path, tiny_llava)


def refused(place: Place, words: tuple[object, ...], *parts: str, code: int = 2) -> None:
    """Run a command that must be refused: its code, one line that names the fault, nothing written."""
    answer = run(*words, "--out", place.out)
    assert answer.code == code, (answer.out, answer.err)
    assert len(answer.errors) == 1, answer.err
    for part in parts:
        assert part in answer.errors[0], answer.errors[0]
    assert answer.out == ""
    assert not place.out.exists() or not any(place.out.iterdir())
    assert not list(place.root.glob(".*")), "a temporary file stayed"


def edited(place: Place, edit: Callable[[dict[str, Any], dict[str, Any]], object]) -> tuple[object, ...]:
    return place.score(place.data(edit=edit))


def broken_picture(place: Place, make: Callable[[Path], object]) -> tuple[object, ...]:
    root = place.data()
    make(root / "images" / "2.png")
    return place.score(root)


def broken_json(place: Place, name: str, text: str) -> tuple[object, ...]:
    root = place.data()
    (root / name).write_text(text)
    return place.score(root)


def missing_picture(place: Place) -> tuple[object, ...]:
    root = place.data()
    (root / "images" / "2.png").unlink()
    return place.score(root)


def small_mask(place: Place) -> tuple[object, ...]:
    root = jsonl_folder(place.root / "data")
    Image.new("L", (3, 3), 255).save(root / "masks" / "2.png")
    return place.score(root)


def of_jsonl(place: Place, **line: Any) -> tuple[object, ...]:
    return place.score(jsonl_folder(place.root / "data", {}, line))


DATA: Cases = {
    "no folder": (lambda p: p.score(p.root / "no"), "does not exist"),
    "no data set": (lambda p: p.score(p.model), "No data set in"),
    "unreadable JSON": (lambda p: broken_json(p, "instances.json", '{"images": ['), "instances.json"),
    "captions are a list": (lambda p: broken_json(p, "captions.json", "[]"), "captions.json"),
    "unreadable line": (lambda p: of_jsonl(p, file_name=7), "metadata.jsonl", "line 2"),
    "image id nowhere": (
        lambda p: edited(p, lambda i, c: i["annotations"][1].update(image_id=99)),
        "annotation 20",
        "Points nowhere: image_id 99",
    ),
    "category id nowhere": (
        lambda p: edited(p, lambda i, c: i["annotations"][1].update(category_id=99)),
        "annotation 20",
        "Points nowhere: category_id 99",
    ),
    "caption's image id nowhere": (
        lambda p: edited(p, lambda i, c: c["annotations"][1].update(image_id=99)),
        "captions.json",
        "Points nowhere: image_id 99",
    ),
    "missing picture": (missing_picture, "image 2", "2.png"),
    "path leaves the folder": (
        lambda p: edited(p, lambda i, c: i["images"][1].update(file_name="../../2.png")),
        "image 2",
        "leaves the data folder",
    ),
    "mask path leaves the folder": (
        lambda p: of_jsonl(p, mask_file_name="../mask.png"),
        "line 2",
        "leaves the data folder",
    ),
    "mask of another size": (small_mask, "line 2", "Mask of another size: 3 x 3"),
    "run lengths of another size": (
        lambda p: edited(
            p, lambda i, c: i["annotations"][1].update(segmentation={"size": [3, 3], "counts": [4, 5]}, iscrowd=0)
        ),
        "annotation 20",
        "Mask of another size",
    ),
    "truncated picture": (lambda p: broken_picture(p, truncated), "image 2", "2.png"),
    "bomb": (lambda p: broken_picture(p, bomb), "image 2", "2500000000"),
    "text as picture": (lambda p: broken_picture(p, lambda f: f.write_text("hello")), "image 2", "2.png"),
    "no caption anywhere": (
        lambda p: edited(p, lambda i, c: c.update(annotations=[])),
        "No picture left",
        "3 no_caption",
    ),
    "every mask empty": (
        lambda p: edited(
            p, lambda i, c: [a.update(segmentation={"size": [4, 6], "counts": [24]}) for a in i["annotations"]]
        ),
        "No picture left",
        "3 empty_mask",
    ),
    "every object covers all": (
        lambda p: edited(
            p, lambda i, c: [a.update(segmentation=[[0, 0, 6, 0, 6, 4, 0, 4]]) for a in i["annotations"]]
        ),
        "No sample left",
        "3 covers_too_much",
    ),
    "unknown split": (
        lambda p: p.score(p.data(split="train"), "--split", "trian"),
        "Unknown split 'trian'. Did you mean 'train'",
    ),
    "limit of nothing": (lambda p: p.score(p.data(), "--limit", 0), "--limit is 0"),
    "prompt with places for two": (
        lambda p: p.score(p.data(), "--prompt", "<image> or <image>?"),
        "marks 2 places for pictures (<image>), expected 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DATA)
def test_bad_data_is_refused(place, name):
    make, *parts = DATA[name]
    refused(place, make(place), *parts)


def test_objects_that_are_cropped_away_leave_nothing_to_score(place, tiny_checkpoint):
    def to_the_edge(instances: dict[str, Any], captions: dict[str, Any]) -> None:
        for annotation in instances["annotations"]:
            annotation["segmentation"] = [[0, 0, 1, 0, 1, 4, 0, 4]]

    words = place.score(place.data(edit=to_the_edge), "--shard-size", 2, model=tiny_checkpoint("llava-clip"))
    refused(place, words, "No sample left to score: 3 cropped_away")


def test_objects_that_cover_all_leave_no_ranking_to_move(place, tiny_llava):
    def cover(instances: dict[str, Any], captions: dict[str, Any]) -> None:
        for annotation in instances["annotations"]:
            annotation["segmentation"] = [[0, 0, 6, 0, 6, 4, 0, 4]]

    words = ("--model", tiny_llava, "--data", place.data(edit=cover), "--split", "all", "--k", 1)
    refused(place, ("sensitivity", *words), "No picture says something under every variant")


def test_all_faults_are_listed_one_a_line(place):
    root = place.data()
    (root / "images" / "2.png").unlink()
    truncated(root / "images" / "3.png")
    answer = run(*place.score(root), "--out", place.out)
    assert answer.code == 2
    assert "2 faults" in answer.errors[0]
    assert [line.strip()[:24] for line in answer.errors[1:]] == ["instances.json: image 2:", "instances.json: image 3:"]
    assert not place.out.exists()
    validated = run("dataset", "validate", root)
    assert validated.code == 1
    assert validated.out.splitlines()[-1] == f"2 faults in {root}"
    assert len(run("dataset", "validate", root, "--json").json["faults"]) == 2


def test_picture_faults_become_skips_on_request(place):
    root = place.data(count=4)
    truncated(root / "images" / "2.png")
    done(*place.score(root), "--skip-bad", "--out", place.out)
    counts = json.loads((place.out / "head_scores.json").read_text())["counts"]
    assert (counts["used"], counts["skipped"]) == (3, {"bad_picture": 1})


def weights_cut(place: Place) -> Path:
    folder = place.copied_model()
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    return folder


def other_adapter(place: Place) -> Path:
    folder = place.root / "adapter"
    LoraConfig(r=1, target_modules=["model.language_model.layers.7.self_attn.q_proj"]).save_pretrained(str(folder))
    save_file({"base_model.model.x.lora_A.weight": np.zeros((1, 1), np.float32)}, folder / "adapter_model.safetensors")
    return folder


def renamed(place: Place, **changes: Any) -> Path:
    folder = place.copied_model()
    edit_json(folder / "config.json", **changes)
    return folder


MODELS: Cases = {
    "no such folder": (lambda p: p.score(p.data(), model="./no/such/folder"), "Model not found", "no/such/folder"),
    "near a short name": (lambda p: p.score(p.data(), model="embeded"), "Model not found: 'embeded'", "embedded"),
    "no config": (lambda p: p.score(p.data(), model=p.data()), "No config.json in"),
    "not a VLM": (lambda p: p.score(p.data(), model=p.text_model()), "Not a vision-language model: 'llama'"),
    "unknown family": (
        lambda p: p.score(p.data(), model=renamed(p, model_type="video_llava")),
        "Unknown model family 'video_llava'. Did you mean 'video_llama_3' or 'vipllava'",
    ),
    "refused family": (
        lambda p: p.score(p.data(), model=renamed(p, model_type="blip-2")),
        "Model family 'blip-2' is refused",
    ),
    "broken weights": (lambda p: p.score(p.data(), model=weights_cut(p)), "Cannot load weights"),
    "no adapter": (lambda p: p.score(p.data(), "--adapter", p.data()), "No adapter at", "adapter_config.json"),
    "no adapter to evaluate": (lambda p: p.evaluate("--adapter", p.root), "No adapter at"),
    "another model's adapter": (lambda p: p.evaluate("--adapter", other_adapter(p)), "Adapter does not fit the model"),
    "unknown device": (lambda p: p.score(p.data(), "--device", "gpu"), "Device 'gpu' cannot be used"),
    "revision of a folder": (lambda p: p.score(p.data(), "--revision", "v2"), "Revision 'v2' was given for the folder"),
    "unknown dtype": (lambda p: p.score(p.data(), "--dtype", "float23"), "Unknown dtype 'float23'. Did you mean"),
    "unknown attention": (lambda p: p.score(p.data(), "--attn-implementation", "sdpaa"), "'sdpaa' is not to be had"),
    "another model's selection": (
        lambda p: p.tune(p.selection(architecture=dataclasses.replace(TINY, num_heads=8))),
        "Selection does not fit the model",
        "num_heads is 4",
    ),
    "more heads than a layer has": (lambda p: p.score(p.data(), "--layer-aggregation", "top-9"), "top-9"),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_does_not_do_is_refused(place, name):
    make, *parts = MODELS[name]
    refused(place, make(place), *parts)


WITHOUT_WEIGHTS = (
    "no such folder", "near a short name", "no config", "not a VLM", "unknown family", "refused family", "no adapter",
    "no adapter to evaluate", "unknown device", "unknown dtype", "unknown attention", "revision of a folder",
)  # fmt: skip


@pytest.mark.parametrize("name", WITHOUT_WEIGHTS)
def test_a_dry_run_finds_what_shows_without_weights(place, name):
    make, *parts = MODELS[name]
    refused(place, (*make(place), "--dry-run"), *parts)


def names(option: str, near: str, known: str) -> tuple[Callable[[Place], tuple[object, ...]], str, str]:
    return (lambda p: p.score(p.root, option, near)), f"'{near}'. Did you mean '{known}'", option.strip("-")[:5]


OPTIONS: Cases = {
    "unknown option": (lambda p: p.score(p.root, "--binarisation", "area"), "--binarisation", "--binarization"),
    "option without value": (lambda p: ("score", "--model"), "--model"),
    "not a number": (lambda p: p.score(p.root, "--batch-size", "many"), "--batch-size", "many"),
    "unknown score": names("--score", "head_imapct", "head_impact"),
    "unknown further score": (
        lambda p: p.score(p.root, "--scores", "auroc,pointing_gaem"),
        "Unknown score 'pointing_gaem'. Did you mean 'pointing_game'",
    ),
    "unknown response": names("--response", "referense", "reference"),
    "unknown baseline": names("--baseline", "untraind", "untrained"),
    "unknown rule": names("--binarization", "aera", "area"),
    "unknown rows": names("--rows", "predict", "predicting"),
    "unknown row reduction": names("--row-reduction", "maen", "mean"),
    "unknown view": names("--view", "globe", "global"),
    "unknown layer rule": (lambda p: p.score(p.root, "--layer-aggregation", "median"), "median"),
    "negative seed": (lambda p: p.score(p.root, "--seed", -1), "--seed is -1"),
    "no donors": (lambda p: p.score(p.root, "--donors", 0), "--donors is 0"),
    "no draws": (lambda p: p.score(p.root, "--draws", 0), "--draws is 0"),
    "empty shards": (lambda p: p.score(p.root, "--shard-size", 0), "--shard-size is 0"),
    "quantile": (lambda p: p.score(p.root, "--binarization-quantile", 2), "--binarization-quantile is 2.0"),
    "factor": (lambda p: p.score(p.root, "--binarization-k", 0), "--binarization-k is 0"),
    "unknown metric": (lambda p: p.evaluate("--metrics", "bleu_5"), "Unknown metric 'bleu_5'. Did you mean"),
    "unknown tokenizer": (lambda p: p.evaluate("--tokenizer", "pbt"), "Unknown tokenizer 'pbt'. Did you mean 'ptb'"),
    "no beams": (lambda p: p.evaluate("--num-beams", 0), "--num-beams is 0"),
    "no tokens": (lambda p: p.evaluate("--max-new-tokens", 0), "--max-new-tokens is 0"),
    "unknown strategy": (lambda p: p.select("--strategy", "topk"), "Unknown strategy 'topk'. Did you mean 'top-k'"),
    "a score that the run lacks": (
        lambda p: p.select("--score", "auroc"),
        "Unknown score of this run 'auroc'. Known: head_impact. To have it, score again with --scores auroc.",
    ),
    "k too large": (lambda p: p.select("--k", 4), "Cannot choose 4 layers: 3 are left"),
    "k larger than the layers left": (
        lambda p: p.select("--k", 3, unscored=(0,)),
        "Cannot choose 3 layers: 2 are left, 1 of 3 have no score",
    ),
    "k of 0": (lambda p: p.select("--k", 0), "k = 0", "at least 1"),
    "k and budget": (lambda p: p.select("--k", 1, "--budget", "1%"), "--k 1", "--budget 1%"),
    "budget below one layer": (lambda p: p.select("--budget", "0.01%"), "The smallest possible budget is 112 (0.16%)"),
    "budget in words": (lambda p: p.select("--budget", "little"), "Cannot read the budget 'little'"),
    "unknown projection": (
        lambda p: p.select("--target-modules", "q_prj"),
        "Unknown target module 'q_prj'. Did you mean 'q_proj'",
    ),
    "no scores": (lambda p: ("select", "--scores", p.root), "head_scores.json"),
    "no selection": (lambda p: p.tune(p.root), "No selection at", "selection.json"),
    "broken selection": (lambda p: p.tune(edit_json(p.selection(), layers=[7])), "selection.json", "Layer 7"),
    "unknown schedule": (
        lambda p: p.tune(p.selection(), "--lr-scheduler-type", "cosin"),
        "Unknown lr_scheduler_type 'cosin'. Did you mean 'cosine'",
    ),
    "cache": (lambda p: p.tune(p.selection(), "--prefix-cache", "of"), "--prefix-cache 'of'", "'off'"),
    "warm-up in steps": (
        lambda p: p.tune(p.selection(), "--warmup-ratio", 5), "warmup_ratio must be below 1, a share: got 5.0"
    ),
    "steps and epochs": (
        lambda p: p.tune(p.selection(), "--max-steps", 5, "--epochs", 1),
        "Two lengths given: max_steps=5 and epochs=1.0; expected one",
    ),
    "no steps": (lambda p: p.tune(p.selection(), "--max-steps", 0), "max_steps must be above 0"),
    "rank of 0": (lambda p: p.tune(p.selection(), "--r", 0), "r must be", "0"),
    "unknown projection to tune": (
        lambda p: p.tune(p.selection(), "--target-modules", "qproj"),
        "Unknown target module 'qproj'. Did you mean 'q_proj'",
    ),
    "unknown task": (
        lambda p: ("dataset", "build", "scenes", "--task", "were"),
        "Unknown task 'were'. Did you mean 'where'",
    ),
    "no scenes": (lambda p: ("dataset", "build", "scenes", "--count", 0), "--count 0"),
    "no runs": (lambda p: ("compare",), "No run named"),
    "no run in a folder": (lambda p: ("compare", p.root), "No finished run in"),
    "unknown primary": (lambda p: ("compare", p.root, "--primary", "exact"), "Unknown metric 'exact'"),
    "nothing to report": (lambda p: ("report", p.root), "No run found in"),
    "report of another ending": (lambda p: ("report", written_scores(p.root / "scores")), "no HTML file by its name"),
    "report on a missing folder": (lambda p: ("report", p.root / "no"), "Run folder not found"),
    "demo with k of 0": (lambda p: ("demo", "--model", p.model, "--k", 0), "k = 0"),
    "demo with k too large": (lambda p: ("demo", "--model", p.model, "--k", 4), "Cannot choose 4 layers"),
    "demo with an unknown task": (lambda p: ("demo", "--model", p.model, "--task", "were"), "Unknown task 'were'"),
    "demo with an unknown metric": (lambda p: ("demo", "--model", p.model, "--primary", "bleu"), "Unknown metric"),
    "demo on data without splits' pictures": (
        lambda p: ("demo", "--model", p.model, "--data", p.data(split="train")),
        "calibration",
    ),
    "config missing": (lambda p: ("score", "--config", p.root / "no.yaml"), "Config file not found"),
    "config of another kind": (
        lambda p: ("score", "--config", p.yaml("batch_size: many")),
        "batch_size is 'many', expected int",
    ),
    "config with an unknown option": (
        lambda p: ("score", "--config", p.yaml("batchsize: 2")),
        "Unknown option 'batchsize'. Did you mean 'batch_size'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_bad_options_are_refused(place, name):
    make, *parts = OPTIONS[name]
    refused(place, make(place), *parts)


def test_an_unknown_list_names_the_near_one(capsys):
    answer = run("list", "metric")
    assert answer.code == 2
    assert "Unknown list 'metric'. Did you mean 'metrics'" in answer.errors[0]


def test_the_java_tokenizer_is_missed_before_anything_is_generated(place, monkeypatch):
    monkeypatch.setenv("PATH", str(place.root))
    refused(place, place.evaluate("--tokenizer", "ptb"), "needs Java", "apt install")


USED = {
    "score": lambda p: p.score(p.data()),
    "select": lambda p: p.select(),
    "tune": lambda p: p.tune(p.selection()),
    "evaluate": lambda p: p.evaluate(),
    "report": lambda p: ("report", written_scores(p.root / "scores")),
    "scenes": lambda p: ("dataset", "build", "scenes", "--count", 4),
    "demo": lambda p: ("demo", "--model", p.model),
}


@pytest.mark.parametrize("stage", USED)
def test_a_used_output_is_refused_and_left_as_it_was(place, stage):
    words = USED[stage](place)
    if stage == "report":
        place.out = place.root / "out.html"
        place.out.write_text("mine")
    else:
        place.out.mkdir()
        (place.out / "mine.txt").write_text("mine")
    answer = run(*words, "--out", place.out)
    assert answer.code == 2
    assert len(answer.errors) == 1
    assert str(place.out) in answer.errors[0]
    found = [place.out] if stage == "report" else list(place.out.iterdir())
    assert [path.read_text() for path in found] == ["mine"]


@pytest.mark.parametrize("stage", ["score", "select", "tune", "evaluate", "demo"])
def test_resume_in_a_folder_of_others_is_refused(place, stage):
    place.out.mkdir()
    (place.out / "mine.txt").write_text("mine")
    answer = run(*USED[stage](place), "--resume", "--out", place.out)
    assert answer.code == 2
    assert "no config.yaml of a run" in answer.errors[0]
    assert [path.name for path in place.out.iterdir()] == ["mine.txt"]


def test_an_output_below_a_file_is_refused(place):
    (place.root / "file").write_text("mine")
    place.out = place.root / "file" / "out"
    answer = run(*place.select(), "--out", place.out)
    assert answer.code == 1
    assert str(place.out) in answer.errors[0]


FEW = ("--calibration", 2, "--train", 2, "--validation", 0, "--test", 2)
FULL = {
    "score": lambda p: p.score(p.data()),
    "select": lambda p: p.select(),
    "tune": lambda p: p.tune(p.selection(), "--split", "all", "--max-steps", 1),
    "evaluate": lambda p: p.evaluate("--max-new-tokens", 1),
    "report": lambda p: ("report", written_scores(p.root / "scores")),
    "scenes": lambda p: ("dataset", "build", "scenes", "--count", 4),
    "demo": lambda p: ("demo", "--model", p.model, "--random-draws", 2, *FEW),
}


@pytest.mark.parametrize("spared", [0, 1], ids=["nothing can be written", "the disk fills up after the first file"])
@pytest.mark.parametrize("stage", FULL)
def test_a_full_disk_is_one_line_with_exit_code_1(place, monkeypatch, stage, spared):
    words = FULL[stage](place)
    place.out = place.root / ("out.html" if stage == "report" else "out")
    left = [spared]
    make_file, make_folder = tempfile.mkstemp, tempfile.mkdtemp

    def full(make: Callable[..., Any]) -> Callable[..., Any]:
        def attempt(**options: Any) -> Any:
            if place.root not in Path(str(options.get("dir") or "/")).parents and options.get("dir") != place.root:
                return make(**options)
            if left[0] == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            left[0] -= 1
            return make(**options)

        return attempt

    monkeypatch.setattr("headimpact.core.artifacts.tempfile.mkstemp", full(make_file))
    monkeypatch.setattr("headimpact.core.artifacts.tempfile.mkdtemp", full(make_folder))
    if spared and stage in {"report", "scenes"}:
        assert run(*words, "--out", place.out).code == 0
    else:
        refused(place, words, "No space left on device", code=1)
