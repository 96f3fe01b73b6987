import json

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file

from headimpact.core.errors import DataFormatError, OptionError
from headimpact.models.loading import load_model, untrained_twin

TARGETS = [f"model.language_model.layers.1.self_attn.{name}" for name in ("q_proj", "v_proj")]


@pytest.fixture
def adapter(tiny_checkpoint, tmp_path):
    base = load_model(tiny_checkpoint("llava-siglip")).model
    torch.manual_seed(0)
    tuned = get_peft_model(base, LoraConfig(r=2, target_modules=TARGETS, init_lora_weights=False))
    tuned.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def change_weights(folder, change):
    path = folder / "adapter_model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def test_an_adapter_changes_the_model_and_its_attention_is_still_found(tiny_checkpoint, tiny_model, adapter):
    loaded = load_model(tiny_checkpoint("llava-siglip"), adapter=adapter)
    base = tiny_model("llava-siglip")
    assert list(loaded.family.attention_modules(loaded.model)) == [0, 1, 2]
    assert not loaded.model.training
    ids = torch.arange(10, 20)[None]
    with torch.no_grad():
        tuned = loaded.family.backbone(loaded.model)(input_ids=ids).last_hidden_state
        plain = base.family.backbone(base.model)(input_ids=ids).last_hidden_state
    assert not torch.allclose(tuned, plain)
    assert loaded.family.architecture(loaded.config).total_parameters == base.model.num_parameters()


def test_the_untrained_twin_has_no_adapter(tiny_checkpoint, adapter):
    loaded = load_model(tiny_checkpoint("llava-siglip"), adapter=adapter)
    twin = untrained_twin(loaded, 0)
    assert twin.adapter is None
    assert not any("lora" in name for name, _ in twin.model.named_parameters())


@pytest.mark.parametrize("gone", ["adapter_config.json", "adapter_model.safetensors"])
def test_missing_files(tiny_checkpoint, adapter, gone):
    (adapter / gone).unlink()
    with pytest.raises(DataFormatError, match=f"Not a PEFT adapter folder: .* has no {gone}"):
        load_model(tiny_checkpoint("llava-siglip"), adapter=adapter)


def test_broken_weights(tiny_checkpoint, adapter):
    (adapter / "adapter_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(DataFormatError, match="Cannot read the adapter in"):
        load_model(tiny_checkpoint("llava-siglip"), adapter=adapter)


def test_targets_that_the_base_does_not_have(tiny_checkpoint, adapter):
    path = adapter / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "target_modules": ["model.decoder.q_proj"]}))
    with pytest.raises(OptionError, match=r"Adapter does not fit the model.*Pass the base model"):
        load_model(tiny_checkpoint("llava-siglip"), adapter=adapter)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        pytest.param(
            lambda weights: {name.replace("layers.1.", "layers.7."): value for name, value in weights.items()},
            "4 weights found no module, 4 modules no weight",
            id="another layer",
        ),
        pytest.param(
            lambda weights: {name: value for name, value in weights.items() if "q_proj" in name},
            "0 weights found no module, 2 modules no weight",
            id="half of it missing",
        ),
        pytest.param(
            lambda weights: {name: torch.cat([value, value], dim=1) for name, value in weights.items()},
            r"does not fit the model: .*: 4 weights are of another size, first .*\(\d+, \d+\) where the model has \(",
            id="another width",
        ),
    ],
)
def test_weights_that_do_not_all_land(tiny_checkpoint, adapter, change, match):
    change_weights(adapter, change)
    with pytest.raises(OptionError, match=match):
        load_model(tiny_checkpoint("llava-siglip"), adapter=adapter)


def test_adapters_that_add_tokens(tiny_checkpoint, adapter):
    PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2).save_pretrained(adapter)
    with pytest.raises(OptionError, match="puts tokens of its own into the sequence"):
        load_model(tiny_checkpoint("llava-siglip"), adapter=adapter)
