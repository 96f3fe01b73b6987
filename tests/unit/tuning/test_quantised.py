"""A base model in 4 or 8 bits (QLoRA): what is trained, what stays, and what may be kept."""

import dataclasses

import numpy as np
import peft
import pytest
import torch
from safetensors.torch import load_file

from headimpact.core.errors import UnsupportedModelError
from headimpact.core.head_parts import head_part
from headimpact.models.loading import load_model
from headimpact.tuning.language_inputs import LanguageInputCache, encode_batch, offers_language_inputs
from headimpact.tuning.loss import answer_loss
from headimpact.tuning.options import TuningOptions
from headimpact.tuning.prefix_cache import PrefixCache
from headimpact.tuning.prefix_identity import describe_prefix
from headimpact.tuning.training import tune_adapter
from tests.unit.tuning.makers import examples, selection_for

OPTIONS = TuningOptions(max_steps=4, batch_size=3, learning_rate=1e-2, r=2, target_modules=("q_proj", "o_proj"))
HEADS = ((1, 0), (1, 3), (2, 2))


@pytest.fixture(scope="module")
def llava_in(tiny_checkpoint):
    return lambda bits: load_model(tiny_checkpoint("llava-siglip"), device="cpu", quantization=bits)


@pytest.fixture(scope="module")
def four_bits(llava_in):
    return llava_in("4bit")


def tune(loaded, out, *, layers=(1, 2), heads=None, cache=None, listed=None):
    chosen = dataclasses.replace(selection_for(loaded.model, layers), heads=heads)
    listed = examples(5) if listed is None else listed
    return tune_adapter(loaded, listed, chosen, options=OPTIONS, out=out, cache=cache, show_progress=False)


def weights_of(model):
    """Give codes and scales of every 4-bit weight, and all other weights."""
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_tuning_lowers_the_loss_and_leaves_the_base_as_it_was(llava_in, tmp_path, bits):
    loaded, listed = llava_in(bits), examples(5)
    before, batch = weights_of(loaded.model), encode_batch(loaded, listed)
    result = tune(loaded, tmp_path, listed=listed)
    assert {
        name: torch.equal(value, before[name]) for name, value in weights_of(loaded.model).items()
    } == dict.fromkeys(before, True)
    with torch.no_grad():
        untuned = answer_loss(loaded.model, batch.inputs, batch.labels)
        tuned = answer_loss(
            peft.PeftModel.from_pretrained(loaded.model, str(result.adapter)), batch.inputs, batch.labels
        )
    assert tuned < untuned


def test_a_pass_before_tuning_changes_nothing(llava_in, tmp_path):
    # Where the CPU has AVX-512 BF16, bitsandbytes would pack the weights anew, and gradients would end there.
    plain = tune(llava_in("4bit"), tmp_path / "plain")
    loaded = llava_in("4bit")
    batch = encode_batch(loaded, examples(2))
    with torch.no_grad():
        first = loaded.model(**batch.inputs).logits
    after = tune(loaded, tmp_path / "after")
    assert after.losses == plain.losses
    one, other = (peft.utils.load_peft_weights(str(result.adapter)) for result in (plain, after))
    torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert torch.equal(first, loaded.model(**batch.inputs).logits), "with gradients as without"


def test_other_heads_keep_every_bit(four_bits, tmp_path):
    result = tune(four_bits, tmp_path, heads=HEADS)
    saved = load_file(result.adapter / "adapter_model.safetensors")
    architecture = selection_for(four_bits.model, (1,)).architecture
    states = torch.randn(3, architecture.hidden_size, generator=torch.Generator().manual_seed(0))
    base = four_bits.model.get_submodule(architecture.module_name(1, "q_proj"))(states)
    tuned = peft.PeftModel.from_pretrained(four_bits.model, str(result.adapter)).eval()
    again = tuned.get_base_model().get_submodule(architecture.module_name(1, "q_proj"))(states)
    live = list(head_part(architecture, 1, "q_proj", (0, 3)).indices)
    rest = sorted({*range(base.shape[1])} - {*live})
    tuned.unload()
    assert torch.equal(base[:, rest], again[:, rest])
    assert not torch.isclose(base[:, live], again[:, live]).any()
    for layer_idx, chosen in ((1, (0, 3)), (2, (2,))):
        for projection, matrix in (("q_proj", "lora_B"), ("o_proj", "lora_A")):
            part = head_part(architecture, layer_idx, projection, chosen)
            name = f"base_model.model.{architecture.module_name(layer_idx, projection)}.{matrix}.weight"
            others = saved[name].index_fill(0 if part.in_rows else 1, torch.tensor(part.indices), 0.0)
            assert torch.count_nonzero(saved[name])
            assert not torch.count_nonzero(others)


def test_a_kept_prefix_gives_the_same_losses_and_adapter_in_4_bits(four_bits, tmp_path):
    listed = examples(5)
    cache = PrefixCache(four_bits, listed, layer_idx=1, folder=tmp_path / "cache")
    kept = tune(four_bits, tmp_path / "kept", heads=HEADS, listed=listed, cache=cache)
    plain = tune(four_bits, tmp_path / "plain", heads=HEADS, listed=listed)
    np.testing.assert_allclose(kept.losses, plain.losses, rtol=0, atol=1e-5)
    one, other = (peft.utils.load_peft_weights(str(result.adapter)) for result in (kept, plain))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def test_what_8_bits_compute_depends_on_the_batch_and_is_not_kept(llava_in, tmp_path):
    loaded, listed = llava_in("8bit"), examples(2)
    assert not offers_language_inputs(loaded)
    with pytest.raises(UnsupportedModelError, match=r"Language inputs of a model in 8bit cannot be kept.*batch"):
        LanguageInputCache(loaded, listed)
    with pytest.raises(UnsupportedModelError, match=r"model in 8bit cannot be kept.*Tune without --prefix-cache"):
        PrefixCache(loaded, listed, layer_idx=1, folder=tmp_path)


def test_a_prefix_is_named_by_the_scales_of_its_codes_too(llava_in):
    loaded = llava_in("4bit")
    before = describe_prefix(loaded, 1)
    assert describe_prefix(loaded, 1) == before
    loaded.family.decoder(loaded.model).layers[0].mlp.up_proj.weight.quant_state.absmax.mul_(2)
    assert describe_prefix(loaded, 1) != before


def test_weights_are_counted_and_not_bytes(four_bits, llava, tmp_path):
    assert tune(four_bits, tmp_path / "four").count == tune(llava, tmp_path / "whole").count
