import json

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from headimpact.cli.main import main
from headimpact.core.errors import DataFormatError, OptionError
from headimpact.models.adapter_check import check_adapter
from headimpact.models.loading import load_model

TARGETS = [f"model.language_model.layers.1.self_attn.{name}" for name in ("q_proj", "v_proj")]


@pytest.fixture
def adapter(tiny_checkpoint, tmp_path):
    base = load_model(tiny_checkpoint("llava-siglip")).model
    get_peft_model(base, LoraConfig(r=2, target_modules=TARGETS, use_dora=True)).save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def change_weights(folder, change):
    path = folder / "adapter_model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def test_every_weight_finds_its_module(tiny_checkpoint, adapter):
    places = check_adapter(tiny_checkpoint("llava-siglip"), adapter)
    assert places.weights == 6  # A, B and a magnitude for each of two projections
    assert list(places.modules) == TARGETS


def test_the_name_that_the_base_model_had_in_training_does_not_matter(tiny_checkpoint, adapter):
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": "owner/name"}))
    check_adapter(tiny_checkpoint("llava-siglip"), adapter)  # a warning would be an error here


def other_names(weights):
    return {name.replace("model.language_model.", "language_model.model."): value for name, value in weights.items()}


def other_sizes(weights):
    return {name: torch.zeros(2, 3) if "q_proj.lora_A" in name else value for name, value in weights.items()}


def fewer(weights):
    return {name: value for name, value in weights.items() if "v_proj.lora_B" not in name}


@pytest.mark.parametrize(
    ("change", "helps"),
    [
        pytest.param(
            other_names,
            r"of 6 weights 6 find no module and 0 one of another size; 6 expected .*nearest module here is "
            r"'model\.language_model\.layers\.1\.self_attn\.",
            id="names",
        ),
        pytest.param(other_sizes, r"0 find no module and 1 one of another size.*q_proj\.lora_A", id="sizes"),
        pytest.param(fewer, r"1 expected weights are not there. First: .*v_proj\.lora_B", id="missing"),
    ],
)
def test_weights_without_a_place_are_named(tiny_checkpoint, adapter, change, helps):
    change_weights(adapter, change)
    with pytest.raises(OptionError, match=helps):
        check_adapter(tiny_checkpoint("llava-siglip"), adapter)


def test_another_models_targets_are_named(tiny_checkpoint, adapter):
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "target_modules": ["nowhere.q_proj"]}))
    with pytest.raises(OptionError, match="6 find no module"):
        check_adapter(tiny_checkpoint("llava-siglip"), adapter)


def test_a_folder_that_is_no_adapter_is_refused(tiny_checkpoint, tmp_path):
    with pytest.raises(DataFormatError, match=r"has no adapter_config\.json"):
        check_adapter(tiny_checkpoint("llava-siglip"), tmp_path)


def test_the_command_says_so(tiny_checkpoint, adapter, capsys):
    words = ["export", "--check", str(adapter.parent), "--model", str(tiny_checkpoint("llava-siglip"))]
    assert main(words) == 0
    assert "every weight found its module: 6 weights on 2 modules" in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["modules"] == TARGETS
    change_weights(adapter, fewer)
    assert main(words) == 2
    assert "Adapter does not fit the model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "helps"),
    [
        pytest.param([], "--selection and --to are needed", id="nothing"),
        pytest.param(["--to", "peft"], "--selection and --to are needed", id="no-selection"),
        pytest.param(["--check", "x"], "go together", id="no-model"),
        pytest.param(["--check", "x", "--model", "y", "--to", "peft"], "expected one of the two", id="both"),
    ],
)
def test_options_that_do_not_go_together(words, helps, capsys):
    assert main(["export", *words]) == 2
    assert helps in capsys.readouterr().err
