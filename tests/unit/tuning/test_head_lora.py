"""LoRA held to heads: what trains, what is saved and merged, and that other heads keep every bit."""

import copy
import dataclasses
import itertools
import json

import peft
import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, SiglipVisionConfig

from headimpact.core.errors import OptionError, UnknownNameError, UnsupportedModelError
from headimpact.core.head_parts import count_head_lora_parameters, head_part, heads_by_layer
from headimpact.models.family import resolve_family
from headimpact.tuning.head_lora import build_head_lora_config, hold_to_heads
from headimpact.tuning.lora import attach_lora, attached_lora, build_lora_config, count_parameters
from tests.unit.tuning.makers import selection

ALL_FOUR = ("q_proj", "k_proj", "v_proj", "o_proj")
HEADS = ((0, 1), (2, 0), (2, 3))
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT's own


def grouped_llava() -> LlavaForConditionalGeneration:
    """LLaVA with four query heads of width 4 in two groups."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4}
    config = LlavaConfig(
        vision_config=SiglipVisionConfig(**sizes, image_size=16, patch_size=8, vision_use_head=False),
        text_config=LlamaConfig(**sizes, num_key_value_heads=2, vocab_size=64, pad_token_id=0),
        image_token_id=3,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )
    config._attn_implementation = "eager"
    return LlavaForConditionalGeneration(config).eval()


@pytest.fixture(scope="module")
def made():
    return grouped_llava()


@pytest.fixture
def base(made):
    return copy.deepcopy(made)


def architecture_of(model):
    return resolve_family(model.config).architecture(model.config)


def held(model, *, heads=HEADS, target_modules=ALL_FOUR, **options):
    architecture = architecture_of(model)
    config = build_head_lora_config(architecture, heads, r=3, target_modules=target_modules, **options)
    attached = attach_lora(model, config)
    hold_to_heads(attached, architecture, heads)
    return attached


INPUTS = {
    "input_ids": torch.tensor([[5, 3, 3, 3, 3, 9, 11]]),
    "attention_mask": torch.ones(1, 7, dtype=torch.long),
    "pixel_values": torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16),
}


def trained(attached) -> list[torch.nn.Parameter]:
    return [parameter for parameter in attached.parameters() if parameter.requires_grad]


def fill(attached, seed=1) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in trained(attached):
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)


def train(attached, optimizer, steps=4) -> None:
    attached.train()
    for _ in range(steps):
        logits = attached(**INPUTS).logits
        loss = torch.nn.functional.cross_entropy(logits[0, :-1], INPUTS["input_ids"][0, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    attached.eval()


def parts(architecture, heads=HEADS, target_modules=ALL_FOUR):
    """Give module name and part of every projection that is tuned."""
    for layer_idx, chosen in heads_by_layer(heads).items():
        for projection in target_modules:
            yield (
                architecture.module_name(layer_idx, projection),
                head_part(architecture, layer_idx, projection, chosen),
            )


def split(part, weight):
    """Split a weight into the heads' part and the rest."""
    dim = 0 if part.in_rows else 1
    rest = [index for index in range(weight.shape[dim]) if index not in part.indices]
    return weight.index_select(dim, torch.tensor(part.indices)), weight.index_select(
        dim, torch.tensor(rest, dtype=torch.long)
    )


def bits(tensor):
    return tensor.detach().contiguous().view(torch.int32)


def test_only_live_entries_are_parameters(base):
    attached = held(base)
    architecture = architecture_of(base)
    expected = count_head_lora_parameters(architecture, HEADS, r=3, target_modules=ALL_FOUR)
    assert sum(parameter.numel() for parameter in trained(attached)) == expected.trainable
    assert count_parameters(attached) == expected
    assert attached.get_nb_trainable_parameters()[0] == expected.trainable
    # The control: plain LoRA on the same layers trains more.
    whole = attach_lora(
        grouped_llava(), build_lora_config(selection([0, 2], architecture), r=3, target_modules=ALL_FOUR)
    )
    assert count_parameters(whole).trainable > expected.trainable


@pytest.mark.parametrize("init", [True, "gaussian"])
def test_the_untrained_adapter_changes_nothing(base, init):
    before = base(**INPUTS).logits
    attached = held(base, init_lora_weights=init)
    torch.testing.assert_close(attached(**INPUTS).logits, before, rtol=0, atol=0)


OPTIMIZERS = {
    "AdamW, weight decay": lambda ps: torch.optim.AdamW(ps, lr=0.05, weight_decay=0.5),
    "SGD, momentum, weight decay": lambda ps: torch.optim.SGD(ps, lr=0.5, momentum=0.9, weight_decay=0.1),
    "Adam, L2, amsgrad": lambda ps: torch.optim.Adam(ps, lr=0.05, weight_decay=0.5, amsgrad=True),
}


@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_and_merging_leave_other_heads_bit_equal(made, base, optimizer, rslora):
    attached = held(base, use_rslora=rslora)
    train(attached, OPTIMIZERS[optimizer](trained(attached)))
    merged = dict(attached.merge_and_unload().named_parameters())
    before = dict(made.named_parameters())
    assert merged.keys() == before.keys()
    tuned = dict(parts(architecture_of(made)))
    for name, weight in before.items():
        part = tuned.get(name.removesuffix(".weight"))
        if part is None:
            assert torch.equal(bits(merged[name]), bits(weight)), name
            continue
        (live, rest), (was_live, was_rest) = split(part, merged[name]), split(part, weight)
        assert torch.equal(bits(rest), bits(was_rest)), name
        assert (live != was_live).any(dim=1 if part.in_rows else 0).all(), name


def test_plain_lora_would_change_other_heads(made, base):
    """The control of the test above."""
    architecture = architecture_of(made)
    attached = attach_lora(base, build_lora_config(selection([0, 2], architecture), target_modules=ALL_FOUR))
    train(attached, torch.optim.AdamW(trained(attached), lr=0.05))
    merged = dict(attached.merge_and_unload().named_parameters())
    for name, part in parts(architecture):
        rest = split(part, merged[f"{name}.weight"])[1]
        assert rest.numel() == 0 or not torch.equal(
            rest, split(part, dict(made.named_parameters())[f"{name}.weight"])[1]
        )


def test_whatever_is_written_into_the_parameters_other_heads_stay_zero(base):
    attached = held(base)
    with torch.no_grad():
        for parameter in trained(attached):
            parameter.add_(7)
    for name, part in parts(architecture_of(base)):
        module = attached.get_submodule(f"base_model.model.{name}")
        matrix = (module.lora_B if part.in_rows else module.lora_A)["default"].weight
        live, rest = split(part, matrix)
        assert torch.count_nonzero(rest) == 0
        assert torch.count_nonzero(live) == live.numel()


def test_steps_are_those_of_plain_lora_with_the_other_entries_put_back_to_zero(made, base):
    """Slow twin: plain LoRA, SGD, and zeros written after every step."""
    attached = held(base, target_modules=("q_proj", "o_proj"))
    fill(attached)
    architecture = architecture_of(made)
    twin = attach_lora(
        copy.deepcopy(made),
        build_head_lora_config(architecture, HEADS, r=3, target_modules=("q_proj", "o_proj")),
    )
    twin.load_state_dict(attached.state_dict())
    for _ in range(3):
        train(attached, torch.optim.SGD(trained(attached), lr=0.1), steps=1)
        train(twin, torch.optim.SGD(trained(twin), lr=0.1), steps=1)
        for name, part in parts(architecture, target_modules=("q_proj", "o_proj")):
            module = twin.get_submodule(f"base_model.model.{name}")
            matrix = (module.lora_B if part.in_rows else module.lora_A)["default"].weight.data
            keep = torch.zeros_like(matrix)
            keep.index_fill_(0 if part.in_rows else 1, torch.tensor(part.indices), 1)
            matrix.mul_(keep)
    state, expected = attached.state_dict(), twin.state_dict()
    assert state.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(state[name], value, rtol=1e-5, atol=1e-7)


def test_plain_peft_reads_what_is_saved(made, base, tmp_path):
    attached = held(base, use_rslora=True, lora_dropout=0.5)
    fill(attached)
    with torch.no_grad():
        expected = attached.eval()(**INPUTS).logits
    attached.save_pretrained(str(tmp_path), save_embedding_layers=False)
    plain = attach_lora(
        copy.deepcopy(made),
        build_lora_config(selection([0, 2], architecture_of(made)), r=3, target_modules=ALL_FOUR, use_rslora=True),
    )
    plain.save_pretrained(str(tmp_path / "plain"), save_embedding_layers=False)
    ours, theirs = (load_file(folder / "adapter_model.safetensors") for folder in (tmp_path, tmp_path / "plain"))
    assert {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in theirs.items()}
    configs = [json.loads((f / "adapter_config.json").read_text()) for f in (tmp_path, tmp_path / "plain")]
    assert {**configs[0], "lora_dropout": 0.0} == configs[1]
    reloaded = peft.PeftModel.from_pretrained(copy.deepcopy(made), str(tmp_path)).eval()
    with torch.no_grad():
        torch.testing.assert_close(reloaded(**INPUTS).logits, expected, rtol=0, atol=0)
    merged, again = attached.merge_and_unload(), reloaded.merge_and_unload()
    for name, weight in merged.named_parameters():
        assert torch.equal(bits(weight), bits(dict(again.named_parameters())[name])), name


def watch(model, layer_idx):
    """Give one layer's attention weights and what its heads hand to `o_proj`, split into heads."""
    seen: dict[str, torch.Tensor] = {}
    attention = model.get_submodule(f"model.language_model.layers.{layer_idx}.self_attn")
    hooks = [
        attention.register_forward_hook(lambda _, __, output: seen.update(weights=output[1][0])),
        attention.o_proj.register_forward_pre_hook(
            lambda _, given: seen.update(mixed=given[0][0].unflatten(-1, (4, -1)).transpose(0, 1))
        ),
    ]
    with torch.no_grad():
        model(**INPUTS)
    for hook in hooks:
        hook.remove()
    return seen


def changed(one, other) -> list[int]:
    return [head for head in range(len(one)) if not torch.equal(one[head], other[head])]


@pytest.mark.parametrize(
    ("projection", "weights", "mixed"),
    [
        pytest.param("q_proj", [2], [2], id="q-own-head"),
        pytest.param("k_proj", [2, 3], [2, 3], id="k-whole-group"),
        pytest.param("v_proj", [], [2, 3], id="v-whole-group"),
        pytest.param("o_proj", [], [], id="o-behind-the-heads"),
    ],
)
def test_the_model_itself_says_whose_rows_they_are(made, base, projection, weights, mixed):
    before = watch(made, 1)
    logits = made(**INPUTS).logits
    attached = held(base, heads=((1, 2),), target_modules=(projection,))
    fill(attached)
    model = attached.merge_and_unload()
    after = watch(model, 1)
    assert changed(before["weights"], after["weights"]) == weights
    assert changed(before["mixed"], after["mixed"]) == mixed
    assert not torch.equal(model(**INPUTS).logits, logits)


def test_state_goes_back_in(made, base):
    attached = held(base)
    fill(attached)
    other = held(copy.deepcopy(made))
    other.load_state_dict(attached.state_dict())
    for one, two in itertools.zip_longest(trained(attached), trained(other)):
        assert torch.equal(one, two)
    whole = attached.state_dict()
    name = next(name for name in whole if "q_proj.lora_B" in name)
    whole[name] = torch.ones_like(whole[name])
    with pytest.raises(OptionError, match="not zero outside the chosen heads"):
        other.load_state_dict(whole)


def test_the_base_model_comes_back(made, base):
    architecture = architecture_of(base)
    with attached_lora(base, build_head_lora_config(architecture, HEADS)) as attached:
        hold_to_heads(attached, architecture, HEADS)
        fill(attached)
        copied = copy.deepcopy(attached)
        assert torch.equal(copied(**INPUTS).logits, attached(**INPUTS).logits)
    after = base.state_dict()
    assert after.keys() == made.state_dict().keys()
    assert all(torch.equal(after[name], value) for name, value in made.state_dict().items())


@pytest.mark.parametrize(
    ("options", "error", "helps"),
    [
        pytest.param({"use_dora": True}, OptionError, "use_dora=True is refused for heads: its magnitudes", id="dora"),
        pytest.param({"init_lora_weights": "pissa_niter_4"}, OptionError, "principal parts", id="pissa"),
        pytest.param({"init_lora_weights": "olora"}, OptionError, "QR", id="olora"),
        pytest.param({"init_lora_weights": "corda"}, OptionError, "covariance", id="corda"),
        pytest.param({"init_lora_weights": "eva"}, OptionError, "shares ranks out", id="eva"),
        pytest.param({"init_lora_weights": "loftq"}, OptionError, "quantises", id="loftq"),
        pytest.param({"init_lora_weights": "orthogonal"}, OptionError, "B does not start at zero", id="orthogonal"),
        pytest.param({"init_lora_weights": False}, OptionError, "B does not start at zero", id="no-init"),
        pytest.param({"bias": "lora_only"}, OptionError, "biases of every head", id="bias"),
        pytest.param({"lora_bias": True}, OptionError, "bias to the outputs", id="lora-bias"),
        pytest.param({"modules_to_save": ["lm_head"]}, OptionError, "trains whole modules", id="modules-to-save"),
        pytest.param({"rank_pattern": {"q_proj": 2}}, OptionError, "one rank", id="rank-pattern"),
        pytest.param({"use_rslorra": True}, UnknownNameError, "Did you mean 'use_rslora'", id="near-option"),
    ],
)
def test_refused_options(made, options, error, helps):
    with pytest.raises(error, match=helps):
        build_head_lora_config(architecture_of(made), HEADS, **options)


def test_harmless_refused_options_pass(made):
    build_head_lora_config(architecture_of(made), HEADS, bias="none", use_dora=False, modules_to_save=None)


def test_an_adapter_on_other_layers_is_refused(base):
    architecture = architecture_of(base)
    attached = attach_lora(base, build_lora_config(selection([0, 1], architecture)))
    with pytest.raises(OptionError, match=r"layers\.1\..* none of the chosen heads"):
        hold_to_heads(attached, architecture, ((0, 1),))


def test_a_choice_made_for_other_sizes_is_refused(base):
    wide = {"q_proj": (16, 32), "k_proj": (16, 16), "v_proj": (16, 16), "o_proj": (32, 16)}
    other = dataclasses.replace(architecture_of(base), projections=wide, head_dim=8)
    attached = attach_lora(base, build_head_lora_config(other, HEADS))
    with pytest.raises(UnsupportedModelError, match="has 16 outputs, the choice of heads was made for 32"):
        hold_to_heads(attached, other, HEADS)
