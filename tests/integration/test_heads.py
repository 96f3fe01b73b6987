"""Single heads through the command line: a selection file made in Python is tuned, checked, evaluated and compared."""

import json

import torch

from headimpact.models.loading import load_model
from headimpact.selection.selection import Selection
from tests.integration.conftest import done, run

HEADS = ((0, 1), (2, 0), (2, 3))


def test_heads_from_selection_to_comparison(tiny_llava, scenes, tmp_path):
    base = load_model(tiny_llava)
    of = base.family.architecture(base.config)
    inputs = ("--model", tiny_llava, "--data", scenes)
    for name, heads in (("given", HEADS), ("random", ((0, 2), (2, 1), (2, 2)))):
        chosen = Selection(
            strategy=name, layers=(0, 2), heads=heads, architecture=of, r=2, target_modules=("q_proj", "o_proj")
        )
        chosen.write(tmp_path / name / "selection.json")
    words = ("tune", *inputs, "--selection", tmp_path / "given", "--max-steps", 2, "--batch-size", 2, "--json")
    assert done(*words, "--dry-run", "--out", tmp_path / "plan").json["heads"] == [list(head) for head in HEADS]
    done(*words, "--weight-decay", 0.1, "--out", tmp_path / "tuned")
    planned = Selection.read(tmp_path / "given" / "selection.json").trainable_parameters()
    assert json.loads((tmp_path / "tuned" / "tuning.json").read_text())["trainable_parameters"] == planned

    checked = done("export", "--check", tmp_path / "tuned", "--model", tiny_llava, "--json").json
    assert checked["modules"] == sorted(Selection.read(tmp_path / "tuned" / "selection.json").target_module_names())
    refused = run("export", "--selection", tmp_path / "tuned", "--to", "peft")
    assert (refused.code, "3 single heads" in refused.err) == (2, True)

    tuned = load_model(tiny_llava, adapter=tmp_path / "tuned" / "adapter").model.merge_and_unload()
    width = of.projections["q_proj"][1] // of.num_heads
    before = dict(base.model.named_parameters())
    for layer_idx, expected in {0: [1], 1: [], 2: [0, 3]}.items():
        name = f"{of.module_name(layer_idx, 'q_proj')}.weight"
        moved = (dict(tuned.named_parameters())[name] != before[name]).any(dim=1).view(of.num_heads, width)
        assert torch.nonzero(moved.any(dim=1)).flatten().tolist() == expected

    done("tune", *inputs, "--selection", tmp_path / "random", "--max-steps", 2, "--out", tmp_path / "other")
    short = ("--max-new-tokens", 3, "--batch-size", 4)
    for name, adapter in (("base", ()), ("tuned", ("--adapter", tmp_path / "tuned"))):
        done("evaluate", *inputs, *adapter, *short, "--out", tmp_path / f"eval-{name}")
    done("evaluate", *inputs, "--adapter", tmp_path / "other", *short, "--out", tmp_path / "eval-other")
    arm = json.loads((tmp_path / "eval-tuned" / "metrics.json").read_text())["arm"]
    assert arm["heads"] == [list(head) for head in HEADS]
    runs = [tmp_path / f"eval-{name}" for name in ("base", "tuned", "other")]
    table = done("compare", *runs, "--bootstrap", 100, "--out", tmp_path / "compare").out
    assert "given" in table
    report = done("report", *runs, tmp_path / "tuned", "--out", tmp_path / "report.html")
    assert report.code == 0
    page = (tmp_path / "report.html").read_text()
    assert "Chosen heads (given): 3 heads in 2 of 3 layers" in page
    assert "layer.head: 0.1 2.0 2.3" in page
