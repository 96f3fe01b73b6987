import json

import peft
import pytest
import yaml

from headimpact.cli.main import main
from tests.unit.tuning.makers import architecture, selection


@pytest.fixture
def chosen(tmp_path):
    path = tmp_path / "top"
    selection([0, 2], architecture()).write(path / "selection.json")
    return path


def test_without_out_the_text_goes_to_stdout(chosen, capsys):
    assert main(["export", "--selection", str(chosen), "--to", "ms-swift"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["lora_rank"] == 8


def test_out_is_written_and_read_by_the_trainer(chosen, capsys):
    out = chosen / "adapter_config.json"
    words = ["export", "--selection", str(chosen / "selection.json"), "--to", "peft", "--out", str(out)]
    assert main([*words, "--r", "2", "--target-modules", "k_proj", "--lora-alpha", "4"]) == 0
    config = peft.LoraConfig.from_pretrained(str(chosen))
    assert (config.r, config.lora_alpha) == (2, 4)
    assert config.target_modules == r"model\.language_model\.layers\.(?:0|2)\.self_attn\.(?:k_proj)"
    assert capsys.readouterr().out.splitlines()[1:] == [
        "modules: 2",
        "trainable: 192 of 100,000 parameters (0.19 %)",
    ]
    assert main(words) == 2
    assert "already exists" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["text"] == out.read_text()
    assert len(answer["modules"]) == 4


@pytest.mark.parametrize(
    ("words", "helps"),
    [
        pytest.param(["--to", "unslot"], "Did you mean 'unsloth'", id="near-trainer"),
        pytest.param(["--to", "peft", "--out", "."], "--out is a folder", id="folder"),
        pytest.param(["--to", "peft", "--target-modules", "qproj"], "'q_proj'", id="near-module"),
        pytest.param(["--to", "peft", "--r", "0"], "at least 1: got 0", id="rank"),
    ],
)
def test_wrong_words_end_with_code_2(chosen, capsys, words, helps):
    assert main(["export", "--selection", str(chosen), *words]) == 2
    assert helps in capsys.readouterr().err


def test_no_selection_is_said(tmp_path, capsys):
    assert main(["export", "--selection", str(tmp_path), "--to", "peft"]) == 2
    assert "Run headimpact select first" in capsys.readouterr().err
