import json
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from headimpact.embedded.recipe import SMOKE_PLAN, run_recipe
from headimpact.embedded.training import TrainingRun


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipe")
    run_recipe(out=folder, plan=SMOKE_PLAN, measured_count=2, remark="A smoke.")
    return folder


def test_smoke_writes_a_checkpoint_that_loads(out):
    names = {path.name for path in (out / "checkpoint").iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "README.md"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    processor = AutoProcessor.from_pretrained(out / "checkpoint")
    model = AutoModelForImageTextToText.from_pretrained(out / "checkpoint")
    assert model.dtype == torch.float32
    assert model.config.text_config.num_hidden_layers == SMOKE_PLAN.size.num_layers
    assert processor.image_token_id == model.config.image_token_id


def test_the_card_states_what_was_measured(out):
    card = (out / "checkpoint" / "README.md").read_text()
    assert "on 2 scenes of the split `validation`" in card
    assert "| word/colour and shape |" in card
    assert "A smoke." in card
    assert f"{SMOKE_PLAN.steps} steps" in card


def test_a_killed_run_goes_on_where_it_was(tmp_path, tokenizer):
    plan = replace(SMOKE_PLAN, minutes=1000.0)
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = TrainingRun(plan=plan, tokenizer=tokenizer, folder=tmp_path / "whole")
    whole.train()
    first = TrainingRun(plan=plan, tokenizer=tokenizer, folder=tmp_path / "parts")
    for _ in range(3):
        first._take_step()
        first.step += 1
    first.save()
    second = TrainingRun(plan=plan, tokenizer=tokenizer, folder=tmp_path / "parts")
    second.resume()
    assert second.step == 3
    second.train()
    for one, two in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        torch.testing.assert_close(one, two)


def test_training_learns_and_logs(tmp_path, tokenizer):
    run = TrainingRun(
        plan=replace(SMOKE_PLAN, steps=40, warm_steps=10, minutes=1000.0), tokenizer=tokenizer, folder=tmp_path
    )
    run.train()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [20, 40]
    assert lines[-1]["loss"] < lines[0]["loss"]
