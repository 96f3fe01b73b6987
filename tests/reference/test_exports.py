"""Every export tunes the planned modules and no other: PEFT and TRL are run, the others' rules are written down."""

import copy
import functools
import json
from collections.abc import Callable

import peft
import pytest
import yaml

from headimpact.core.errors import OptionError, UnknownNameError
from headimpact.selection.exports import EXPORTS, export_selection
from headimpact.selection.selection import Selection
from tests.reference import trainer_rules
from tests.unit.tuning.makers import architecture, deep_llava, deep_qwen, selection, selection_for

CHOICES = {
    "one layer, one module": ((1,), ("q_proj",)),
    "layers 1 and 11": ((1, 11), ("q_proj", "v_proj")),
    "all layers": (tuple(range(12)), ("q_proj", "k_proj", "v_proj", "o_proj")),
}
MODELS = {"llava": deep_llava, "qwen2_5_vl": deep_qwen}


@functools.cache
def model_of(name: str):
    return MODELS[name](12)


def matched(model, config: peft.LoraConfig) -> set[str]:
    """Put the adapter on a copy of the model and see where it lies."""
    adapted = peft.get_peft_model(copy.deepcopy(model), config)
    return {name.removeprefix("base_model.model.") for name, part in adapted.named_modules() if hasattr(part, "lora_A")}


def lora(targets) -> peft.LoraConfig:
    return peft.LoraConfig(target_modules=targets)


def read_peft(text, model, folder):
    (folder / "adapter_config.json").write_text(text)
    return peft.LoraConfig.from_pretrained(str(folder))


def read_trl(text, model, folder):
    import trl  # slow to import

    (folder / "sft.yaml").write_text(text)
    (arguments,) = trl.TrlParser([trl.ModelConfig]).parse_args_and_config(["--config", str(folder / "sft.yaml")])
    return trl.get_peft_config(arguments)


def read_unsloth(text, model, folder):
    """Run the snippet with a class that only hands on what it is given."""
    found = {}

    class FastVisionModel:
        @staticmethod
        def get_peft_model(model, **options):
            found.update(options)
            return model

    exec(text, {"FastVisionModel": FastVisionModel, "model": model})
    config = lora(trainer_rules.unsloth_targets(model, found))
    config.r, config.lora_alpha, config.lora_dropout = (found[name] for name in ("r", "lora_alpha", "lora_dropout"))
    return config


def read_yaml(text, model, folder, *, rule, rank):
    options = yaml.safe_load(text)
    config = lora(rule(model, options))
    config.r, config.lora_alpha, config.lora_dropout = options[rank], options["lora_alpha"], options["lora_dropout"]
    return config


READERS: dict[str, Callable] = {
    "peft": read_peft,
    "trl": read_trl,
    "unsloth": read_unsloth,
    "llamafactory": functools.partial(read_yaml, rule=trainer_rules.llamafactory_targets, rank="lora_rank"),
    "ms-swift": functools.partial(read_yaml, rule=trainer_rules.ms_swift_targets, rank="lora_rank"),
    "axolotl": functools.partial(read_yaml, rule=trainer_rules.axolotl_targets, rank="lora_r"),
}


def test_every_trainer_is_read_back():
    assert set(READERS) == set(EXPORTS)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("model_name", MODELS)
@pytest.mark.parametrize("to", EXPORTS)
def test_exactly_the_planned_modules_are_tuned(to, model_name, choice, tmp_path):
    model = model_of(model_name)
    layers, target_modules = CHOICES[choice]
    of = selection_for(model, layers).architecture
    chosen = Selection(strategy="given", layers=layers, architecture=of, r=3, target_modules=target_modules)
    config = READERS[to](export_selection(chosen, to=to, lora_alpha=5, lora_dropout=0.25), model, tmp_path)
    assert (config.r, config.lora_alpha, config.lora_dropout) == (3, 5, 0.25)
    assert matched(model, config) == set(chosen.target_module_names())


def test_peft_keeps_the_exported_pattern_in_what_it_saves():
    model = model_of("qwen2_5_vl")
    chosen = selection_for(model, range(12))
    pattern = json.loads(export_selection(chosen, to="peft"))["target_modules"]
    kept = peft.get_peft_model(copy.deepcopy(model), lora(pattern)).peft_config["default"].target_modules
    assert kept == pattern
    # The control: a list of 24 names is shortened to suffixes, which would fit any model.
    names = list(chosen.target_module_names())
    assert peft.get_peft_model(copy.deepcopy(model), lora(names)).peft_config["default"].target_modules == {
        "q_proj",
        "v_proj",
    }


def in_tower(names: set[str]) -> bool:
    return any("vision_tower" in name for name in names)


def test_the_traps_are_real():
    model = model_of("llava")
    chosen = selection_for(model, (1, 4))
    planned, names = set(chosen.target_module_names()), list(chosen.target_module_names())
    assert in_tower(matched(model, peft.LoraConfig(target_modules=["q_proj"], layers_to_transform=[1])))
    short = {"lora_target": "q_proj,v_proj", "freeze_vision_tower": False}
    assert in_tower(matched(model, lora(trainer_rules.llamafactory_targets(model, short))))
    pattern = json.loads(export_selection(chosen, to="peft"))["target_modules"]
    assert trainer_rules.llamafactory_targets(model, {"lora_target": pattern}) == []
    frozen = {"lora_target": ",".join(names), "freeze_language_model": True}
    assert trainer_rules.llamafactory_targets(model, frozen) == []
    assert in_tower(matched(model, lora(trainer_rules.ms_swift_targets(model, {"target_modules": ["q_proj"]}))))
    everything = {"lora_target_modules": names, "lora_target_linear": True}
    assert in_tower(matched(model, lora(trainer_rules.axolotl_targets(model, everything))))
    with pytest.raises(ValueError, match="not found in the base model"):
        matched(model, lora(trainer_rules.axolotl_targets(model, {"lora_target_modules": [pattern]})))
    with pytest.raises(RuntimeError, match="No layers to finetune"):
        trainer_rules.unsloth_targets(model, {"target_modules": names, "finetune_vision_layers": False})
    assert matched(model, lora(trainer_rules.unsloth_targets(model, {"target_modules": names}))) == planned


@pytest.mark.parametrize("to", ["trl", "llamafactory", "ms-swift", "unsloth", "axolotl"])
def test_the_first_line_says_what_was_chosen(to):
    first = export_selection(selection([0, 2], architecture()), to=to).splitlines()[0]
    assert first == "# headimpact: layers 0 2 (top-k), 4 modules, 1,792 of 100,000 parameters (1.8 %)"


@pytest.mark.parametrize(
    ("options", "error", "helps"),
    [
        pytest.param({"to": "lamafactory"}, UnknownNameError, "Did you mean 'llamafactory'", id="near-trainer"),
        pytest.param({"to": "peft", "lora_alpha": 0}, OptionError, "at least 1: got 0", id="alpha"),
        pytest.param({"to": "peft", "lora_dropout": 1.0}, OptionError, r"in \[0, 1\): got 1.0", id="dropout"),
    ],
)
def test_refused_options(options, error, helps):
    with pytest.raises(error, match=helps):
        export_selection(selection([0], architecture()), **options)


@pytest.mark.parametrize("to", EXPORTS)
def test_single_heads_are_refused(to):
    heads = Selection(strategy="given", layers=(0,), heads=((0, 1),), architecture=architecture())
    with pytest.raises(OptionError, match=r"1 single heads.*Tune heads with headimpact tune"):
        export_selection(heads, to=to)
