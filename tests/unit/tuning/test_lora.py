import copy
import json

import peft
import pytest
import torch
from torch import nn

from headimpact.core.errors import OptionError, UnknownNameError, UnsupportedModelError
from headimpact.core.lora_arithmetic import count_lora_parameters
from headimpact.selection.selection import Selection
from headimpact.tuning.lora import attach_lora, attached_lora, build_lora_config, count_parameters
from tests.unit.tuning.makers import architecture, deep_llava, deep_qwen, selection, selection_for


@pytest.fixture(scope="module")
def deep():
    torch.manual_seed(0)
    return deep_llava()


def lora_modules(model) -> set[str]:
    return {name for name, module in model.named_modules() if hasattr(module, "lora_A")}


def fill_adapter(attached) -> None:
    generator = torch.Generator().manual_seed(1)
    for parameter in attached.parameters():
        if parameter.requires_grad:
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)


INPUTS = {
    "input_ids": torch.tensor([[5, 3, 3, 3, 3, 9, 11]]),
    "attention_mask": torch.ones(1, 7, dtype=torch.long),
    "pixel_values": torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16),
}


def test_config_names_modules_in_full():
    config = build_lora_config(selection([0, 2], architecture()), r=4, target_modules=("q_proj", "o_proj"))
    assert config.target_modules == {
        "model.language_model.layers.0.self_attn.q_proj",
        "model.language_model.layers.0.self_attn.o_proj",
        "model.language_model.layers.2.self_attn.q_proj",
        "model.language_model.layers.2.self_attn.o_proj",
    }
    assert config.layers_to_transform is None
    assert (config.r, config.lora_alpha, config.lora_dropout) == (4, 16, 0.0)


@pytest.mark.parametrize(
    "target_modules",
    [
        pytest.param(("q_proj", "v_proj"), id="q-v"),
        pytest.param(("q_proj", "k_proj", "v_proj", "o_proj"), id="all-four"),
    ],
)
@pytest.mark.parametrize("layers", [pytest.param((3,), id="one"), pytest.param(tuple(range(16)), id="all-layers")])
def test_only_planned_modules_are_matched_and_counted(deep, layers, target_modules):
    chosen = selection_for(deep, layers)
    config = build_lora_config(chosen, r=4, target_modules=target_modules)
    planned = set(config.target_modules)
    with attached_lora(deep, config) as attached:
        assert lora_modules(deep) == planned
        assert not any("vision_tower" in name for name in lora_modules(deep))
        assert {name for name, parameter in attached.named_parameters() if parameter.requires_grad} == {
            f"base_model.model.{name}.lora_{side}.default.weight" for name in planned for side in "AB"
        }
        counted = count_parameters(attached)
        assert counted == count_lora_parameters(chosen.architecture, layers, r=4, target_modules=target_modules)
        assert counted.trainable == attached.get_nb_trainable_parameters()[0]


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT's own
def test_peft_shortens_many_targets_and_ours_stay_whole():
    model = deep_qwen()
    config = build_lora_config(selection_for(model, range(12)))
    attached = peft.get_peft_model(model, copy.deepcopy(config))
    # The control: PEFT alone would save names that fit any model's q_proj.
    assert attached.peft_config["default"].target_modules == {"q_proj", "v_proj"}
    attached.unload()
    with attached_lora(model, config) as ours:
        assert ours.peft_config["default"].target_modules == sorted(config.target_modules)
        assert lora_modules(model) == config.target_modules


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT's own
def test_many_targets_are_saved_in_full_and_reload_to_the_same_modules(deep, tmp_path):
    config = build_lora_config(selection_for(deep, range(16)), r=2)
    planned = set(config.target_modules)
    assert len(planned) == 32
    with attached_lora(deep, config) as attached:
        fill_adapter(attached)
        attached.eval()
        with torch.no_grad():
            expected = attached(**INPUTS).logits
        attached.save_pretrained(str(tmp_path), save_embedding_layers=False)
    saved = json.loads((tmp_path / "adapter_config.json").read_text())
    assert saved["target_modules"] == sorted(planned)
    reloaded = peft.PeftModel.from_pretrained(deep, str(tmp_path))
    try:
        assert lora_modules(deep) == planned
        with torch.no_grad():
            torch.testing.assert_close(reloaded.eval()(**INPUTS).logits, expected, rtol=0, atol=0)
    finally:
        reloaded.unload()


def test_adapter_names_its_model_class_for_peft_auto_classes(deep, tmp_path):
    with attached_lora(deep, build_lora_config(selection_for(deep, [1]))) as attached:
        attached.save_pretrained(str(tmp_path), save_embedding_layers=False)
    saved = json.loads((tmp_path / "adapter_config.json").read_text())
    assert saved["auto_mapping"]["base_model_class"] == "LlavaForConditionalGeneration"


def test_causal_lm_task_type_passes_through_and_gives_the_same_logits(deep):
    logits = []
    for task_type in (None, "CAUSAL_LM"):
        config = build_lora_config(selection_for(deep, [1, 2]), task_type=task_type)
        with attached_lora(deep, config) as attached:
            fill_adapter(attached)
            with torch.no_grad():
                logits.append(attached.eval()(**INPUTS).logits)
    torch.testing.assert_close(logits[0], logits[1], rtol=0, atol=0)


@pytest.mark.parametrize("inside", [pytest.param(False, id="well"), pytest.param(True, id="error-inside")])
def test_base_model_is_bit_equal_afterwards(deep, inside):
    before = {name: value.clone() for name, value in deep.state_dict().items()}
    modules = dict(deep.named_modules())
    gradients = [parameter.requires_grad for parameter in deep.parameters()]
    settings = dict(vars(deep.config))
    try:
        with attached_lora(deep, build_lora_config(selection_for(deep, [0, 5]))) as attached:
            attached.train()
            fill_adapter(attached)
            deep.config.use_cache = False
            if inside:
                raise InterruptedError
    except InterruptedError:
        pass
    after = deep.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert modules == dict(deep.named_modules())
    assert not any(module.training for module in deep.modules())
    assert gradients == [parameter.requires_grad for parameter in deep.parameters()]
    assert settings == vars(deep.config)
    assert not hasattr(deep, "peft_config")


def test_gradients_reach_down_to_the_lowest_chosen_layer_only(deep):
    with attached_lora(deep, build_lora_config(selection_for(deep, [14, 15]))) as attached:
        attached.train()
        seen = {}

        def watch(module, _, output, *, name):
            hidden = output[0] if isinstance(output, tuple) else output
            seen[name] = hidden.requires_grad

        hooks = [
            layer.register_forward_hook(lambda *event, name=index: watch(*event, name=name))
            for index, layer in enumerate(deep.model.language_model.layers)
        ]
        attached(**INPUTS).logits.sum().backward()
        for hook in hooks:
            hook.remove()
        assert seen == {index: index >= 14 for index in range(16)}
        assert all((parameter.grad is not None) == parameter.requires_grad for parameter in attached.parameters())


@pytest.mark.parametrize(
    ("options", "error", "helps"),
    [
        pytest.param({"r": 0}, OptionError, "at least 1: got 0", id="rank"),
        pytest.param({"target_modules": ("qproj",)}, UnknownNameError, "'q_proj'", id="near-projection"),
        pytest.param({"use_dorra": True}, UnknownNameError, "Did you mean 'use_dora'", id="near-option"),
        pytest.param({"layers_to_transform": [1]}, OptionError, "vision tower match too", id="layers-to-transform"),
        pytest.param({"modules_to_save": ["lm_head"]}, OptionError, "outside the chosen layers", id="modules-to-save"),
        pytest.param({"bias": "all"}, OptionError, "bias='all' is refused", id="bias"),
        pytest.param({"init_lora_weights": "pissa"}, OptionError, "'pissa' is refused: it rewrites", id="init"),
        pytest.param({"use_qalora": True}, OptionError, "may change the base model", id="unproven-option"),
    ],
)
def test_refused_options(options, error, helps):
    with pytest.raises(error, match=helps):
        build_lora_config(selection([0], architecture()), **options)


def test_empty_selection_is_refused():
    with pytest.raises(OptionError, match="holds no layer"):
        build_lora_config(selection([], architecture()))


def test_harmless_refused_options_pass():
    config = build_lora_config(selection([0], architecture()), bias="none", modules_to_save=None, use_rslora=True)
    assert config.use_rslora


def test_selection_of_another_model_is_refused_with_the_near_module(deep):
    other = architecture(num_layers=30, attention_path="model.language_model.layer.{layer_idx}.self_attn")
    with pytest.raises(UnsupportedModelError, match=r"does not have: .*layer\.1.*nearest module here is .*layers\.1"):
        attach_lora(deep, build_lora_config(selection([1], other)))
    assert not lora_modules(deep)


class _Twice(nn.Module):
    """A model in which one module's path ends in another's full name."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.ModuleDict({"q_proj": nn.Linear(2, 2)})
        self.tower = nn.ModuleDict({"block": nn.ModuleDict({"q_proj": nn.Linear(2, 2)})})


def test_modules_matched_besides_are_refused_and_taken_off_again():
    model = _Twice()
    config = peft.LoraConfig(target_modules=["block.q_proj"])
    with pytest.raises(UnsupportedModelError, match=r"tower\.block\.q_proj matched besides"):
        attach_lora(model, config)
    assert not lora_modules(model)


@pytest.mark.parametrize("targets", [pytest.param("all-linear", id="word"), pytest.param(None, id="none")])
def test_configs_without_full_names_are_refused(deep, targets):
    with pytest.raises(OptionError, match="Use build_lora_config"):
        attach_lora(deep, peft.LoraConfig(target_modules=targets))


def test_second_adapter_is_refused(deep):
    config = build_lora_config(selection_for(deep, [0]))
    with attached_lora(deep, config), pytest.raises(OptionError, match="already carries an adapter"):
        attach_lora(deep, config)


def test_single_heads_are_refused():
    heads = Selection(strategy="given", layers=(0,), heads=((0, 1),), architecture=architecture())
    with pytest.raises(OptionError, match=r"single heads.*headimpact.tuning.head_lora"):
        build_lora_config(heads)
