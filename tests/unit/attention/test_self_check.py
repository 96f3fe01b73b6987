import logging

import pytest
import torch
from PIL import Image

from headimpact.attention import self_check
from headimpact.attention.self_check import CaptureCheck, check_capture
from headimpact.core.errors import RunFailedError
from headimpact.models.prompts import encode


def sample(loaded):
    return encode(loaded, [Image.new("RGB", (60, 40), "red")], ["What colour?"], ["a red circle"])


@pytest.mark.parametrize("name", ["llava-siglip", "qwen2_5_vl"])
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_passes_and_says_so(tiny_model, caplog, name, implementation, dtype):
    loaded = tiny_model(name, attn_implementation=implementation, dtype=dtype)
    with caplog.at_level(logging.INFO, logger="headimpact"):
        check = check_capture(loaded, sample(loaded))
    assert f"Capture self-check passed: implementation {implementation}, {dtype}" in caplog.text
    assert check.output_difference == 0
    assert check.row_difference <= (1e-6 if dtype == "float32" else 8e-3)
    assert check.implementation_difference <= (1e-5 if dtype == "float32" else 0.1)


def test_the_models_implementation_is_put_back(tiny_model):
    loaded = tiny_model("llava-siglip")
    modules = loaded.family.attention_modules(loaded.model).values()
    check_capture(loaded, sample(loaded))
    assert {module.config._attn_implementation for module in modules} == {"sdpa"}
    assert loaded.model.model.vision_tower.config._attn_implementation == "sdpa"


def test_can_fail_on_a_wrong_recomputation(tiny_model, monkeypatch):
    from headimpact.attention import reduction

    loaded = tiny_model("llava-siglip")
    right = reduction._Rows._masked
    monkeypatch.setattr(reduction._Rows, "_masked", lambda self, logits, *rest: right(self, logits * 1.1, *rest))
    with pytest.raises(RunFailedError, match="captured rows are not eager's"):
        check_capture(loaded, sample(loaded))


def test_can_fail_on_a_changed_output(tiny_model, monkeypatch):
    loaded = tiny_model("llava-siglip")
    hidden, calls = self_check._hidden, []

    def disturbed(*args):
        calls.append(1)
        return hidden(*args) + (0.5 if len(calls) == 3 else 0.0)

    monkeypatch.setattr(self_check, "_hidden", disturbed)
    with pytest.raises(RunFailedError, match=r"capture changes the model's outputs.*differ by 5\.0e-01"):
        check_capture(loaded, sample(loaded))


def test_outputs_that_are_no_numbers_are_the_models_own(tiny_model, monkeypatch):
    loaded = tiny_model("llava-siglip")
    hidden = self_check._hidden
    monkeypatch.setattr(self_check, "_hidden", lambda *args: hidden(*args) * float("nan"))
    with pytest.raises(RunFailedError, match=r"are not finite in float32, before anything is captured.*--dtype, and"):
        check_capture(loaded, sample(loaded))


def test_kernels_that_do_not_repeat_themselves_are_judged_by_that():
    self_check._judge(CaptureCheck("sdpa", "float32", 1e-7, 1e-7, 0.0, 0.0), torch.float32, between=torch.float32)
    with pytest.raises(RunFailedError, match="changes the model's outputs"):
        self_check._judge(CaptureCheck("sdpa", "float32", 2e-7, 1e-7, 0.0, 0.0), torch.float32, between=torch.float32)


def test_implementations_that_differ_are_refused():
    check = CaptureCheck("sdpa", "float32", 0.0, 0.0, 0.0, 1e-3)
    with pytest.raises(RunFailedError, match="sdpa and eager attend differently"):
        self_check._judge(check, torch.float32, between=torch.float32)
    self_check._judge(check, torch.float32, between=torch.bfloat16)
