"""README and docs hold nothing that does not work: commands parse, options exist, examples run."""

import dataclasses
import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import headimpact
from headimpact.cli.main import COMMANDS, main, parse_config, split_command
from headimpact.data.formats import read_dataset
from headimpact.embedded.scenes import build_scenes
from tests.builders import picture

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.py")])
FOREIGN_OPTIONS = {"--help"}


def fenced(text: str) -> list[tuple[str, str]]:
    """Give language and content of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Give every line of a document that calls the command."""
    found = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        lines = (
            text.splitlines() if path.suffix == ".py" else "\n".join(block for _, block in fenced(text)).splitlines()
        )
        found += [line.strip() for line in lines if line.strip().startswith("headimpact ")]
        found += re.findall(r"`(headimpact [^`]+)`", text)
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("line", commands())
def test_every_command_in_the_documents_parses(line):
    words = shlex.split(line, comments=True)[1:]
    command, rest = split_command(words)
    assert command is not None
    if not any(word in {"--out", "--data"} for word in rest):  # named in a sentence, with its required options left out
        kind = COMMANDS[command][0]
        required = [f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING]
        rest += [word for name in required if name not in {"runs", "data", "kind"} for word in (f"--{name}", "x")]
        rest += ["x"] if {"runs", "kind"} & set(required) and not [w for w in rest if not w.startswith("-")] else []
    parse_config(COMMANDS[command][0], rest, command)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_only_options_that_exist_are_mentioned(path):
    known = {f"--{field.name.replace('_', '-')}" for kind, _ in COMMANDS.values() for field in dataclasses.fields(kind)}
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", path.read_text(encoding="utf-8")))
    assert mentioned <= known | FOREIGN_OPTIONS


def test_the_targets_that_the_readme_names_are_in_the_makefile():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"(?:^|`)make (\w+)", text, flags=re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets >= {"demo", "test"}
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.suffix == ".md"], ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(path):
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", path.read_text(encoding="utf-8"))
    missing = [link for link in links if not (path.parent / link).exists()]
    assert missing == []


def test_the_architecture_names_files_that_are_there():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    there = [f"/{path.relative_to(ROOT)}" for path in (ROOT / "src").rglob("*.py")]
    named = set(re.findall(r"`([\w/]+\.py)`", text))
    assert len(named) > 30
    assert [name for name in sorted(named) if not any(path.endswith(f"/{name}") for path in there)] == []


def test_public_names_are_few_documented_and_there():
    text = "\n".join(path.read_text(encoding="utf-8") for path in DOCUMENTS)
    assert len(headimpact.__all__) <= 15
    for name in headimpact.__all__:
        assert getattr(headimpact, name).__doc__, name
        assert re.search(rf"\b{name}\b", text), name
    stub = (ROOT / "src" / "headimpact" / "__init__.pyi").read_text(encoding="utf-8")
    assert set(re.findall(r" as (\w+)", stub)) == set(headimpact.__all__)
    assert {name for name in dir(headimpact) if not name.startswith("__")} == set(headimpact.__all__)


def test_an_unknown_public_name_is_refused_with_the_known_ones():
    name = "score_head"
    with pytest.raises(AttributeError, match=r"has no attribute 'score_head'.*score_heads"):
        getattr(headimpact, name)


def test_the_readmes_python_uses_names_and_options_that_exist():
    blocks = [
        block for language, block in fenced((ROOT / "README.md").read_text(encoding="utf-8")) if language == "python"
    ]
    assert blocks
    for block in blocks:
        compile(block, "README.md", "exec")
        for name in re.findall(r"\bhi\.(\w+)", block):
            assert name in headimpact.__all__, name


def test_the_examples_of_the_data_format_are_read(tmp_path):
    text = (ROOT / "docs" / "data_format.md").read_text(encoding="utf-8")
    files = dict(re.findall(r"^`([\w.]+)`:\n\n```json\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL))
    assert set(files) == {"instances.json", "captions.json", "metadata.jsonl"}
    coco, ours = tmp_path / "coco", tmp_path / "ours"
    picture(coco / "images" / "1.png")
    for name in ("instances.json", "captions.json"):
        (coco / name).write_text(files[name])
    sample = read_dataset(coco)[0]
    assert (sample.split, sample.prompt, sample.key_objects[0].category) == ("train", "What is in the picture?", "dog")
    assert int(sample.load_mask().sum()) == 6
    for number in (1, 2):
        picture(ours / "images" / f"{number}.png")
        (ours / "masks").mkdir(exist_ok=True)
        Image.new("L", (6, 4), 255).save(ours / "masks" / f"{number}.png")
    (ours / "metadata.jsonl").write_text(files["metadata.jsonl"])
    read = read_dataset(ours)
    assert [one.captions for one in read] == [("A dog.",), ("Two dogs.",)]
    assert all(json.loads(line) for line in files["metadata.jsonl"].splitlines())


def test_the_quickstart_runs(tmp_path, capsys):
    path = ROOT / "examples" / "quickstart.py"
    spec = importlib.util.spec_from_file_location("quickstart", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    data = build_scenes(tmp_path / "data", task="where", counts={"calibration": 4, "train": 4, "test": 4}, seed=0)
    module.main(data, tmp_path / "out", limit=4, max_steps=1)
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("top-k: layers (")
    assert out[-1] == str(tmp_path / "out" / "report.html")
    assert (tmp_path / "out" / "report.html").is_file()


def test_the_example_for_own_pictures_runs(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("score_own_images", ROOT / "examples" / "score_own_images.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    names = [f"{number}.png" for number in range(16)]
    lines = ["file_name,caption,category", *(f"{name},A dog.,dog" for name in names)]
    for number, name in enumerate(names):
        picture(tmp_path / "photos" / name, (60, 60), seed=number)
        mask = Image.new("L", (60, 60))
        mask.paste(255, (number, 10, number + 30, 40))
        (tmp_path / "masks").mkdir(exist_ok=True)
        mask.save(tmp_path / "masks" / name)
    (tmp_path / "captions.csv").write_text("\n".join(lines))
    command = next(line for line in (module.__doc__ or "").splitlines() if line.startswith("headimpact dataset"))
    words = [str(tmp_path / word) if "-" not in word else word for word in shlex.split(command)[4:]]
    assert main(["dataset", "build", "pictures", *words]) == 0
    capsys.readouterr()
    module.main(tmp_path / "my_pictures", tmp_path / "runs", donors=2, draws=1000, examples=0)
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 5
    assert all(re.fullmatch(r"layer \d+, head \d+: 0\.\d{3}, [+-]\d\.\d{3} above chance", line) for line in out)


def test_the_package_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "headimpact", "--version"], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout == f"headimpact {headimpact.__version__}\n"


def test_what_the_readme_shows_of_the_demo_is_what_the_demo_said():
    answer = (ROOT / "docs/results/demo/answer.txt").read_text(encoding="utf-8").splitlines()
    block = (ROOT / "README.md").read_text(encoding="utf-8").split("one page:\n\n```\n")[1].split("\n```")[0]
    assert set(block.splitlines()) <= set(answer)


def test_the_protocols_grid_is_what_was_measured():
    rows = json.loads((ROOT / "benchmarks/results/settle_training.json").read_text(encoding="utf-8"))["rows"]
    measured: dict[tuple[str, int, float], dict[str, float]] = {}
    for row in rows:
        if row["arm"] != "base":
            point = measured.setdefault((row["task"], row["steps"], row["learning_rate"]), {})
            point[row["arm"]] = row["exact_match"]
    page = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
    task = ""
    shown: dict[tuple[str, int, float], list[str]] = {}
    for line in page.split("| mean of the pairs |\n")[1].split("\n\n")[0].splitlines()[1:]:
        name, steps, rate, *values = [cell.strip() for cell in line.strip("|").split("|")]
        task = name.split()[0] if name else task
        shown[task, int(steps), float(rate)] = values
    assert set(shown) == set(measured)
    for place, values in shown.items():
        found = [measured[place].get(arm) for arm in ("all", "random-0", "random-1", "random-2")]
        written = ["not run" if value is None else f"{value:.3f}" for value in found]
        pairs = [value for value in found[1:] if value is not None]
        mean = f"{sum(pairs) / len(pairs):.3f}" if len(pairs) == 3 else ""
        assert values == [*written, mean], place


def test_the_page_of_families_is_what_the_tables_say():
    from headimpact.workflows.listing import list_families, markdown_tables

    page = (ROOT / "docs/families.md").read_text(encoding="utf-8")
    assert page.endswith("\n\n" + "\n".join(markdown_tables(list_families())) + "\n")


def test_the_page_of_measures_is_what_the_table_says():
    from headimpact.workflows.listing import list_metrics, markdown_tables

    page = (ROOT / "docs/measures.md").read_text(encoding="utf-8")
    assert "\n\n" + "\n".join(markdown_tables(list_metrics())) + "\n\n" in page


def test_the_tested_version_of_transformers_is_the_pinned_one():
    from headimpact.models.families import TESTED_TRANSFORMERS

    assert f"transformers=={TESTED_TRANSFORMERS}\n" in (ROOT / "constraints.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("task", ["where", "wording"])
def test_what_the_readme_shows_of_the_study_is_what_the_study_said(task):
    answer = (ROOT / f"docs/results/study_{task}/answer.txt").read_text(encoding="utf-8").splitlines()
    block = (ROOT / "README.md").read_text(encoding="utf-8").split(f"study_{task}/report.html)):\n\n```\n")[1]
    assert set(block.split("\n```")[0].splitlines()) <= set(answer)


@pytest.mark.parametrize("task", ["where", "wording", "vqa"])
def test_what_the_page_of_the_experiment_shows_is_what_came_out(task):
    answer = (ROOT / f"docs/results/experiment/{task}/answer.txt").read_text(encoding="utf-8").splitlines()
    page = (ROOT / "docs/experiment.md").read_text(encoding="utf-8")
    block = page.split(f"results/experiment/{task}/report.html))")[1].split("```\n")[1]
    assert set(block.splitlines()) <= set(answer)
    table = json.loads((ROOT / f"docs/results/experiment/{task}/comparison.json").read_text(encoding="utf-8"))
    place = ("where", "wording", "vqa").index(task)
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:2] == "| "]
    shown = {row[0]: row[1 + place] for row in cells if len(row) == 4}
    tests = {row["arm"]: row["test"] for row in table["rows"] if row["test"] is not None}
    assert len(tests) == 5
    assert {arm: shown[arm] for arm in tests} == {
        arm: f"{test['effect_size']:+.2f} ({test['p_holm']:.3f})" for arm, test in tests.items()
    }


def test_what_the_protocol_says_of_the_second_task_is_what_came_out():
    text = (ROOT / "docs/results/study_wording/comparison.json").read_text(encoding="utf-8")
    rows = {row["arm"]: row for row in json.loads(text)["rows"]}
    page = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
    top, bottom = (rows[arm]["values"]["exact_match"]["value"] for arm in ("top-k", "bottom-k"))
    assert f"{bottom:.3f} against its {top:.3f}" in page


def test_what_the_page_of_data_sets_says_of_the_speed_is_what_the_benchmark_measured():
    content = json.loads((ROOT / "benchmarks/results/dataset.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs/dataset.md").read_text(encoding="utf-8")
    ratio = {name: found["median"] for name, found in content["ratio"].items()}
    memory = f"{ratio['peak_bytes']:.2f} x"
    for words, name in (("of every object", "all_pixels_"), ("of the key ones alone", "")):
        times = " | ".join(f"{ratio[f'{name}{kind}']:.2f} x" for kind in ("seconds", "cpu_seconds"))
        assert f"{words} | {times} | {memory} |" in page
    assert round(ratio["all_pixels_seconds"], 2) == 0.33, "about a third of the time"
    assert f"it takes {ratio['seconds']:.1f} times as long" in page
    assert all(row["build"]["seconds"] <= 1.5 * row["pycocotools"]["seconds"] for row in content["rows"])
    assert (content["workers"], f"pairs of runs: {len(content['rows'])})" in page) == (2, True)
    assert f"{sum(content['file_bytes'].values()) / 1e6:.0f} MB" in page
    row = content["rows"][0]["pycocotools"]
    assert f"{row['objects']:,} objects, {row['captions']:,} captions" in page
    assert f"{content['rows'][0]['build']['decided']:,} pictures" in page
    assert (content["share"], content["pairs"]) == (1.0, len(content["rows"]))


def test_what_the_readme_says_of_the_speed_is_what_the_benchmark_measured():
    names = ("scoring", "scoring_float32")
    files = [json.loads((ROOT / f"benchmarks/results/{name}.json").read_text(encoding="utf-8")) for name in names]
    rows = [row for content in files for row in content["rows"]]
    times = [row["times"]["ratio_to"]["backbone"]["median"] for row in rows if row["times"]]
    operations = [row["flops"]["per_layer_ratio_to_backbone"] for row in rows]
    kept = [row["bytes_kept_at_full_depth"]["eager"] / row["bytes_kept_at_full_depth"]["scoring"] for row in rows]
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"counts {min(operations):.3f} to {max(operations):.3f} times the operations" in readme
    assert f"takes {min(times):.2f} to {max(times):.2f} times as long" in readme
    assert f"keeps are {min(kept):,.0f} to {max(kept):,.0f} times as large" in readme
    assert max(row["bytes_inside"] for row in rows) <= 32 * 2**20
    assert all(row["flops"]["full_depth_ratio_to_plain"] < 1 for row in rows)


def test_what_is_said_of_the_speed_on_a_gpu_is_what_was_measured():
    content = json.loads((ROOT / "benchmarks/results/scoring_gpu.json").read_text(encoding="utf-8"))
    ratios: dict[bool, list[float]] = {True: [], False: []}
    for row in content["rows"]:
        ratios[row["batch"] * row["length"] >= 8000].append(row["times"]["ratio_to"]["backbone"]["median"])
    page, readme = (
        " ".join((ROOT / name).read_text(encoding="utf-8").split()) for name in ("docs/speed.md", "README.md")
    )
    busy, idle = (f"{min(found):.2f} to {max(found):.2f} times" for found in (ratios[True], ratios[False]))
    assert f"(8,000 tokens in the batch or more), scoring takes {busy} as long" in page
    assert f"what we start comes on top: {idle}" in page
    assert f"and {busy} on an H100 that has 8,000 tokens" in readme
    for row in content["rows"]:
        eager = row["times"]["ratio_to"].get("eager")
        if row["batch"] * row["length"] >= 4000 and eager is not None:
            assert eager["median"] < 1, "eager attention with kept maps is slower from 4,000 tokens on"


def test_what_the_method_says_of_stopping_early_is_what_was_replayed():
    from benchmarks import stability

    content = json.loads((ROOT / stability.RESULTS).read_text(encoding="utf-8"))
    page, rows = (ROOT / "docs/method.md").read_text(encoding="utf-8"), content["rows"]
    assert stability.table(content) in page
    assert all((row["runs"], row["pictures"]) == (200, 1024) for row in rows)
    clear, tied = ([row["saved"] for row in rows if "scenes" in row["set"] and row["k"] == k] for k in (2, 3))
    assert f"{min(clear):.0%} to {max(clear):.0%}".replace("%", " %").replace(" % to", " to") in page
    assert f"{min(tied):.0%} to {max(tied):.0%} are".replace("%", " %").replace(" % to", " to") in page
    assert min(row["kept"] for row in rows) == 1.0
    hasty = 1 - min(row["kept_by_same_choice_twice"] for row in rows)
    assert f"up to {100 * hasty:.1f} % of such runs" in page


def test_what_the_page_of_measures_says_of_the_tokenizers_is_what_was_measured():
    sets = json.loads((ROOT / "benchmarks/results/tokenizers.json").read_text(encoding="utf-8"))["sets"]
    page = " ".join((ROOT / "docs/measures.md").read_text(encoding="utf-8").split())
    for found in sets.values():
        largest = max(map(abs, found["moved"].values()))
        differ = f"{found['captions_that_differ']} of {found['captions']:,} captions"
        assert f"{differ} of {found['pictures']} pictures, and moves no score by more than {largest:.1e}" in page
    assert set(sets["coco_caption"]["moved"]) == {*(f"bleu_{n}" for n in range(1, 5)), "meteor", "rouge_l", "cider_d"}


def test_the_page_of_speed_is_what_the_benchmark_measured():
    from benchmarks import scoring_figure

    page = (ROOT / "docs/speed.md").read_text(encoding="utf-8")
    content = json.loads((ROOT / scoring_figure.RESULTS).read_text(encoding="utf-8"))
    assert f"{scoring_figure.BEGIN}{scoring_figure.measured_part(ROOT)}{scoring_figure.END}" in page
    assert (ROOT / scoring_figure.PICTURE).read_text(encoding="utf-8") == f"{scoring_figure.draw(content)}\n"
    profile = json.loads((ROOT / "benchmarks/results/scoring_profile.json").read_text(encoding="utf-8"))
    assert "Reduction and scores together are below 2 %" in page
    assert all(parts["reduction"] + parts["scores"] < 0.02 for parts in profile["shares"].values())
    apart, shared = (sum(parts.values()) for parts in profile["seconds"].values())
    assert f"takes {shared / apart:.2f} of the time" in " ".join(page.split())


def test_what_the_page_of_speed_says_of_all_scores_is_what_was_measured():
    from headimpact.scoring import SCORES

    content = json.loads((ROOT / "benchmarks/results/all_scores.json").read_text(encoding="utf-8"))
    page = " ".join((ROOT / "docs/speed.md").read_text(encoding="utf-8").split())
    whole, inside = (content[how]["ratio"] for how in ("command", "in_process"))
    assert f"takes {whole:.2f} times as long as Head Impact alone with its own: the whole command" in page
    assert f"on {content['pictures']} scenes and the embedded model" in page
    assert f"Without the start of the program, which is the same for both, it is {inside:.2f} times." in page
    assert whole <= 1.25
    assert set(content["scores"]) == set(SCORES)


def test_the_page_of_tuning_is_what_the_benchmark_measured():
    from benchmarks.tuning import measured_part

    page = (ROOT / "docs/tuning.md").read_text(encoding="utf-8")
    content = json.loads((ROOT / "benchmarks/results/tuning.json").read_text(encoding="utf-8"))
    assert f"<!-- measured -->{measured_part(content)}<!-- end -->" in page
    ratios = {row["third"]: row["ratio_to"] for row in content["rows"]}
    assert max(ratios["top"].values()) <= 0.5
    assert max(ratios["middle"].values()) <= 0.75
    assert max(max(one.values()) for one in ratios.values()) < 1
    assert "Filling the cache pays within the first epoch." in page
    assert all(row["epochs_until_it_pays"] < 1 for row in content["rows"])
    described = (content["model"], content["share"], content["dtype"], content["device"], content["threads"])
    assert described == ("Qwen2-VL-2B", 4, "bfloat16", "cpu", 1)


def test_what_is_said_of_tuning_on_a_gpu_is_what_was_measured():
    from benchmarks.tuning import gpu_part

    page = (ROOT / "docs/tuning.md").read_text(encoding="utf-8")
    content = json.loads((ROOT / "benchmarks/results/tuning_gpu.json").read_text(encoding="utf-8"))
    assert f"<!-- measured on a GPU -->{gpu_part(content)}<!-- end -->" in page
    ratios = {row["third"]: row["ratio_to"] for row in content["rows"]}
    assert max(ratios["top"].values()) <= 0.5
    assert max(ratios["middle"].values()) <= 0.75
    described = (content["model"], content["share"], content["dtype"], content["image_tokens"], content["batch_size"])
    assert described == ("Qwen2.5-VL-3B", 1, "bfloat16", 768, 4)
    assert "H100" in content["device"]


def test_the_picture_of_the_method_is_what_the_scores_say():
    from benchmarks import method_figures

    assert (ROOT / method_figures.PICTURE).read_text(encoding="utf-8") == f"{method_figures.draw()}\n"
    assert method_figures.PICTURE.removeprefix("docs/") in (ROOT / "docs/method.md").read_text(encoding="utf-8")
