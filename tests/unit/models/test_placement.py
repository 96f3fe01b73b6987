"""Models that are spread over devices or loaded in fewer bits are captured like any other."""

import sys
from typing import Any

import pytest
import torch
from accelerate import disk_offload
from PIL import Image
from transformers import BitsAndBytesConfig, LlamaConfig

from headimpact.attention.self_check import check_capture
from headimpact.core.errors import MissingExtraError, OptionError
from headimpact.models.loading import load_model, untrained_twin
from headimpact.models.placement import Placement
from headimpact.models.prompts import encode

IMAGE = Image.new("RGB", (60, 40), "red")


def one_row(loaded):
    return encode(loaded, [IMAGE], ["What colour?"], ["a red circle"])


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_a_quantised_model_is_captured(bits):
    loaded = load_model("embedded", device="cpu", quantization=bits)
    kinds = {type(module).__name__ for module in loaded.model.modules()}
    assert {"4bit": "Linear4bit", "8bit": "Linear8bitLt"}[bits] in kinds
    assert loaded.quantization == loaded.describe()["quantization"] == bits
    check = check_capture(loaded, one_row(loaded))
    assert check.output_difference == 0.0
    assert loaded.family.architecture(loaded.config).projections["q_proj"] == (128, 128)


def test_a_quantised_models_twin_is_not_quantised():
    twin = untrained_twin(load_model("embedded", quantization="4bit"), 0)
    assert twin.quantization is None
    assert "Linear4bit" not in {type(module).__name__ for module in twin.model.modules()}
    assert check_capture(twin, one_row(twin)).output_difference == 0.0


def test_a_checkpoint_that_was_saved_quantised(tmp_path):
    first = load_model("embedded", quantization="4bit")
    first.model.save_pretrained(tmp_path)
    first.processor.save_pretrained(tmp_path)
    again = load_model(tmp_path)
    assert again.quantization == "4bit"
    assert "Linear4bit" in {type(module).__name__ for module in again.model.modules()}
    assert check_capture(again, one_row(again)).output_difference == 0.0


def test_a_model_spread_by_accelerate(tiny_checkpoint):
    plain = load_model(tiny_checkpoint("qwen2_5_vl"))
    spread = load_model(tiny_checkpoint("qwen2_5_vl"), device_map="auto")
    assert spread.device == torch.device("cpu")
    assert check_capture(spread, one_row(spread)) == check_capture(plain, one_row(plain))


def test_layers_that_wait_on_disk_are_captured(tiny_checkpoint, tmp_path):
    loaded = load_model(tiny_checkpoint("qwen2_5_vl"))
    before = check_capture(loaded, one_row(loaded))
    disk_offload(loaded.model.model.language_model, tmp_path, execution_device=torch.device("cpu"))
    layer: Any = loaded.family.attention_modules(loaded.model)[0]
    assert layer.q_proj.weight.is_meta, "the layer is on disk"
    assert check_capture(loaded, one_row(loaded)) == before


@pytest.mark.parametrize(
    ("given", "match"),
    [
        pytest.param({"device_map": "everywhere"}, "Unknown --device-map 'everywhere'", id="device map"),
        pytest.param({"device_map": "auto", "device": "cpu"}, "contradict each other", id="device and device map"),
        pytest.param({"quantization": "3bit"}, "Unknown --quantization '3bit'.*4bit", id="quantization"),
    ],
)
def test_refused(given, match):
    with pytest.raises(OptionError, match=match):
        Placement.resolve(**{"device": "auto", "dtype": "auto", **given})


def test_the_package_for_fewer_bits_may_be_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingExtraError, match=r"--quantization 4bit needs .*headimpact\[quantization\]"):
        Placement.resolve(device="cpu", dtype="auto", quantization="4bit")


def test_computations_of_4_bits_are_in_the_format_asked_for():
    options = Placement(torch.device("cpu"), torch.float16, quantization="4bit").loading_options(LlamaConfig())
    assert isinstance(options["quantization_config"], BitsAndBytesConfig)
    assert options["quantization_config"].bnb_4bit_compute_dtype == torch.float16
    assert options["device_map"] == {"": torch.device("cpu")}
    assert Placement(torch.device("cpu"), torch.float16).loading_options(LlamaConfig()) == {}
